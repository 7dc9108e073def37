"""How a current placement becomes a plan."""

import copy
import os
import pickle

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from eplb._session import Session
from eplb.sample import sample_weights

SIZES = {"num_slots": 80, "num_gpus": 16, "num_nodes": 2, "policy": "global", "effort": "fast"}
ORDERS = ("buffered", "in_place", "exclusive")
FIGURES = (
    "layers_changed",
    "moves",
    "moves_between_nodes",
    "reloads",
    "rounds",
    "most_sent",
    "most_received",
    "moves_forced",
    "moves_bound",
)
FIELDS = ("layer", "expert", "gpu", "slot", "source_gpu", "source_slot", "kind", "round", "group")
WEIGHTS = sample_weights(4, 64)


def current_of(context):
    """Where experts are before WEIGHTS come: the first layer as it will be, GPUs of the others dead or empty."""
    current = context.solve(sample_weights(4, 64, 9), **SIZES).physical_to_logical.copy()
    current[0] = context.solve(WEIGHTS, **SIZES).physical_to_logical[0]
    current[1:, :10] = -1
    current[2, ::7] = -1
    return current


def arrays(plan):
    return [plan.moves.count, plan.moves.source, plan.moves.round, plan.moves.group, plan.changed, plan.moves.table()]


def same(plan, known):
    for given, expected in zip(arrays(plan), known, strict=True):
        assert given.dtype == expected.dtype
        assert np.array_equal(given, expected)
    return True


@pytest.mark.parametrize("order", ORDERS)
def test_moves(context, order):
    current = current_of(context)
    plan = context.solve(WEIGHTS, **SIZES, current=current, transfer_order=order)
    moves = plan.moves
    assert moves.count.dtype == moves.source.dtype == moves.round.dtype == moves.group.dtype == np.int64
    assert moves.count.shape == (4,)
    assert moves.source.shape == moves.round.shape == moves.group.shape == (4, 80)
    assert plan.changed.dtype == bool
    assert plan.changed.tolist() == [False, True, True, True]
    stays = current == plan.physical_to_logical
    assert np.array_equal(moves.source == np.arange(80), stays)
    assert np.array_equal(moves.round < 0, stays)
    assert plan.moves is moves
    assert "count=" in repr(moves)
    # Moves do not change the placement.
    assert np.array_equal(plan.physical_to_logical, context.solve(WEIGHTS, **SIZES).physical_to_logical)


