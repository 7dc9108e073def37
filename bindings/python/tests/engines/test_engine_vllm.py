"""vLLM's call and its table of policies, with fakes of both."""

import importlib
import subprocess
import sys
from types import SimpleNamespace as Bag

import engine_checks as rules
import eplb
import eplb_plugins
import numpy as np
import pytest
from conftest import ROOT, child_environment
from engine_checks import EXPERTS, FIRST, GPUS, LATER, LAYERS, LOADS, PLACES, SLOTS
from eplb.engines import counters, parse, vllm
from eplb.engines._planner import sum_of_windows

pytestmark = pytest.mark.usefixtures("fresh_engine")


class AbstractEplbPolicy:
    """As vLLM has it."""

    @classmethod
    def rebalance_experts(cls, *arguments):
        raise NotImplementedError


@pytest.fixture
def table(module):
    """EPLB_POLICIES, which vLLM's state reads when a model is added."""
    policies = {"default": AbstractEplbPolicy}
    module("vllm.distributed.eplb.policy", EPLB_POLICIES=policies, AbstractEplbPolicy=AbstractEplbPolicy)
    return policies


def test_installing_changes_nothing(table, lines):
    vllm.register()
    assert table == {"default": AbstractEplbPolicy}
    assert lines() == []


@pytest.mark.parametrize("times", [1, 3])
def test_active_once_a_strategy_is_named(table, lines, monkeypatch, times):
    monkeypatch.setenv("EPLB_ENGINE", "rebalance,max_moves=2")
    monkeypatch.setattr("eplb.engines._start.version_of", lambda engine: "0.33.0")
    for _ in range(times):
        vllm.register()
    assert list(table) == ["default"]
    assert issubclass(table["default"], AbstractEplbPolicy)
    assert lines() == [f"eplb {eplb.__version__} plans for vllm 0.33.0: rebalance,max_moves=2"]


@pytest.mark.parametrize("found", ["0.34.1", ""])
def test_an_unknown_version_is_a_warning(table, lines, monkeypatch, found):
    monkeypatch.setenv("EPLB_ENGINE", "best")
    monkeypatch.setattr("eplb.engines._start.version_of", lambda engine: found)
    vllm.register()
    assert lines("WARNING") == [f"eplb was tried with vllm 0.33.0, this is {found or 'unknown'}"]
    assert table["default"] is not AbstractEplbPolicy


def test_an_unknown_word_is_an_error_at_the_start(table, monkeypatch):
    monkeypatch.setenv("EPLB_ENGINE", "rebalance,speed=9")
    with pytest.raises(eplb.InvalidArgument, match="EPLB_ENGINE is 'rebalance,speed=9': 'speed=9' is no option"):
        vllm.register()
    assert table == {"default": AbstractEplbPolicy}


def test_a_vllm_without_the_table_is_an_error(module, monkeypatch):
    module("vllm.distributed.eplb.policy")
    monkeypatch.setenv("EPLB_ENGINE", "best")
    with pytest.raises(RuntimeError, match="has no vllm.distributed.eplb.policy.EPLB_POLICIES"):
        vllm.register()


def test_entry_points_are_the_plug_ins():
    tomllib = pytest.importorskip("tomllib")
    with open(ROOT / "bindings" / "python" / "pyproject.toml", "rb") as file:
        groups = tomllib.load(file)["project"]["entry-points"]
    assert set(groups) == {"vllm.general_plugins", "sglang.srt.plugins"}
    for group in groups.values():
        for target in group.values():
            name, function = target.split(":")
            assert callable(getattr(importlib.import_module(name), function))


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_entry_points_load_nothing_unless_they_are_asked_for(engine):
    code = f"import sys, eplb_plugins; eplb_plugins.{engine}(); sys.exit('eplb' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=child_environment(EPLB_ENGINE=None), check=True)


