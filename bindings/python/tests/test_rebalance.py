"""A placement changed by few moves, within limits."""

import pickle
import sys

import eplb
import numpy as np
import pytest
from conftest import PAIRS, ROOT
from eplb.sample import sample_weights
from rebalances import (
    EXPERTS,
    GPUS,
    LAYERS,
    SLOTS,
    UNIT,
    WEIGHTS,
    arrivals,
    check,
    imbalance,
    rebalance,
    stale_placement,
    without,
)

sys.path.append(str(ROOT / "tests" / "golden"))
from transfer_simulator import simulate

ORDERS = ("buffered", "in_place", "exclusive")


@pytest.fixture(scope="module")
def current():
    return stale_placement()


# --------------------------------------------------------------------------------------------------------------- limits


def test_the_target_is_reached_with_few_moves(context, current):
    plan = rebalance(context, current)
    moves = check(WEIGHTS, current, plan)
    before = imbalance(WEIGHTS, current)
    assert (before > 1.02).any()
    assert np.array_equal(plan.changed, before > 1.02)
    assert plan.report.layers_missed == (plan.imbalance > 1.02 + UNIT).sum() == 0
    fresh = context.solve(WEIGHTS, SLOTS, GPUS, current=current)
    assert moves.sum() < fresh.moves.count.sum() / 2
    assert 0 == plan.report.moves_forced <= plan.report.moves_bound <= plan.report.moves


@pytest.mark.parametrize("most", [0, 1, 2, 5, 1000])
def test_max_moves(context, current, most):
    plan = rebalance(context, current, max_moves=most)
    moves = check(WEIGHTS, current, plan).sum(axis=1)
    assert moves.max() <= most
    before = imbalance(WEIGHTS, current)
    assert (plan.imbalance <= before + 1e-12).all()
    assert plan.changed.any() == (most > 0)
    if most == 0:
        assert np.array_equal(plan.physical_to_logical, current)
    if most == 5:
        assert plan.imbalance.mean() < before.mean()


@pytest.mark.parametrize("most", [0, 1, 7, 40, 10**6])
def test_max_moves_total(context, current, most):
    plan = rebalance(context, current, max_moves_total=most)
    moves = check(WEIGHTS, current, plan)
    assert moves.sum() <= most
    if most == 7:
        assert moves.sum() > 0
        assert plan.imbalance.mean() < imbalance(WEIGHTS, current).mean()


@pytest.mark.parametrize("most", [1, 2])
def test_max_arrivals(context, current, most):
    plan = rebalance(context, current, target=1.0, max_arrivals=most)
    moves = check(WEIGHTS, current, plan)
    assert 0 < moves.max() <= most


def test_limits_hold_together(context, current):
    limits = {"max_moves": 4, "max_moves_total": 15, "max_arrivals": 1, "target": 1.01, "move_price": 1e-4}
    for left_out in (None, *limits):
        given = {name: value for name, value in limits.items() if name != left_out}
        moves = check(WEIGHTS, current, rebalance(context, current, **given))
        assert moves.sum(axis=1).max() <= given.get("max_moves", SLOTS)
        assert moves.sum() <= given.get("max_moves_total", LAYERS * SLOTS)
        assert moves.max() <= given.get("max_arrivals", SLOTS)


@pytest.mark.parametrize("target", [1.0, 1.005, 1.05, 1.3, 50.0])
def test_targets(context, current, target):
    plan = rebalance(context, current, target=target)
    check(WEIGHTS, current, plan)
    missed = plan.imbalance > target + UNIT
    assert plan.report.layers_missed == missed.sum()
    assert not plan.changed[imbalance(WEIGHTS, current) <= target].any()
    if target >= 1.05:
        assert not missed.any()


def test_a_target_out_of_reach_is_said(context, current):
    plan = rebalance(context, current, target=1.01, max_moves=1)
    assert check(WEIGHTS, current, plan).sum(axis=1).max() <= 1
    assert plan.report.layers_missed == (plan.imbalance > 1.01 + UNIT).sum() > 0


