"""The placement alone, and around GPUs that are gone."""

import eplb
import numpy as np
import pytest
from eplb.sample import sample_weights
from rebalances import EXPERTS, GPUS, LAYERS, SLOTS, WEIGHTS, arrivals, imbalance, stale_placement

PLACES = SLOTS // GPUS


def place(**options):
    return eplb.place(WEIGHTS, SLOTS, 1, 1, GPUS, **options)


@pytest.mark.parametrize("strategy", ["best", "greedy"])
def test_is_what_rebalance_experts_returns_first(strategy):
    assert np.array_equal(
        place(strategy=strategy), eplb.rebalance_experts(WEIGHTS, SLOTS, 1, 1, GPUS, strategy=strategy)[0]
    )


def test_changes_a_placement_as_a_context_does(context):
    current = stale_placement()
    expected = context.rebalance(WEIGHTS, current, num_gpus=GPUS, max_moves=5, target=1.01)
    assert np.array_equal(place(current=current, max_moves=5, target=1.01), expected.physical_to_logical)
    assert expected.report.moves > 0


@pytest.mark.parametrize("dtype", ["int32", np.int32, "int64", None])
def test_integer_types(dtype):
    placement = place(dtype=dtype)
    assert placement.dtype == (dtype or "int64")
    assert np.array_equal(placement, place())


@pytest.mark.parametrize("groups", [None, 0, 1])
def test_no_groups(groups):
    assert np.array_equal(eplb.place(WEIGHTS, SLOTS, groups, 2, GPUS), eplb.place(WEIGHTS, SLOTS, 1, 2, GPUS))


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("strategy", ["best", "greedy"])
def test_no_groups_in_the_call_of_the_published_program(nodes, strategy):
    expected, *others = (
        eplb.rebalance_experts(WEIGHTS, SLOTS, groups, nodes, GPUS, strategy=strategy)
        for groups in (1, 0, None, np.int64(0))
    )
    for maps in others:
        assert all(np.array_equal(*pair) for pair in zip(maps, expected, strict=True))


@pytest.mark.parametrize("groups", [np.array([1, 2]), "", 0.0, "1", []])
def test_no_number_of_groups(groups):
    for call in (eplb.place, eplb.rebalance_experts):
        with pytest.raises(eplb.InvalidArgument, match="^num_groups is .*, must be an integer"):
            call(WEIGHTS, SLOTS, groups, 1, GPUS)


@pytest.mark.parametrize("has_current", [False, True])
@pytest.mark.parametrize("kind", [bool, np.int32])
def test_dead_gpus_hold_nothing_and_the_rest_is_balanced(has_current, kind):
    alive = np.ones(GPUS, kind)
    alive[[3, 7]] = 0
    current = stale_placement() if has_current else None
    placement = place(alive=alive, current=current, max_replicas=8)
    of_gpus = placement.reshape(LAYERS, GPUS, PLACES)
    assert (of_gpus[:, [3, 7]] == -1).all()
    assert imbalance(WEIGHTS, placement, is_open=alive.astype(bool)).max() < 1.1
    if has_current:
        repaired = np.where(np.repeat(alive, PLACES) > 0, current, -1)
        assert 0 < arrivals(repaired, placement).sum() < arrivals(repaired, place(alive=alive)).sum()


def test_with_a_dead_gpu_groups_are_not_bound_to_nodes():
    alive = [1] * (GPUS - 1) + [0]
    free = eplb.place(WEIGHTS, SLOTS, 8, 4, GPUS, alive=alive)
    assert np.array_equal(free, eplb.place(WEIGHTS, SLOTS, 1, 1, GPUS, alive=alive))
    with pytest.raises(eplb.InvalidArgument, match="hierarchical policy needs equal nodes"):
        eplb.place(WEIGHTS, SLOTS, 8, 4, GPUS, alive=alive, policy="hierarchical")


def test_all_alive_is_as_if_nothing_were_said():
    assert np.array_equal(place(alive=[True] * GPUS), place())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"alive": [1] * 3}, r"^alive is int64 of shape \[3\], must be 0 or 1 for each of 16 GPUs$"),
        ({"alive": [2] * GPUS}, "^alive is int64 of shape"),
        ({"alive": [0] * GPUS}, "^alive has no GPU that is alive"),
        ({"dtype": "int16"}, "^dtype is int16, must be one of int32, int64"),
        ({"max_moves": 3}, "^max_moves is 3, but current is not given"),
        ({"strategy": "greedy", "current": np.zeros(SLOTS, int)}, "only 'rebalance' starts from"),
    ],
)
def test_mistakes(options, text):
    with pytest.raises(eplb.InvalidArgument, match=text):
        place(**options)


def test_a_bad_weight_is_named():
    weights = sample_weights(2, EXPERTS).astype(float)
    weights[1, 5] = np.nan
    with pytest.raises(eplb.InvalidWeight, match="layer 1, expert 5"):
        eplb.place(weights, SLOTS, 1, 1, GPUS, current=stale_placement()[:2])


def test_torch_tensors_come_back_as_such():
    torch = pytest.importorskip("torch")
    placement = eplb.place(torch.tensor(WEIGHTS), SLOTS, 1, 1, GPUS, dtype=torch.int32)
    assert placement.dtype is torch.int32
    assert np.array_equal(placement.numpy(), place())
