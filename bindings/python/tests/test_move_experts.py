"""Transfer lists carried out by 4 ranks with gloo: every slot is checked against the new placement."""

from dataclasses import replace

import eplb
import numpy as np
import pytest
from eplb.sample import sample_weights

pytest.importorskip("torch")
pytest.importorskip("torch.distributed")
import distributed_ranks as jobs  # noqa: E402
import eplb.distributed  # noqa: E402
from distributed_ranks import same_error  # noqa: E402

GPUS, PLACES, LAYERS, EXPERTS = 4, 5, 3, 13
SLOTS = GPUS * PLACES
# Of each transfer order, whether it may be carried out in place.
WAYS = [("buffered", False), ("exclusive", False), ("in_place", False), ("in_place", True)]


@pytest.fixture
def few(tmp_path):
    """Ranks for one test, since a group is useless after a failure."""
    made = []

    def make(size, timeout):
        made.append(jobs.Ranks(tmp_path, size, timeout))
        return made[-1]

    yield make
    for each in made:
        each.close()


def random_placements(kind, seed):
    """A current placement and another; every kind has cycles, and GPUs that hold an expert twice."""
    chance = np.random.default_rng(seed)
    current = chance.integers(0, EXPERTS, (LAYERS, SLOTS))
    current[:, :EXPERTS] = np.arange(EXPERTS)
    current = chance.permuted(current, axis=1)
    if kind == "permuted":
        return current, chance.permuted(current, axis=1)
    placement = chance.permuted(current, axis=1)
    placement[chance.random(placement.shape) < 0.2] = chance.integers(0, EXPERTS)
    current[chance.random(current.shape) < 0.2] = -1
    placement[chance.random(placement.shape) < 0.1] = -1
    if kind == "dead":
        current[:, PLACES : 2 * PLACES] = -1
        placement[:, PLACES : 2 * PLACES] = -1
    return current, placement


def plan(context, current, placement, order):
    return context.plan_transfers(current, placement, num_gpus=GPUS, num_nodes=2, transfer_order=order)


def holds(answers, change, gpus=None):
    for rank, answer in enumerate(answers):
        assert not isinstance(answer, Exception), answer
        expected = change.expected(rank if gpus is None else gpus[rank])
        for layer, (tensors, right) in enumerate(zip(answer, expected, strict=True)):
            for tensor, each in zip(tensors, right, strict=True):
                assert np.array_equal(tensor, each), (rank, layer)
    return True


@pytest.mark.parametrize("order, in_place", WAYS)
@pytest.mark.parametrize("kind", ["permuted", "with holes", "dead"])
def test_every_slot(ranks, context, kind, order, in_place):
    reloads = cycles = 0
    for seed in range(5):
        change = jobs.Change(*random_placements(kind, seed), GPUS)
        moves = plan(context, change.current, change.placement, order)
        reloads += (moves.table()["kind"] == 3).sum()
        cycles += moves.group.max() + 1
        assert holds(ranks(jobs.move, change, moves, {"in_place": in_place}), change)
    assert (reloads > 0) == (kind != "permuted")
    assert (cycles > 0) == (order == "in_place")


@pytest.mark.parametrize("order, in_place", WAYS)
def test_the_moves_of_a_rebalance(ranks, context, order, in_place):
    current = context.solve(sample_weights(LAYERS, EXPERTS, 1), SLOTS, GPUS).physical_to_logical
    weights = sample_weights(LAYERS, EXPERTS, 2)
    for limits in ({}, {"max_moves": 2}, {"target": 0}):
        changed = context.rebalance(weights, current, GPUS, transfer_order=order, **limits)
        assert changed.report.moves > 0
        change = jobs.Change(current, changed.physical_to_logical, GPUS)
        assert holds(ranks(jobs.move, change, changed.moves, {"in_place": in_place}), change)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_dead_rank_is_not_in_the_group(ranks, context, in_place):
    """Ranks 0, 2 and 3 live; GPU 1, which was the dead one's, has nothing that can be read, and no slots."""
    for seed in range(3):
        change = jobs.Change(*random_placements("dead", seed), GPUS)
        moves = plan(context, change.current, change.placement, "in_place")
        answers = ranks(jobs.move, change, moves, {"in_place": in_place, "gpus": (0, 2, 3)}, [0, 2, 3])
        assert answers[1] is None
        assert holds([answers[0], *answers[2:]], change, (0, 2, 3))


def test_ranks_may_be_gpus_in_any_order(ranks, context):
    change = jobs.Change(*random_placements("with holes", 3), GPUS)
    moves = plan(context, change.current, change.placement, "in_place")
    gpus = (2, 0, 3, 1)
    answers = ranks(jobs.move, change, moves, {"in_place": True, "gpus": gpus}, [0, 1, 2, 3])
    assert holds(answers, change, gpus)


def test_some_layers(ranks, context):
    change = jobs.Change(*random_placements("permuted", 0), GPUS)
    moves = plan(context, change.current, change.placement, "buffered")
    answers = ranks(jobs.move, change, moves, {"layers": [2, 0]})
    change.placement[1] = change.current[1]
    assert holds(answers, change)


def test_alone(few, context):
    """A group of one: everything is copied within a GPU, or reloaded."""
    one = few(1, 10.0)
    change = jobs.Change(*random_placements("with holes", 1), 1)
    for order, in_place in WAYS:
        moves = context.plan_transfers(change.current, change.placement, num_gpus=1, transfer_order=order)
        assert holds(one(jobs.move, change, moves, {"in_place": in_place}), change)
    (total,) = one(jobs.reduce_loads, [[3, 4]])
    assert total[2].tolist() == [3, 4]


