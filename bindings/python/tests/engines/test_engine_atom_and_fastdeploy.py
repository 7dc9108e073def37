"""The calls of ATOM and FastDeploy."""

import engine_checks as rules
import numpy as np
import pytest
from engine_checks import EXPERTS, FIRST, GPUS, LATER, LAYERS, LOADS, SLOTS
from eplb.engines import counters, parse
from eplb.engines.atom import plan as plan_atom
from eplb.engines.atom import plan_layer
from eplb.engines.fastdeploy import Remembering
from eplb.engines.fastdeploy import plan as plan_fastdeploy
from rebalances import imbalance

pytestmark = pytest.mark.usefixtures("fresh_engine")


def check_tables(placement, slots, counts):
    placement, slots, counts = (np.asarray(each) for each in (placement, slots, counts))
    assert placement.dtype == slots.dtype == counts.dtype == np.int32
    assert slots.shape[:2] == counts.shape == (len(placement), EXPERTS)
    for layer, row in enumerate(placement):
        for expert in range(EXPERTS):
            count = counts[layer, expert]
            assert slots[layer, expert, :count].tolist() == np.flatnonzero(row == expert).tolist()
            assert (slots[layer, expert, count:] == -1).all()


def atom(loads, old, options, **more):
    sizes = {"num_physical": SLOTS, "num_groups": 8, "num_nodes": 2, "num_gpus": GPUS}
    return plan_atom(loads, **{**sizes, "enable_hierarchical": False, **more}, old_p2l=old, options=parse(options))


@pytest.mark.parametrize("old", [None, FIRST])
@pytest.mark.parametrize("hierarchical", [False, True])
def test_all_layers_of_atom(array, old, hierarchical):
    old = None if old is None else array(old, "int32")
    maps = atom(array(LOADS, "int32"), old, "rebalance", enable_hierarchical=hierarchical, policy=plan_layer)
    assert type(maps[0]) is type(array(FIRST))
    check_tables(*maps)
    rules.check_map(maps[0])
    if old is not None:
        rules.check_slots_kept(FIRST, np.asarray(maps[0]))


def test_a_layer_of_atom(array):
    """The number of a slot among those of its expert lists each expert's slots once."""
    options = parse("rebalance,max_moves=8")
    placement, rank, count = plan_layer(array(LATER[1]), SLOTS, GPUS, array(FIRST[1], "int32"), options=options)
    placement, rank, count = (np.asarray(each) for each in (placement, rank, count))
    assert placement.dtype == rank.dtype == count.dtype == np.int32
    assert placement.shape == rank.shape == (SLOTS,)
    assert np.array_equal(count, np.bincount(placement, minlength=EXPERTS))
    assert sorted(zip(placement.tolist(), rank.tolist(), strict=True)) == [
        (e, r) for e in range(EXPERTS) for r in range(count[e])
    ]
    assert rules.moves_of(FIRST[1:2], placement[np.newaxis]).max() <= 8
    rules.check_map(plan_layer(array(LATER[1]), SLOTS, GPUS)[0][None])


def test_layer_by_layer_is_as_all_at_once():
    whole = np.asarray(atom(LATER, FIRST, "rebalance")[0])
    for layer in range(LAYERS):
        assert np.array_equal(
            plan_layer(LATER[layer], SLOTS, GPUS, FIRST[layer], options=parse("rebalance"))[0], whole[layer]
        )


def test_fastdeploy_from_nothing_and_from_a_map():
    for current in (None, FIRST):
        maps = plan_fastdeploy(LOADS.astype(np.int32), SLOTS, 8, 1, GPUS, current=current, options=parse("best"))
        check_tables(*maps)
        rules.check_map(maps[0])


def test_fastdeploy_remembers_its_last_map(monkeypatch):
    monkeypatch.setenv("EPLB_ENGINE", "rebalance,max_moves=3")
    rebalance_experts = Remembering()
    ones = np.ones((LAYERS, EXPERTS), np.int32)
    first = rebalance_experts(ones, SLOTS, 1, 8, 16, "")
    second = rebalance_experts(LOADS.astype(np.int32), SLOTS, EXPERTS, 1, GPUS, "balance_intra_node")
    check_tables(*second)
    rules.check_slots_kept(first[0], second[0])
    assert 0 < rules.moves_of(first[0], second[0]).max() <= 3
    # Another model begins again, however much has to move.
    assert imbalance(LATER[:1], rebalance_experts(LATER[:1], SLOTS, 1, 1, GPUS)[0], GPUS).max() < 1.05


def test_fastdeploy_starts_with_sizes_that_do_not_fit():
    """It says 64 GPUs whatever there are."""
    placement, slots, counts = plan_fastdeploy(np.ones((LAYERS, EXPERTS), np.int32), SLOTS, 1, 8, 64)
    assert np.array_equal(placement, FIRST)
    check_tables(placement, slots, counts)
    assert counters().plans == 0


def test_fastdeploy_on_nodes_keeps_an_expert_on_one():
    """With as many groups as experts, unless the strategy knows no nodes."""
    for strategy, on_two in (("", False), ("balance_intra_node", True)):
        maps = plan_fastdeploy(LOADS.astype(np.int32), SLOTS, EXPERTS, 2, GPUS, strategy, options=parse("best"))
        nodes = maps[0].reshape(LAYERS, 2, -1)
        assert any(set(layer[0].tolist()) & set(layer[1].tolist()) for layer in nodes) is on_two