@pytest.mark.parametrize("order", ORDERS)
def test_table(context, order):
    current = current_of(context)
    plan = context.solve(WEIGHTS, **SIZES, current=current, transfer_order=order)
    table, moves = plan.moves.table(), plan.moves
    assert table.dtype.names == FIELDS
    assert len(table) == (moves.source != np.arange(80)).sum()
    assert np.array_equal(table, np.sort(table, order=("layer", "round", "slot")))
    for layer, expert, gpu, slot, source_gpu, source_slot, kind, round_of, group in table.tolist():
        assert expert == plan.physical_to_logical[layer, slot]
        assert gpu == slot // 5
        assert (round_of, group) == (moves.round[layer, slot], moves.group[layer, slot])
        if kind == 3:
            assert (source_gpu, source_slot, moves.source[layer, slot]) == (-1, -1, -2)
            continue
        assert source_slot == moves.source[layer, slot]
        assert source_gpu == source_slot // 5
        assert expert == current[layer, source_slot]
        assert kind == (0 if gpu == source_gpu else 1 if gpu // 8 == source_gpu // 8 else 2)


def test_the_report_counts_them(context):
    plan = context.solve(WEIGHTS, **SIZES, current=current_of(context))
    table, report = plan.moves.table(), plan.report
    assert report.layers_changed == 3
    assert report.moves == plan.moves.count.sum() > 0
    assert report.moves_between_nodes == (table["kind"] == 2).sum() > 0
    assert report.reloads == (table["kind"] == 3).sum() > 0
    assert report.rounds == plan.moves.round.max(axis=1, initial=0).sum() > 0
    links = table[(table["kind"] == 1) | (table["kind"] == 2)]
    for name, figure in (("source_gpu", report.most_sent), ("gpu", report.most_received)):
        assert np.bincount(links["layer"] * 16 + links[name]).max() == figure
    assert all(name in report.summary() for name in FIGURES)


@pytest.mark.parametrize("read", [(), ("moves",), ("report",)])
def test_a_plan_takes_its_moves_along(context, read):
    """Whatever was read before, and whatever the context does then."""
    current = current_of(context)
    kept = context.solve(WEIGHTS, **SIZES, current=current)
    known, figures = arrays(kept), [getattr(kept.report, name) for name in FIGURES]
    goes_on = [
        lambda other: other.solve(PAIRS, 16, 8),
        lambda other: other.solve(WEIGHTS, 96, 16, num_nodes=4, current=np.zeros((4, 96), int)),
        lambda other: other.upload(PAIRS),
        lambda other: other.reserve((4, 64), 96, 16),
        lambda other: other.evaluate([list(range(8)) * 2], PAIRS, num_gpus=8, num_nodes=1, num_groups=1),
        lambda other: other.close(),
    ]
    for change in goes_on:
        other = eplb.Context()
        plan = other.solve(WEIGHTS, **SIZES, current=current)
        for name in read:
            getattr(plan, name)
        change(other)
        assert same(plan, known)
        assert [getattr(plan.report, name) for name in FIGURES] == figures
        other.close()


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda plan: pickle.loads(pickle.dumps(plan))])
def test_copies(context, way):
    current = current_of(context)
    plan = context.solve(WEIGHTS, **SIZES, current=current)
    copied = way(plan)
    moves = way(plan.moves)
    context.solve(PAIRS, 16, 8)
    known = arrays(plan)
    assert same(copied, known)
    assert np.array_equal(moves.table(), known[-1])
    assert copied.report.moves == plan.report.moves > 0


def test_callers_may_write_to_their_arrays(context):
    current = current_of(context)
    given = current.copy()
    plan = context.solve(WEIGHTS, **SIZES, current=given)
    known = arrays(context.solve(WEIGHTS, **SIZES, current=current))
    given[:] = 0
    plan.physical_to_logical[:] = 0
    assert same(plan, known)
    plan.moves.source[:] = 0
    assert np.array_equal(plan.moves.table(), known[-1])


def test_nothing_is_fetched_that_is_not_read(context, monkeypatch):
    current = current_of(context)
    fetched = []
    original = Session._fetch
    monkeypatch.setattr(
        Session, "_fetch", lambda self, which, *rest: fetched.append(which) or original(self, which, *rest)
    )
    plan = context.solve(WEIGHTS, **SIZES, current=current)
    plan.physical_to_logical  # noqa: B018
    assert fetched == ["physical_to_logical"]
    del plan
    context.solve(WEIGHTS, **SIZES, current=current)
    assert fetched == ["physical_to_logical"] * 2


def test_without_a_current_placement_there_are_no_moves(context):
    context.solve(WEIGHTS, **SIZES, current=current_of(context))
    for plan in (context.solve(WEIGHTS, **SIZES), eplb.Context().solve(WEIGHTS, **SIZES)):
        for name in ("moves", "changed"):
            with pytest.raises(eplb.InvalidState, match=r"solved without a current placement: Context.solve\("):
                getattr(plan, name)
        assert [getattr(plan.report, name) for name in FIGURES] == [0] * len(FIGURES)
    copied = copy.deepcopy(plan)
    with pytest.raises(eplb.InvalidState, match="without a current placement"):
        copied.moves  # noqa: B018


def test_the_last_current_placement_is_forgotten(context):
    context.solve(PAIRS, 16, 8, current=[list(range(8)) * 2])
    # Of other sizes: it would be refused if it were still there.
    context.solve(WEIGHTS, **SIZES)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64, list])
def test_types(context, kind):
    current = current_of(context)
    known = arrays(context.solve(WEIGHTS, **SIZES, current=current))
    given = current.tolist() if kind is list else current.astype(kind)
    assert same(context.solve(WEIGHTS, **SIZES, current=given), known)
    assert same(context.solve(WEIGHTS, **SIZES, current=np.asfortranarray(current)), known)


