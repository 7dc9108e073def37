"""What follows from a placement, and loads that were counted by slot."""

import eplb
import numpy as np
import pytest
from eplb.sample import sample_weights

PLACEMENT = np.array([[0, 1, 2, 0, 3, 1], [3, -1, 1, 2, 0, 3]])


def test_maps_by_hand():
    slots, counts, rank = eplb.maps_of(PLACEMENT, 4)
    assert slots.tolist() == [[[0, 3], [1, 5], [2, -1], [4, -1]], [[4, -1], [2, -1], [3, -1], [0, 5]]]
    assert counts.tolist() == [[2, 2, 1, 1], [1, 1, 1, 2]]
    assert rank.tolist() == [[0, 0, 0, 1, 0, 1], [0, -1, 0, 0, 0, 1]]
    assert slots.dtype == counts.dtype == rank.dtype == np.int64


def test_by_rank_goes_by_the_place_on_the_gpu_first():
    placement = [[0, 1, 2, 1, 3, 0], [0, 1, 0, 1, 2, 3]]
    slots, counts, rank = eplb.maps_of(placement, 4, order="rank", num_gpus=2)
    # Slots 0 and 3 are the first on their GPUs, then 1 and 4, then 2 and 5.
    assert slots[0].tolist() == [[0, 5], [3, 1], [2, -1], [4, -1]]
    assert rank[0].tolist() == [0, 1, 0, 0, 0, 1]
    assert counts[0].tolist() == [2, 2, 1, 1]
    assert slots[1].tolist() == [[0, 2], [3, 1], [4, -1], [5, -1]]


@pytest.mark.parametrize("order", ["ascending", "rank"])
@pytest.mark.parametrize("seed", range(20))
def test_maps_agree_with_the_placement(order, seed):
    random = np.random.default_rng(seed)
    placement = random.integers(-1, 9, (3, 24))
    slots, counts, rank = eplb.maps_of(placement, 9, order=order, num_gpus=6)
    assert slots.shape[2] == max(1, counts.max())
    for layer, row in enumerate(placement):
        for expert in range(9):
            listed = slots[layer, expert][slots[layer, expert] >= 0]
            assert sorted(listed) == np.flatnonzero(row == expert).tolist()
            assert counts[layer, expert] == len(listed)
            key = listed if order == "ascending" else [(slot % 4, slot // 4) for slot in listed]
            assert sorted(key) == list(key)
            assert rank[layer, listed].tolist() == list(range(len(listed)))
        assert (rank[layer, row < 0] == -1).all()


def test_ascending_maps_are_those_of_the_default_strategy():
    weights = sample_weights(3, 32)
    placement, slots, counts = eplb.rebalance_experts(weights, 40, 1, 1, 4)
    ours = eplb.maps_of(placement, 32)
    assert np.array_equal(counts, ours[1])
    assert np.array_equal(slots[:, :, : ours[0].shape[2]], ours[0])


def test_a_plan_is_a_placement(context):
    plan = context.solve(sample_weights(2, 16), num_slots=20, num_gpus=4)
    assert np.array_equal(eplb.maps_of(plan, 16)[1], plan.replica_count)
    assert eplb.loads_of(np.ones((2, 20)), plan, 16).sum() == 40


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (
            (PLACEMENT, 3),
            {},
            eplb.InvalidPlacement,
            r"physical_to_logical\[0, 4\] is 3, must be an expert, 0 to 2, or -1",
        ),
        ((PLACEMENT - 2, 4), {}, eplb.InvalidPlacement, "is -2"),
        ((PLACEMENT, 4), {"order": "up"}, eplb.InvalidArgument, "order is 'up', must be one of ascending, rank"),
        ((PLACEMENT, 4), {"order": "rank"}, eplb.InvalidArgument, "num_gpus is missing"),
        ((PLACEMENT, 4), {"order": "rank", "num_gpus": 4}, eplb.InvalidArgument, "num_gpus is 4, must divide the 6"),
        ((PLACEMENT[0], 4), {}, eplb.InvalidArgument, "must be integers"),
        ((PLACEMENT, 0), {}, eplb.InvalidArgument, "num_experts is 0"),
    ],
)
def test_mistakes_of_maps(arguments, options, error, text):
    with pytest.raises(error, match=text):
        eplb.maps_of(*arguments, **options)


@pytest.mark.parametrize(("dtype", "result"), [("int32", "int64"), ("uint8", "int64"), ("float32", "float64")])
def test_loads_by_hand(dtype, result):
    loads = np.arange(12, dtype=dtype).reshape(2, 6)
    summed = eplb.loads_of(loads, PLACEMENT, 4)
    assert summed.dtype == result
    assert summed.tolist() == [[0 + 3, 1 + 5, 2, 4], [10, 8, 9, 6 + 11]]


def test_loads_keep_leading_dimensions():
    loads = np.random.default_rng(3).integers(0, 99, (5, 2, 2, 6))
    summed = eplb.loads_of(loads, PLACEMENT, 4)
    assert summed.shape == (5, 2, 2, 4)
    assert np.array_equal(summed[3, 1], eplb.loads_of(loads[3, 1], PLACEMENT, 4))
    assert np.array_equal(
        eplb.loads_of(loads, PLACEMENT[0], 4)[..., 1, :], eplb.loads_of(loads, PLACEMENT[[0, 0]], 4)[..., 1, :]
    )


def test_loads_do_not_overflow_32_bits():
    loads = np.full((1, 2), 2**31 - 1, np.int32)
    assert eplb.loads_of(loads, [[0, 0]], 1).tolist() == [[2**32 - 2]]


@pytest.mark.parametrize(
    ("loads", "text"),
    [
        (np.zeros((2, 5)), r"slot_loads is \[2, 5\] and placement is \[2, 6\]: they must have"),
        (np.zeros(6), "slot_loads is float64 of 1 dimensions"),
        (np.zeros((2, 6), bool), "slot_loads is bool of 2 dimensions"),
    ],
)
def test_mistakes_of_loads(loads, text):
    with pytest.raises(eplb.InvalidArgument, match=text):
        eplb.loads_of(loads, PLACEMENT, 4)


def test_torch_tensors_come_back_as_such():
    torch = pytest.importorskip("torch")
    maps = eplb.maps_of(torch.tensor(PLACEMENT, dtype=torch.int32), 4)
    for given, expected in zip(maps, eplb.maps_of(PLACEMENT, 4), strict=True):
        assert given.dtype is torch.int64
        assert np.array_equal(given.numpy(), expected)
    assert eplb.loads_of(torch.ones(2, 6), PLACEMENT, 4).dtype is torch.float64