def test_a_price(context, current):
    """Moves that gain less are not made; a price above every gain forbids all."""
    counts = [rebalance(context, current, move_price=price).report.moves for price in (1e-5, 1e-3, 1e-2, 1000.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 0
    plan = rebalance(context, current, move_price=1e-2)
    gained = imbalance(WEIGHTS, current) - plan.imbalance
    assert (gained >= 1e-2 * check(WEIGHTS, current, plan).sum(axis=1) - 1e-4).all()


def test_slots_become_empty_only_where_they_may(context, current):
    assert (rebalance(context, current, max_moves=3).physical_to_logical >= 0).all()
    plan = rebalance(context, current, max_moves=3, allow_empty=True)
    assert check(WEIGHTS, current, plan).sum(axis=1).max() <= 3
    without = rebalance(context, current, max_moves=3)
    assert plan.report.imbalance_mean <= without.report.imbalance_mean + 0.01


@pytest.mark.parametrize("effort", ["fast", "normal", "max"])
def test_the_same_answer_every_time(context, current, effort):
    limits = {"max_moves": 6, "effort": effort, "seed": 5}
    plans = [rebalance(context, current, **limits), rebalance(eplb.Context(num_threads=3), current, **limits)]
    assert plans[0].fingerprint == plans[1].fingerprint
    check(WEIGHTS, current, plans[0])


def test_a_layer_without_load_stays(context, current):
    weights = WEIGHTS.copy()
    weights[2] = 0
    plan = rebalance(context, current, weights, target=1.0)
    check(weights, current, plan)
    assert plan.changed.tolist() == [True, True, False, True, True, True]


@pytest.mark.parametrize("gpus", [2, 4])
def test_a_layer_that_is_good_stays_with_its_duplicates(context, gpus):
    """Two replicas on a GPU are of no use, but nothing is gained by dropping one."""
    held = np.array([[0, 0, 1, 1, 2, 2, 3, 3]])
    plan = context.rebalance([[10, 10, 10, 10]], held, num_gpus=gpus)
    assert np.array_equal(plan.physical_to_logical, held)
    assert not plan.changed.any()


@pytest.mark.parametrize("most", [0, 2, 8, None])
def test_a_cap_on_replicas_is_kept_or_refused(context, current, most):
    cap = int(np.bincount(current[0]).max()) - 1
    assert cap >= 2
    try:
        plan = rebalance(context, current, max_replicas=cap, max_moves=most)
    except eplb.InvalidArgument as error:
        assert most is not None
        assert "max_moves" in str(error) or "max_replicas" in str(error)
        return
    assert plan.replica_count.max() <= cap
    check(WEIGHTS, current, plan)


def test_hierarchical(context):
    sizes = {"num_gpus": GPUS, "num_nodes": 4, "num_groups": 8, "policy": "hierarchical"}
    current = context.solve(sample_weights(LAYERS, EXPERTS, 9), SLOTS, **sizes).physical_to_logical
    plan = context.rebalance(WEIGHTS, current, **sizes, max_moves=6)
    assert check(WEIGHTS, current, plan).sum(axis=1).max() <= 6
    for placement in plan.physical_to_logical:
        of_node = [set((row // (EXPERTS // 8)).tolist()) for row in placement.reshape(4, -1)]
        assert [len(groups) for groups in of_node] == [2] * 4
    assert plan.report.policy == "hierarchical"


# -------------------------------------------------------------------------------------------------- transfers and plans


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("gone", [[], [2, 7]])
def test_the_simulator_carries_the_transfers_out(context, current, order, gone):
    left, cluster = without(current, gone)
    plan = context.rebalance(WEIGHTS, left, cluster=cluster, transfer_order=order, target=1.05)
    rounds = 0
    for layer in range(LAYERS):
        maps = left, plan.physical_to_logical, plan.moves.source, plan.moves.round, plan.moves.group
        rounds += simulate(*(each[layer].tolist() for each in maps), GPUS, order)
    assert rounds == plan.report.rounds


def test_a_plan_is_where_experts_are(context):
    before = context.solve(sample_weights(LAYERS, EXPERTS, 9), SLOTS, GPUS)
    plan = context.rebalance(WEIGHTS, before)
    assert plan.num_gpus == GPUS
    check(WEIGHTS, before.physical_to_logical, plan)
    again = context.rebalance(WEIGHTS, plan)
    assert not again.changed.any()
    assert again.report.moves == 0


def test_one_layer_stands_for_all(context):
    first = np.arange(SLOTS) % EXPERTS
    plan = rebalance(context, first)
    assert plan.fingerprint == rebalance(context, np.tile(first, (LAYERS, 1))).fingerprint
    context.upload(WEIGHTS)
    assert plan.fingerprint == rebalance(context, first, None).fingerprint


@pytest.mark.parametrize("read", [False, True])
def test_a_plan_outlives_its_solve(context, current, read):
    left, cluster = without(current, [3])
    names = ("moves", "moves_forced", "moves_bound", "layers_missed", "imbalance_mean", "rounds", "reloads")
    known = context.rebalance(WEIGHTS, left, cluster=cluster, target=1.01).report
    plan = context.rebalance(WEIGHTS, left, cluster=cluster, target=1.01)
    if read:
        plan.report  # noqa: B018
    context.solve(PAIRS, 16, 8)
    for each in (plan, pickle.loads(pickle.dumps(plan))):
        assert [getattr(each.report, name) for name in names] == [getattr(known, name) for name in names]
        assert each.report.strategy == "rebalance"


def test_limits_do_not_stay(context, current):
    free = context.solve(WEIGHTS, SLOTS, GPUS, current=current).fingerprint
    default = rebalance(context, current).fingerprint
    rebalance(context, current, max_moves=1, allow_empty=True, target=0, move_price=0.1, max_arrivals=1)
    assert rebalance(context, current).fingerprint == default
    assert context.solve(WEIGHTS, SLOTS, GPUS, current=current).fingerprint == free


def test_in_place_of_the_published_program(context, current):
    maps = eplb.rebalance_experts(WEIGHTS, SLOTS, 1, 1, GPUS, current=current, max_moves=4)
    plan = rebalance(context, current, max_moves=4)
    known = plan.physical_to_logical, plan.logical_to_physical, plan.replica_count
    for given, expected in zip(maps, known, strict=True):
        assert np.array_equal(given, expected)
    assert arrivals(current, maps[0]).sum(axis=1).max() <= 4


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_moves": -1}, r"max_moves is -1, must be None for any number, or at least 0"),
        ({"max_moves_total": -5}, r"max_moves_total is -5, must be None for any number, or at least 0"),
        ({"max_arrivals": 0}, r"max_arrivals is 0, must be None for any number, or at least 1 \(max_moves=0 forbids"),
        ({"max_moves": 2.0}, r"max_moves is 2.0, must be an integer"),
        ({"max_moves": "3"}, r"max_moves is '3', must be an integer"),
        ({"target": 0.5}, r"target is 0.5, must be None for the default, 0 for none, or 1 to 1024"),
        ({"target": float("nan")}, r"target is nan, must be"),
        ({"target": 1025}, r"target is 1025, must be"),
        ({"target": "1.02"}, r"target is '1.02', must be"),
        ({"move_price": -0.1}, r"move_price is -0.1, must be 0 to 1024"),
        ({"move_price": None}, r"move_price is None, must be 0 to 1024"),
        ({"allow_empty": 2}, r"allow_empty is 2, must be True or False"),
        ({"allow_empty": "yes"}, r"allow_empty is 'yes', must be True or False"),
        ({"transfer_order": "sideways"}, r"transfer_order is 'sideways', must be one of buffered, in_place"),
        ({"effort": "quick"}, r"effort is 'quick', must be one of fast, normal, max"),
        ({"max_replicas": 1}, r"max_replicas is 1, too few: 80 slots of 64 experts need at least 2"),
        ({"cluster": GPUS}, r"cluster is a int, must be an eplb.Cluster or None"),
    ],
)
def test_bad_limits(context, current, limits, text):
    kept = rebalance(context, current)
    with pytest.raises(eplb.InvalidArgument, match=text):
        rebalance(context, current, **limits)
    assert kept.report.moves > 0
    check(WEIGHTS, current, kept)


BAD = [
    (np.zeros((2, SLOTS), int), eplb.InvalidArgument, r"2 layers of 80 slots, but the problem has 6 of 80"),
    (np.full((LAYERS, SLOTS), 64), eplb.InvalidPlacement, r"expert 64 in layer 0, slot 0, but there are 64 experts"),
    (np.full((LAYERS, SLOTS), -2), eplb.InvalidPlacement, r"placement\[layer 0, slot 0\] is -2"),
    (np.zeros((LAYERS, SLOTS)), eplb.InvalidArgument, r"current is float64 of 2 dimensions, must be integers"),
    (np.zeros((LAYERS, 81), int), eplb.InvalidArgument, r"num_slots is 81, must be a multiple of num_gpus = 16"),
    (np.zeros((LAYERS, 48), int), eplb.InvalidArgument, r"num_slots is 48, must be at least num_experts = 64"),
    (np.zeros((1, 1, SLOTS), int), eplb.InvalidArgument, r"current is int64 of 3 dimensions"),
    (None, eplb.InvalidArgument, r"current is"),
    ("here", eplb.InvalidArgument, r"current is"),
]


@pytest.mark.parametrize(("bad", "error", "text"), BAD)
def test_bad_placements(context, current, bad, error, text):
    kept = rebalance(context, current)
    for call in (rebalance, lambda *given: eplb.rebalance_experts(WEIGHTS, SLOTS, 1, 1, GPUS, current=given[1])):
        if call is not rebalance and (bad is None or getattr(bad, "shape", (0,))[-1] in (48, 81)):
            continue
        with pytest.raises(error, match=text):
            call(context, bad)
    assert kept.report.moves > 0
    check(WEIGHTS, current, kept)


def test_what_is_missing_is_named(context, current):
    with pytest.raises(eplb.InvalidArgument, match="num_gpus is missing: give it, or a cluster"):
        context.rebalance(WEIGHTS, current)
    with pytest.raises(eplb.InvalidState):
        rebalance(context, current, None)
    with pytest.raises(eplb.InvalidArgument, match="strategy is 'best', but current is given"):
        eplb.rebalance_experts(WEIGHTS, SLOTS, 1, 1, GPUS, current=current, strategy="best")
    for limit in ({"max_moves": 0}, {"target": 0}, {"move_price": 0.1}):
        with pytest.raises(eplb.InvalidArgument, match=rf"{next(iter(limit))} is .*, but current is not given"):
            eplb.rebalance_experts(WEIGHTS, SLOTS, 1, 1, GPUS, **limit)
    with pytest.raises(eplb.Error, match="current placement"):
        context.solve(WEIGHTS, SLOTS, GPUS, strategy="rebalance")