BAD = [
    ([[0] * 15], eplb.InvalidArgument, r"1 layers of 15 slots, but the problem has 1 of 16"),
    ([[0] * 16] * 2, eplb.InvalidArgument, r"2 layers of 16 slots, but the problem has 1 of 16"),
    ([[0] * 15 + [-2]], eplb.InvalidPlacement, r"placement\[layer 0, slot 15\] is -2"),
    ([[0] * 15 + [8]], eplb.InvalidPlacement, r"expert 8 in layer 0, slot 15, but there are 8 experts"),
    (
        np.full((1, 16), 2**64 - 1, np.uint64),
        eplb.InvalidPlacement,
        r"placement\[layer 0, slot 0\] is 9223372036854775807",
    ),
    ([0] * 16, eplb.InvalidArgument, r"current is int64 of 1 dimensions, must be integers \[layers, slots\]"),
    ([[0.0] * 16], eplb.InvalidArgument, r"current is float64 of 2 dimensions"),
    ("here", eplb.InvalidArgument, r"current is "),
]


@pytest.mark.parametrize(("current", "error", "text"), BAD)
def test_bad_current_placements(context, current, error, text):
    before = context.solve(PAIRS, 16, 8, current=[list(range(8)) * 2])
    with pytest.raises(error, match=text):
        context.solve(PAIRS, 16, 8, current=current)
    assert before.moves.count.shape == (1,)
    assert before.report.layers_changed == 1
    context.solve(PAIRS, 16, 8)


def test_unknown_orders_are_named(context):
    with pytest.raises(eplb.InvalidArgument, match="transfer_order is 'sideways', must be one of buffered, in_place"):
        context.solve(PAIRS, 16, 8, transfer_order="sideways")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_has_the_moves(context):
    plan = context.solve(WEIGHTS, **SIZES, current=current_of(context))
    child = os.fork()
    if child == 0:
        os._exit(0 if plan.moves.table().size and plan.report.moves else 1)
    assert os.waitpid(child, 0)[1] == 0


# ------------------------------------------------------------------------------------- any two placements


@pytest.mark.parametrize("order", ORDERS)
def test_any_two_placements(context, order):
    current = current_of(context)
    plan = context.solve(WEIGHTS, **SIZES, current=current, transfer_order=order)
    sizes = {"num_gpus": 16, "num_nodes": 2, "transfer_order": order}
    for each in (context, eplb.Context()):
        moves = each.plan_transfers(current, plan.physical_to_logical, **sizes)
        for name in ("count", "source", "round", "group"):
            given, expected = getattr(moves, name), getattr(plan.moves, name)
            assert given.dtype == expected.dtype
            assert np.array_equal(given, expected)
        assert np.array_equal(moves.table(), plan.moves.table())
    # And the plan is still the context's.
    assert plan.report.moves == plan.moves.count.sum()


def test_between_the_gpus_of_a_cluster(context):
    cluster = eplb.Cluster(slots=[5] * 15 + [2], node=[0, 1] * 7 + [1, 0])
    current = current_of(context)
    options = {"num_slots": 80, "effort": "fast", "cluster": cluster}
    plan = context.solve(WEIGHTS, **options, current=current)
    known = arrays(plan)
    assert (plan.physical_to_logical[:, 77:] == -1).all()
    table = plan.moves.table()
    node, source_node = (np.array(cluster.node)[table[name]] for name in ("gpu", "source_gpu"))
    assert np.array_equal(table["kind"] == 2, (table["kind"] < 3) & (node != source_node))
    assert plan.report.moves_between_nodes == (table["kind"] == 2).sum() > 0
    # Of equal GPUs, meanwhile.
    context.solve(WEIGHTS, **SIZES)
    assert same(plan, known)
    moves = context.plan_transfers(current, plan.physical_to_logical, cluster=cluster)
    assert np.array_equal(moves.table(), table)
    with pytest.raises(eplb.InvalidPlacement, match=r"slot 77\] is 0, must be -1: GPU 15 has 2 of 5 slots"):
        context.plan_transfers(current, np.zeros_like(current), cluster=cluster)


