"""vllm-ascend's call, and what its worker checks of an answer."""

import pickle

import engine_checks as rules
import eplb
import numpy as np
import pytest
from conftest import TRACES
from engine_checks import EXPERTS, FIRST, GPUS, LATER, LAYERS, LOADS, PLACES
from eplb.engines import counters, parse
from eplb.engines.ascend import Policy, plan

pytestmark = pytest.mark.usefixtures("fresh_engine")
TABLE = FIRST.reshape(LAYERS, GPUS, PLACES)


def workload(loads, table):
    """Tokens by slot, as the engine counts them: replicas share them."""
    experts = table.reshape(len(table), -1)
    count = np.stack([np.bincount(row, minlength=loads.shape[1]) for row in experts])
    return (np.take_along_axis(loads // count, experts, axis=1)).reshape(table.shape)


@pytest.mark.parametrize("options", ["rebalance", "rebalance,max_moves=3", "best"])
@pytest.mark.parametrize("stages", [None, 3])
def test_no_layer_is_refused(array, options, stages):
    table = TABLE
    for loads in (LOADS, LATER, LOADS * 0):
        load = workload(loads, table)
        load = load if stages is None else np.stack([load] * stages)
        change, layers, new = plan(array(table), array(load), options=parse(options))
        assert type(new) is type(array(table))
        new = np.asarray(new)
        assert rules.layers_refused(table, new) == []
        rules.check_map(new.reshape(LAYERS, -1))
        assert layers == [layer for layer in range(LAYERS) if (new[layer] != table[layer]).any()]
        assert change == (len(layers) > 0) == loads.any()
        table = new


def test_the_rule_finds_what_it_describes():
    old = np.arange(8).reshape(1, 2, 4)
    good, gone, double, moved = (old.copy() for _ in range(4))
    good[0, 0, 0], good[0, 1, 0] = 4, 0
    gone[0, 0, 0] = 4
    double[0, 0, :2], double[0, 1, 0] = 4, 0
    moved[0, 0, :2] = [1, 0]
    assert [rules.layers_refused(old, new) for new in (old, good, gone, double, moved)] == [[], [], [0], [0], [0]]


@pytest.mark.skipif(not TRACES.is_dir(), reason="no measured traces")
def test_no_layer_of_a_measured_model_is_refused():
    loads = np.loadtxt(TRACES / "deepseek-v3_prefill-in2048_L58xE256.csv", delimiter=",", dtype=np.int64)
    table = np.tile(np.arange(288) % 256, (58, 1)).reshape(58, 32, 9)
    for options in ("best", "rebalance,effort=fast"):
        _, layers, new = plan(table, workload(loads, table), options=parse(options))
        assert rules.layers_refused(table, new) == []
        assert len(layers) == 58


@pytest.mark.parametrize("npus", [GPUS + 2, GPUS - 3])
def test_npus_join_and_leave(npus):
    policy = Policy()
    policy.set_new_ep_size(npus)
    _, layers, new = policy.rebalance_experts(TABLE, workload(LOADS, TABLE))
    assert new.shape == (LAYERS, npus, PLACES)
    assert layers == list(range(LAYERS))
    rules.check_map(new.reshape(LAYERS, -1), gpus=npus)
    # Once.
    assert policy.rebalance_experts(new, workload(LOADS, new))[2].shape == new.shape


def test_the_policy_goes_to_another_process(monkeypatch, lines):
    monkeypatch.setenv("EPLB_ENGINE", "rebalance,max_moves=4")
    policy = Policy(2)
    assert any("plans for vllm_ascend" in line and "rebalance,max_moves=4" in line for line in lines())
    monkeypatch.delenv("EPLB_ENGINE")
    answers = [
        each.rebalance_experts(TABLE, workload(LOADS, TABLE))[2]
        for each in (policy, pickle.loads(pickle.dumps(policy)))
    ]
    assert np.array_equal(*answers)
    assert counters().last_moves <= 4 * LAYERS


def test_bad_loads_keep_the_table(lines):
    load = workload(LOADS, TABLE).astype(float)
    load[1, 0, 0] = np.nan
    change, layers, new = plan(TABLE, load)
    assert (change, layers) == (0, [])
    assert np.array_equal(new, TABLE)
    assert "layer 1, expert 0" in lines("ERROR")[0]


def test_the_published_program_is_refused_at_the_start(monkeypatch):
    monkeypatch.setenv("EPLB_ENGINE", "greedy")
    with pytest.raises(eplb.InvalidArgument, match="vllm-ascend refuses such layers: must be rebalance or best"):
        Policy()


@pytest.mark.parametrize(
    ("table", "load", "text"),
    [
        (FIRST, FIRST, "current_expert_table is int64 of 2 dimensions"),
        (TABLE, TABLE[:, :-1], r"expert_workload is \[4, 15, 5\] and current_expert_table \[4, 16, 5\]"),
    ],
)
def test_mistakes(table, load, text):
    with pytest.raises(eplb.InvalidArgument, match=text):
        plan(table, load)


def test_experts_are_counted_from_the_table():
    assert int(TABLE.max()) + 1 == EXPERTS
