"""How much of the load is away from home, and how much has to be: whenever and of whatever it is read."""

import copy
import pickle
from fractions import Fraction

import eplb
import numpy as np
import pytest
from conftest import FROM_WEIGHTS, PAIRS
from eplb.sample import sample_weights

SIZES = {"num_slots": 80, "num_gpus": 16, "num_nodes": 4, "num_groups": 8}
HOMES = ("off_home", "off_home_bound")
CLUSTERS = {
    "equal": None,
    "nodes that differ": eplb.Cluster(slots=[5] * 14 + [0, 3], node=[0] * 3 + [1] * 5 + [2] * 4 + [3] * 4),
    "speeds": eplb.Cluster(16, num_nodes=4, speed=[1, 2] * 8),
}


def homes_by_definition(weights, placement, problem, cluster=None, target=1.01):
    """The same two arrays in exact arithmetic."""
    gpus, nodes, groups = (problem[name] for name in ("num_gpus", "num_nodes", "num_groups"))
    node = cluster.node if cluster and cluster.node else [gpu * nodes // gpus for gpu in range(gpus)]
    is_open = [not cluster or not cluster.slots or cluster.slots[gpu] > 0 for gpu in range(gpus)]
    speed = [Fraction((cluster.speed[gpu] if cluster and cluster.speed else 1) * is_open[gpu]) for gpu in range(gpus)]
    fair = [sum(s for s, at in zip(speed, node, strict=True) if at == n) / sum(speed) for n in range(nodes)]
    shares, bounds = [], []
    for loads, row in zip(weights.tolist(), placement.tolist(), strict=True):
        experts, places, total = len(loads), len(row) // gpus, sum(map(Fraction, loads))
        served = [[Fraction(0)] * nodes for _ in range(groups)]
        for slot, expert in enumerate(row):
            if expert >= 0:
                part = Fraction(loads[expert]) / row.count(expert)
                served[expert * groups // experts][node[slot // places]] += part
        homes = [row.index(max(row)) for row in served]
        away = sum(sum(row) - row[home] for row, home in zip(served, homes, strict=True))
        of_groups = [sum(sum(row) for row, home in zip(served, homes, strict=True) if home == n) for n in range(nodes)]
        least = sum(max(0, load - Fraction(target) * total * part) for load, part in zip(of_groups, fair, strict=True))
        shares.append(float(away / total) if total else 0)
        bounds.append(float(least / total) if total else 0)
    return shares, bounds


def check_homes(figures, weights, placement, problem, cluster=None, target=1.01):
    for name, expected in zip(HOMES, homes_by_definition(weights, placement, problem, cluster, target), strict=True):
        given = getattr(figures, name)
        assert given.dtype == np.float64
        assert given == pytest.approx(expected, rel=1e-10, abs=1e-10), name


@pytest.mark.parametrize("kind", CLUSTERS)
@pytest.mark.parametrize("policy", ["global", "soft"])
def test_homes_are_as_defined(context, kind, policy):
    weights, cluster = sample_weights(3, 64, seed=4), CLUSTERS[kind]
    weights[1] = 0
    plan = context.solve(weights, **SIZES, policy=policy, cluster=cluster, off_home_target=1.05)
    check_homes(plan, weights, plan.physical_to_logical, SIZES, cluster, 1.05)
    assert plan.off_home[1] == plan.off_home_bound[1] == 0
    assert (plan.off_home_bound <= plan.off_home + 1e-9).all() or plan.report.imbalance_worst > 1.05
    report = plan.report
    assert report.off_home_mean == pytest.approx(np.delete(plan.off_home, 1).mean())
    assert report.off_home_worst == plan.off_home.max()
    assert report.off_home_bound_mean == pytest.approx(np.delete(plan.off_home_bound, 1).mean())
    assert report.policy == policy


def test_a_hierarchical_plan_is_at_home(context):
    weights = sample_weights(2, 64)
    plan = context.solve(weights, **SIZES)
    assert plan.report.policy == "hierarchical"
    assert not plan.off_home.any()
    assert plan.off_home_bound.any()
    assert not context.solve(weights, **SIZES, off_home_target=4).off_home_bound.any()


def test_one_node_is_home_to_all(context, calls):
    plan = context.solve(PAIRS, num_slots=16, num_gpus=8)
    found = context.evaluate(plan)
    calls.clear()
    for figures in (plan, found):
        assert figures.off_home.tolist() == figures.off_home_bound.tolist() == [0]
    assert not calls
    plan.report  # noqa: B018
    late = context.solve(PAIRS, num_slots=16, num_gpus=8)
    context.close()
    for figures in (plan, late):
        figures.report  # noqa: B018
        assert figures._solution._weights is figures._solution._shared is None
        assert figures.off_home.tolist() == figures.off_home_bound.tolist() == [0]


@pytest.mark.parametrize("first", [*HOMES, "report", "gpu_load"])
@pytest.mark.parametrize("kind", CLUSTERS)
@pytest.mark.parametrize("windows", [False, True])
def test_same_bits_later(context, first, kind, windows):
    weights = np.random.default_rng(5).lognormal(0, 2, (3, 4, 64))
    weights = weights if windows else weights[0]

    def solve():
        return context.solve(weights, **SIZES, policy="global", cluster=CLUSTERS[kind], off_home_target=1.2)

    read = solve()
    known = {name: getattr(read, name) for name in HOMES}
    assert known["off_home"].all()
    plan = solve()
    context.solve(PAIRS, num_slots=16, num_gpus=8)
    getattr(plan, first)
    for name in HOMES:
        assert getattr(plan, name) is getattr(plan, name)
        assert np.array_equal(getattr(plan, name), known[name])
    assert plan.report.off_home_mean == read.report.off_home_mean


@pytest.mark.parametrize("late", [copy.copy, copy.deepcopy, lambda plan: pickle.loads(pickle.dumps(plan))])
def test_homes_of_copies(context, late):
    weights = sample_weights(3, 64)
    plan = context.solve(weights, **SIZES, policy="global")
    copied = late(context.solve(weights, **SIZES, policy="global"))
    context.close()
    assert np.array_equal(copied.off_home, plan.off_home)
    assert np.array_equal(copied.off_home_bound, plan.off_home_bound)


def test_homes_that_are_read_late_are_worked_out_once(context, calls):
    plan = context.solve(sample_weights(3, 64), **SIZES, policy="global")
    context.solve(PAIRS, num_slots=16, num_gpus=8)
    calls.clear()
    assert plan.report.off_home_mean > 0
    # All layers at once; nothing else was asked for.
    assert calls["evaluate"] == 1
    assert plan.off_home is plan.off_home
    assert plan.off_home_bound is plan.off_home_bound
    assert calls["evaluate"] == 1 + 3
    assert plan._solution._weights is plan._solution._shared is None


def test_homes_come_with_a_report(context, calls):
    """The library has worked them out for it, so nothing is evaluated again."""
    plan = context.solve(sample_weights(3, 64), **SIZES, policy="global")
    plan.report  # noqa: B018
    context.solve(PAIRS, num_slots=16, num_gpus=8)
    calls.clear()
    assert plan.off_home.shape == (3,)
    assert not calls
    assert plan._solution._weights is plan._solution._shared is None


@pytest.mark.parametrize("kind", CLUSTERS)
def test_homes_of_an_evaluation(context, kind):
    weights, cluster = sample_weights(3, 64), CLUSTERS[kind]
    placement = context.solve(
        weights, **SIZES, policy="global", cluster=cluster, off_home_target=1.1
    ).physical_to_logical
    found = context.evaluate(placement)
    expected = placement.copy()
    placement[:] = 0
    context.solve(PAIRS, num_slots=16, num_gpus=8)
    check_homes(found, weights, expected, SIZES, cluster, 1.1)
    assert found.off_home_mean == pytest.approx(found.off_home.mean())
    given = context.evaluate(expected, weights, **{name: SIZES[name] for name in ("num_nodes", "num_groups")},
                             num_gpus=16, cluster=cluster, off_home_target=3.5, policy="global")  # fmt: skip
    assert np.array_equal(given.off_home, found.off_home)
    assert given.off_home_bound_mean == 0 < found.off_home_bound_mean


def test_homes_of_a_rebalance(context):
    weights = np.stack([sample_weights(3, 64, seed) for seed in (1, 2)])
    current = context.solve(weights[0], **SIZES)
    sizes = {"num_nodes": 4, "num_groups": 8}
    plan = context.rebalance(weights[1], current, **sizes, policy="soft", off_home_target=1.1)
    context.close()
    check_homes(plan, weights[1], plan.physical_to_logical, SIZES, target=1.1)
    assert plan.report.policy == "soft"


def test_what_soft_is_refused(context):
    weights = sample_weights(2, 64)
    for strategy in FROM_WEIGHTS:
        if strategy != "best":
            with pytest.raises(eplb.Unavailable, match="policy is 'soft', which strategy"):
                context.solve(weights, **SIZES, policy="soft", strategy=strategy)
    for target in (0, 0.99, float("nan"), "1.01", None, 1e9):
        with pytest.raises(eplb.InvalidArgument, match="off_home_target is "):
            context.solve(weights, **SIZES, policy="soft", off_home_target=target)
    with pytest.raises(eplb.InvalidArgument, match="off_home_target is "):
        context.reserve(weights.shape, **SIZES, off_home_target=0.5)
    context.reserve(weights.shape, **SIZES, policy="soft", off_home_target=1.5)


def test_the_published_function_takes_it():
    weights, sizes = sample_weights(2, 64), (80, 8, 4, 16)
    with eplb.Context() as context:
        for target in (1.01, 1.5):
            plan = context.solve(weights, **SIZES, policy="soft", off_home_target=target)
            placement, *_ = eplb.rebalance_experts(weights, *sizes, policy="soft", off_home_target=target)
            assert np.array_equal(placement, plan.physical_to_logical)
    with pytest.raises(eplb.InvalidArgument, match="off_home_target is 0.5"):
        eplb.rebalance_experts(weights, *sizes, policy="soft", off_home_target=0.5)