def test_nothing_to_move(ranks, context):
    change = jobs.Change(*2 * random_placements("permuted", 0)[:1], GPUS)
    assert holds(ranks(jobs.move, change, plan(context, change.current, change.placement, "in_place"), {}), change)


# ------------------------------------------------------------------------------------------------------------ refusals


def test_moves_that_need_a_buffer_are_refused_in_place(ranks, context):
    change = jobs.Change(*random_placements("permuted", 0), GPUS)
    moves = plan(context, change.current, change.placement, "buffered")
    words = "moves cannot be carried out in place: in layer", "transfer_order='in_place'"
    same_error(ranks(jobs.move, change, moves, {"in_place": True}), eplb.InvalidArgument, *words)


@pytest.mark.parametrize(
    "spoil",
    [
        # Each written one round before it should be, or read one round later.
        lambda moves: replace(moves, round=np.where(moves.round > 1, moves.round - 1, moves.round)),
        # Cycles that nobody saves.
        lambda moves: replace(moves, group=np.full_like(moves.group, -1)),
    ],
)
def test_the_check_of_moves_in_place_sees_what_would_be_lost(context, spoil):
    from eplb.distributed._transfers import check_in_place

    current, placement = random_placements("permuted", 0)
    moves = plan(context, current, placement, "in_place")
    check_in_place(moves.table(), LAYERS, SLOTS)
    spoilt = spoil(moves)
    change = replace(moves._change, round=spoilt.round, group=spoilt.group)
    with pytest.raises(eplb.InvalidArgument, match="in place"):
        check_in_place(replace(moves, _change=change).table(), LAYERS, SLOTS)


def test_what_ranks_give_must_fit(ranks, context):
    change = jobs.Change(*random_placements("dead", 0), GPUS)
    moves = plan(context, change.current, change.placement, "in_place")
    for options, members, words in (
        ({"load": False}, None, ("load is None, must be a function: no rank holds expert",)),
        ({"layers": [3]}, None, ("layers is 3, must be 0 to 2",)),
        ({"layers": [1, 1]}, None, ("layers is [1, 1], must name each layer once",)),
        ({"gpus": (0, 1, 2, 2)}, [0, 1, 2, 3], ("gpus is [0, 1, 2, 2], must have 4 different GPUs",)),
    ):
        answers = ranks(jobs.move, change, moves, options, members)
        assert all(isinstance(each, eplb.InvalidArgument) for each in answers)
        assert all(word in str(answers[0]) for word in words)
    answers = ranks(jobs.move, change, moves, {"gpus": (0, 1, 2)}, [0, 1, 2])[:3]
    same_error(answers, eplb.InvalidArgument, "GPU 3", "the ranks of the group are the GPUs 0, 1, 2")
    other = plan(context, change.current, change.current, "in_place")
    error = same_error(
        ranks(jobs.move, change, [moves, moves, moves, other], {}), eplb.distributed.GroupError, "moves must"
    )
    assert error.ranks == (3,)
    fewer = jobs.Change(change.current[:2], change.placement[:2], GPUS)
    same_error(ranks(jobs.move, fewer, moves, {}), eplb.InvalidArgument, "parameters has 2 layers, must have the 3")
    none = jobs.NoChange(change.current, change.placement, GPUS)
    same_error(ranks(jobs.move, none, moves, {}), eplb.InvalidArgument, "parameters is a NoneType, must be a list")
    same_error(ranks(jobs.move, change, moves.table(), {}), eplb.InvalidArgument, "moves is a ndarray, must be the")


def test_a_reload_that_fails(ranks, context):
    """Everything else has arrived, every rank knows, and the group goes on."""
    change = jobs.FailingChange(*random_placements("dead", 0), GPUS)
    moves = plan(context, change.current, change.placement, "in_place")
    answers = ranks(jobs.move, change, moves, {"in_place": True})
    error = same_error(answers, eplb.distributed.GroupError, "load(", "raised FileNotFoundError: no such checkpoint")
    assert len(error.ranks) == 1
    change = jobs.Change(change.current, change.placement, GPUS)
    assert holds(ranks(jobs.move, change, moves, {"in_place": True}), change)


# ------------------------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize("order, in_place", [("buffered", False), ("in_place", True)])
@pytest.mark.parametrize("how", ["killed", "stalled"])
def test_a_peer_that_fails_is_an_error(few, context, how, order, in_place):
    """Of those that wait for it, and then of those that wait for these: nobody hangs."""
    change = jobs.Change(*random_placements("permuted", 1), GPUS)
    moves = plan(context, change.current, change.placement, order)
    answers = few(4, 10.0)(jobs.move_and_fail, change, moves, {"in_place": in_place}, how, 1, 3, without=1)
    assert answers.pop(1) is None
    assert [type(answer) for answer in answers] == [eplb.distributed.GroupError] * 3, answers
    assert any("layer" in str(each) and "round" in str(each) and 1 in each.ranks for each in answers)


def test_a_timeout_of_its_own(few, context):
    change = jobs.Change(*random_placements("permuted", 1), GPUS)
    moves = plan(context, change.current, change.placement, "buffered")
    answers = few(4, 60.0)(jobs.move_and_fail, change, moves, {"timeout": 1.0}, "stalled", 1, 2, without=1)
    assert any(isinstance(each, eplb.distributed.GroupError) and 1 in each.ranks for each in answers)


@pytest.mark.parametrize("how", ["killed", "stalled"])
def test_a_rank_that_does_not_come(few, how):
    answers = few(3, 10.0)(jobs.fail_before, how, 2, without=2)
    for answer in answers[:2]:
        assert isinstance(answer, eplb.distributed.GroupError)
        assert "waits for the arguments of the others" in str(answer)
