"""SGLang's call, its hooks and the state that its call leaves out, with fakes of all three."""

import enum
from types import SimpleNamespace as Bag

import engine_checks as rules
import eplb
import numpy as np
import pytest
from engine_checks import EXPERTS, FIRST, GPUS, LATER, LAYERS, LOADS, PLACES, SLOTS
from eplb.engines import counters, parse, sglang
from rebalances import imbalance

pytestmark = pytest.mark.usefixtures("fresh_engine")
DENSE = 2  # layers of the model before the first one with experts


class Algorithm(enum.Enum):
    """As in SGLang."""

    deepseek = enum.auto()
    deepseek_hierarchical = enum.auto()
    elasticity_aware = enum.auto()


class HookType(enum.Enum):
    AROUND = "around"
    REPLACE = "replace"


def own_program(tokens_per_expert, num_physical_experts, num_local_physical_experts, num_groups, num_nodes, algorithm):
    raise AssertionError("the hook plans")


@pytest.fixture
def engine(module):
    """SGLang's modules: its registry of hooks, its map and the state of its ranks."""
    state = Bag(hooks=[], metadata=None, ranks=None)
    registry = Bag(register=lambda *hook: state.hooks.append(hook))
    module("sglang.srt.plugins.hook_registry", HookRegistry=registry, HookType=HookType)
    module("sglang.srt.eplb.expert_location", get_global_expert_location_metadata=lambda: state.metadata)
    module("sglang.srt.elastic_ep.elastic_ep", ElasticEPStateManager=Bag(instance=lambda: state.ranks))
    return state


def ring(loads, layers=LAYERS + DENSE, samples=10):
    """Steps in no order of time, not all of them filled, with rows of dense layers."""
    steps = np.zeros((samples, layers, EXPERTS), np.int32)
    share = loads // 3
    steps[7, DENSE:], steps[2, DENSE:] = share, loads - share
    return steps


def call(tokens, algorithm=Algorithm.deepseek, groups=None, nodes=1):
    return {
        "tokens_per_expert": tokens,
        "num_physical_experts": SLOTS,
        "num_local_physical_experts": PLACES,
        "num_groups": groups,
        "num_nodes": nodes,
        "algorithm": algorithm,
    }


def check_tables(placement, slots, counts, is_open=None):
    """As SGLang's dispatch reads them: every listed slot holds the expert, and all of living GPUs are listed."""
    placement, slots, counts = (np.asarray(each) for each in (placement, slots, counts))
    assert placement.shape == (len(slots), SLOTS)
    is_open = np.ones(SLOTS, bool) if is_open is None else np.repeat(is_open, PLACES)
    for layer, row in enumerate(placement):
        for expert in range(EXPERTS):
            listed = slots[layer, expert][slots[layer, expert] != -1]
            assert listed.tolist() == np.flatnonzero((row == expert) & is_open).tolist()
            assert len(listed) == counts[layer, expert] >= 1


def first_map():
    return np.tile(np.arange(SLOTS) % EXPERTS, (LAYERS + DENSE, 1))


def test_installing_changes_nothing(engine, lines):
    sglang.register()
    assert engine.hooks == lines() == []


def test_active_once_a_strategy_is_named(engine, lines, monkeypatch):
    monkeypatch.setenv("EPLB_ENGINE", "best")
    monkeypatch.setattr("eplb.engines._start.version_of", lambda name: "0.5.23")
    sglang.register()
    assert engine.hooks == [("sglang.srt.eplb.eplb_algorithms.rebalance_experts", sglang.around, HookType.AROUND)]
    assert lines() == [f"eplb {eplb.__version__} plans for sglang 0.5.23: best"]


def test_mistakes_end_the_process(engine, module, monkeypatch):
    """SGLang logs exceptions of plug-ins, and would serve without this one."""
    monkeypatch.setenv("EPLB_ENGINE", "bets")
    with pytest.raises(SystemExit, match="'bets' is no strategy, must be one of best, rebalance, greedy"):
        sglang.register()
    monkeypatch.setenv("EPLB_ENGINE", "best")
    monkeypatch.delattr(module("sglang.srt.plugins.hook_registry"), "HookRegistry")
    with pytest.raises(SystemExit, match="this sglang has no sglang.srt.plugins.hook_registry"):
        sglang.register()


@pytest.mark.parametrize("groups", [None, 0, 8])
def test_the_first_map(engine, array, groups):
    maps = sglang.around(own_program, **call(array(ring(LOADS)), groups=groups))
    assert all(type(each) is type(array([0])) for each in maps)
    check_tables(*maps)
    rules.check_map(maps[0])
    assert imbalance(LOADS, np.asarray(maps[0])[DENSE:], GPUS).max() < 1.05