def test_the_entry_point_registers_if_it_is_asked_for(table, monkeypatch):
    monkeypatch.setenv("EPLB_ENGINE", "best")
    eplb_plugins.vllm()
    assert table["default"].__name__ == "LibeplbPolicy"


def test_the_policy_plans(table, array, monkeypatch):
    monkeypatch.setenv("EPLB_ENGINE", "rebalance,max_moves=6")
    vllm.register()
    # By position, as vLLM does.
    placement = table["default"].rebalance_experts(array(LOADS), SLOTS, 0, 1, GPUS, array(FIRST))
    assert type(placement) is type(array(FIRST))
    assert str(placement.dtype).endswith("int64")
    rules.check_map(placement)
    assert 0 < rules.moves_of(FIRST, placement).max() <= 6


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
@pytest.mark.parametrize("old", ["first", "none", "new ranks", "leaving ranks"])
@pytest.mark.parametrize("groups", [0, 8])
def test_calls_of_vllm(array, dtype, old, groups):
    """Up to 18 ranks with empty slots, or down to 14 with a wider map; a model may have no groups."""
    ranks = {"new ranks": GPUS + 2, "leaving ranks": GPUS - 2}.get(old, GPUS)
    maps = {
        "first": FIRST,
        "none": None,
        "new ranks": np.pad(FIRST, ((0, 0), (0, 2 * PLACES)), constant_values=-1),
        "leaving ranks": FIRST,
    }
    current = None if maps[old] is None else array(maps[old])
    sizes = ranks * PLACES, groups, 2, ranks
    for loads in (LOADS, LOADS * 0):
        placement = np.asarray(vllm.plan(array(loads, dtype), *sizes, current, options=parse("rebalance")))
        assert placement.shape == (LAYERS, ranks * PLACES)
        rules.check_map(placement, gpus=ranks)
        if old == "first" and not loads.any():
            assert np.array_equal(placement, FIRST)
        elif current is not None:
            both = min(ranks, GPUS)
            rules.check_slots_kept(FIRST[:, : both * PLACES], placement[:, : both * PLACES], both)


def test_nothing_that_loads_cause_ends_the_worker(array, lines):
    """vLLM's asynchronous worker ends for good if its policy raises."""
    loads = LOADS.astype(np.float32)
    loads[0, 0] = np.nan
    placement = vllm.plan(array(loads), SLOTS, 0, 1, GPUS, array(FIRST), options=parse("best"))
    assert np.array_equal(placement, FIRST)
    assert len(lines("ERROR")) == counters().kept == 1


def test_the_old_map_is_not_written_to(array):
    current = array(FIRST)
    vllm.plan(array(LOADS), SLOTS, 8, 4, GPUS, current)
    assert np.array_equal(current, FIRST)


def test_hooks_that_are_proposed(array):
    """Windows, oldest first, and no state: the same map as for their sum."""
    windows = np.stack([LOADS, LATER, LATER * 2])
    topology = Bag(num_groups=8, num_nodes=2, num_ranks=GPUS)
    context = Bag(
        load_window_cpu=array(windows, "int32"),
        num_replicas=SLOTS,
        physical_to_logical_map_cpu=array(FIRST),
        topology=topology,
    )
    options = parse("rebalance,policy=global")
    expected = vllm.plan(windows.astype(np.int64).sum(axis=0), SLOTS, 8, 2, GPUS, FIRST, options=options)
    assert np.array_equal(vllm.plan_of_context(context, options=options), expected)
    assert (expected != FIRST).any()


def test_sums_of_windows_are_in_64_bits(array):
    windows = np.full((4, 1, EXPERTS), 2**31 - 1)
    for given in (array(windows, "int32"), array(windows, "int64")):
        assert sum_of_windows(given).tolist() == [[2**33 - 4] * EXPERTS]
    assert sum_of_windows(array(np.full((64, 1, 2), 40000.0), "float16")).tolist() == [[2560000.0] * 2]
    assert sum_of_windows(array(windows[:0])).tolist() == [[0] * EXPERTS]