def test_experts_of_any_number_and_slots_that_hold_nothing(context):
    largest = 2**18 - 1
    current = [[0, 1, largest, -1, 7, 7]]
    placement = np.array([[largest, -1, 0, 5, 5, 7]], np.int32)
    moves = context.plan_transfers(current, placement, num_gpus=3)
    assert moves.source.tolist() == [[2, -1, 0, -2, -2, 5]]
    assert moves.round.tolist() == [[1, -1, 1, 0, 0, -1]]
    # Each of two GPUs gets expert 5.
    assert moves.count.tolist() == [4]
    assert moves.table()["expert"].tolist() == [5, 5, largest, 0]
    # Both slots of a GPU get one expert: one move.
    assert context.plan_transfers([[0, 1, 2, 3]], [[3, 3, 2, 3]], num_gpus=2).count.tolist() == [1]


BAD_PAIRS = [
    (
        ([[0, -2]], [[0, 1]]),
        {},
        eplb.InvalidPlacement,
        r"current\[layer 0, slot 1\] is -2, must be .* 0 to 262143, or -1",
    ),
    (([[0, 1]], [[0, 2**18]]), {}, eplb.InvalidPlacement, r"placement\[layer 0, slot 1\] is 262144, must be"),
    (([[0, 1]], [[0, 1], [0, 1]]), {}, eplb.InvalidArgument, r"current is \[1, 2\] and placement is \[2, 2\]"),
    (([0, 1], [[0, 1]]), {}, eplb.InvalidArgument, "current is int64 of 1 dimensions"),
    (([[0, 1]], [[0.0, 1]]), {}, eplb.InvalidArgument, "placement is float64 of 2 dimensions"),
    (([[0, 1]], [[0, 1]]), {"num_gpus": 3}, eplb.InvalidArgument, r"num_slots is 2, .* num_gpus = 3 \(3\)"),
    (([[0, 1]], [[0, 1]]), {"num_gpus": 0}, eplb.InvalidArgument, "num_gpus is 0, must be at least 1"),
    (([[0, 1]], [[0, 1]]), {"num_nodes": 0}, eplb.InvalidArgument, "num_nodes is 0, must be at least 1"),
    (([[0, 1]], [[0, 1]]), {"num_gpus": "2"}, eplb.InvalidArgument, "num_gpus is '2', must be an integer"),
    (
        ([[0, 1]], [[0, 1]]),
        {"transfer_order": "later"},
        eplb.InvalidArgument,
        "transfer_order is 'later', must be one of",
    ),
]


@pytest.mark.parametrize(("placements", "options", "error", "text"), BAD_PAIRS)
def test_bad_pairs_of_placements(context, placements, options, error, text):
    with pytest.raises(error, match=text):
        context.plan_transfers(*placements, **{"num_gpus": 1, **options})


def test_a_closed_context_plans_no_transfers():
    context = eplb.Context()
    context.close()
    with pytest.raises(eplb.InvalidState, match="closed"):
        context.plan_transfers([[0]], [[0]], num_gpus=1)


def test_any_two_placements_of_a_cluster(context):
    """GPUs 0 and 2 are on one node, and what the context has solved stays."""
    cluster = eplb.Cluster(slots=[1, 1, 1, 1], node=[0, 1, 0, 1])
    plan = context.solve(PAIRS, 16, 8, current=[list(range(8)) * 2])
    moves = context.plan_transfers([[0, 1, -1, 0]], [[-1, 1, 0, 0]], cluster=cluster)
    assert moves.source.tolist() == [[-1, 1, 0, 3]]
    assert moves.table()["kind"].tolist() == [1]
    table = context.plan_transfers([[0, 1, -1, 0]], [[-1, 1, 0, 0]], num_gpus=4, num_nodes=2).table()
    assert (table["source_slot"].tolist(), table["kind"].tolist()) == ([3], [1])
    with pytest.raises(eplb.InvalidArgument, match="num_gpus is 2, but the cluster has 4"):
        context.plan_transfers([[0, 1, -1, 0]], [[-1, 1, 0, 0]], num_gpus=2, cluster=cluster)
    with pytest.raises(eplb.InvalidArgument, match="num_gpus is missing"):
        context.plan_transfers([[0]], [[0]])
    assert plan.moves.count.sum() == plan.report.moves