def test_the_next_map_starts_from_that_of_sglang(engine, array, monkeypatch):
    monkeypatch.setenv("EPLB_ENGINE", "rebalance,max_moves=5")
    engine.metadata = Bag(physical_to_logical_map_cpu=array(first_map()))
    maps = sglang.around(own_program, **call(array(ring(LATER), "int32")))
    placement = np.asarray(maps[0])
    check_tables(*maps)
    rules.check_slots_kept(first_map(), placement)
    assert rules.moves_of(first_map(), placement).max() == 5
    assert np.array_equal(placement[:DENSE], first_map()[:DENSE])


def test_counts_of_a_file_come_without_windows(array):
    maps = sglang.plan(**call(array(ring(LOADS).sum(axis=0))), options=parse("best"))
    windows = sglang.plan(**call(array(ring(LOADS))), options=parse("best"))
    assert np.array_equal(maps[0], windows[0])


def test_a_ring_that_was_never_filled_changes_nothing(engine, array):
    engine.metadata = Bag(physical_to_logical_map_cpu=array(first_map()))
    maps = sglang.around(own_program, **call(array(ring(LOADS) * 0)))
    assert np.array_equal(maps[0], first_map())


def test_the_algorithm_says_whether_groups_stay_on_nodes(array):
    for algorithm, stay in ((Algorithm.deepseek_hierarchical, True), (Algorithm.deepseek, False)):
        maps = sglang.plan(**call(array(ring(LOADS)), algorithm, 8, 2), options=parse("best"))
        node = np.asarray(maps[0])[DENSE:].reshape(LAYERS, 2, -1) // (EXPERTS // 8)
        on_both = [len(set(layer[0].tolist()) & set(layer[1].tolist())) for layer in node]
        assert (max(on_both) == 0) is stay


@pytest.mark.parametrize("algorithm", [Algorithm.elasticity_aware, Algorithm.deepseek_hierarchical])
@pytest.mark.parametrize("room", [0, 4])
def test_dead_ranks_are_left_out(engine, algorithm, room):
    """Their slots hold expert 0, and no table names them."""
    torch = pytest.importorskip("torch")
    alive = np.ones(GPUS, bool)
    alive[[2, 11]] = False
    ranks = np.concatenate([alive, np.zeros(room, bool)])
    engine.ranks = Bag(active_ranks=torch.tensor(ranks, dtype=torch.int32))
    engine.metadata = Bag(physical_to_logical_map_cpu=torch.tensor(first_map()))
    maps = sglang.around(own_program, **call(torch.tensor(ring(LOADS)), algorithm, 8, 2))
    placement = np.asarray(maps[0])
    assert (placement.reshape(-1, GPUS, PLACES)[:, ~alive] == 0).all()
    check_tables(*maps, is_open=alive)
    only_living = np.where(np.repeat(alive, PLACES), placement, -1)
    rules.check_map(only_living, is_open=alive)
    rules.check_slots_kept(np.where(np.repeat(alive, PLACES), first_map(), -1), only_living)


def test_a_rank_that_came_back_is_filled(array):
    """SGLang's map says expert 0 of it, which it need not have."""
    current = first_map()
    current[:, :PLACES] = 0
    maps = sglang.plan(**call(array(ring(LOADS))), current=array(current), options=parse("rebalance,max_moves=1"))
    rules.check_map(maps[0])
    check_tables(*maps)


def test_bad_loads_keep_the_map(engine, array, lines):
    engine.metadata = Bag(physical_to_logical_map_cpu=array(first_map()))
    tokens = ring(LOADS)
    tokens[3, DENSE + 1, 5] = -9
    maps = sglang.around(own_program, **call(array(tokens)))
    assert np.array_equal(maps[0], first_map())
    check_tables(*maps)
    assert "layer 3, expert 5" in lines("ERROR")[0]
    assert counters().kept == 1


def test_a_map_of_other_layers_is_not_used(engine, array):
    engine.metadata = Bag(physical_to_logical_map_cpu=array(FIRST[:1]))
    rules.check_map(sglang.around(own_program, **call(array(ring(LOADS))))[0])


def test_arguments_by_position(engine, array):
    arguments = call(array(ring(LOADS)))
    assert np.array_equal(
        sglang.around(own_program, *arguments.values())[0], sglang.around(own_program, **arguments)[0]
    )
