"""Plan.warnings: what should be known before a plan is believed, computed when it is read."""

import copy
import pickle

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from eplb.sample import sample_weights
from invariants import check_plan

SIZES = {"num_slots": 80, "num_gpus": 16}
PADDING = "experts 5, 7, 43 and 58 have 87 % of the load: padding or warm-up?"


def padded():
    weights = np.random.default_rng(3).integers(100, 300, (2, 64))
    weights[:, [5, 7, 43, 58]] += 20000
    return weights


def windows(count=3):
    return np.random.default_rng(5).lognormal(0, 1, (count, 2, 64))


def test_healthy_plans_have_none(context, olmoe):
    for problem in (SIZES, {**SIZES, "num_nodes": 4, "num_groups": 8}, {**SIZES, "num_nodes": 1, "num_groups": 0}):
        plan = context.solve(olmoe, **problem)
        assert plan.warnings == []
        check_plan(olmoe, plan, {**problem, "num_groups": problem.get("num_groups") or 1})


def test_loads(context):
    weights = padded()
    plan = context.solve(weights, **SIZES)
    assert plan.warnings == [PADDING]
    check_plan(weights, plan, SIZES)
    weights[1] = 0
    layer = "layer 1 has no load, and is left out of all means"
    for kind in (weights, weights.astype(np.int32), weights / 7):
        assert context.solve(kind, **SIZES).warnings == [f"in layer 0, {PADDING}".replace("87", "88"), layer]


def test_windows(context):
    weights = windows()
    plan = context.solve(weights, **SIZES)
    of_windows = plan.window_imbalance.mean(axis=0)
    figures = f"mean {of_windows.mean():.3f}, mean of the worst {of_windows.max():.3f} (window {of_windows.argmax()})"
    assert plan.warnings == [f"3 windows, summed; alone: {figures}"]
    # A layer, and a window, without load is in no mean.
    weights[1], weights[2, 0] = 0, 0
    plan = context.solve(weights, **SIZES)
    first, last = plan.window_imbalance[:, 0], plan.window_imbalance[1, 2]
    worst, window = max((first.mean(), 0), (last, 2))
    mean = (first.sum() + last) / 3
    empty = "3 windows, 1 of them empty, summed; alone"
    assert plan.warnings[-1] == f"{empty}: mean {mean:.3f}, mean of the worst {worst:.3f} (window {window})"
    assert context.solve(weights, **SIZES, objective="windows").warnings == []
    assert context.solve(weights[:1], **SIZES).warnings == []
    many = context.solve(windows(65), **SIZES)
    assert many.warnings == ["65 windows, summed; what each of them gets is not known"]


DO_NOT_DIVIDE = "2 is no multiple of 4 nodes, so the policy auto is global, which knows no groups"


@pytest.mark.parametrize(
    ("sizes", "warnings"),
    [
        ({"num_groups": 8}, ["8 groups have no effect on one node"]),
        ({"num_nodes": 4}, ["4 nodes have no effect without groups"]),
        ({"num_nodes": 4, "policy": "global"}, []),
        ({"num_nodes": 4, "num_groups": 2}, [f"2 groups have no effect: {DO_NOT_DIVIDE}"]),
        ({"num_nodes": 4, "num_groups": 2, "policy": "global"}, []),
        ({"num_nodes": 4, "num_groups": 2, "policy": "soft"}, []),
        ({"num_nodes": 4, "num_groups": 4}, []),
    ],
)
def test_nodes_and_groups(context, olmoe, sizes, warnings):
    plan = context.solve(olmoe, **SIZES, **sizes)
    assert plan.warnings == warnings
    # Experts come from somewhere.
    moved = context.rebalance(olmoe, plan, **sizes).warnings
    assert moved == [each for each in warnings if "without groups" not in each]


def test_worse_than_no_balancer(context):
    weights = np.full((2, 64), 100)
    weights[:, :8] = 1000
    sizes = {"num_slots": 72, "num_gpus": 8, "num_nodes": 8, "num_groups": 8}
    plan = context.solve(weights, **sizes)
    unbalanced = context.evaluate(np.tile(np.arange(72) % 64, (2, 1)), weights, policy="global").imbalance_mean
    found = plan.report.imbalance_mean
    assert plan.warnings == [f"the imbalance is {found:.4f}, worse than no balancer ({unbalanced:.4f})"]
    check_plan(weights, plan, sizes)
    assert context.solve(weights, **sizes, policy="global").warnings == []


def test_nothing_is_solved_for_it_and_nothing_kept_after_it(context, calls):
    plan = context.solve(padded(), **SIZES)
    assert plan.report.imbalance_mean > 1
    calls.clear()
    assert plan.warnings is plan.warnings
    assert sum(calls.values()) == 0
    assert plan._solution._weights is plan._solution._remains is None
    plan.warnings.append("mine")
    assert context.solve(padded(), **SIZES).warnings == [PADDING]


@pytest.mark.parametrize("kind", ["one", "windows", "rebalance", "cluster"])
@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda plan: pickle.loads(pickle.dumps(plan))])
def test_the_same_later(context, kind, read, way):
    weights = windows() if kind == "windows" else padded()
    cluster = eplb.Cluster(slots=[5] * 15 + [4]) if kind == "cluster" else None

    def solve():
        if kind == "rebalance":
            current = np.tile(np.arange(80) % 64, (2, 1))
            return context.rebalance(weights, current, num_gpus=16, num_groups=8)
        return context.solve(weights, **SIZES, num_groups=8, cluster=cluster)

    known = solve().warnings
    assert len(known) == 2
    plan = solve()
    if read:
        plan.report  # noqa: B018
    context.solve(PAIRS, num_slots=16, num_gpus=8)
    assert way(plan).warnings == known
    assert plan.warnings == known


def test_weights_of_the_caller_may_change(context):
    weights = padded()
    plan = context.solve(weights, **SIZES)
    plan.report  # noqa: B018
    weights[:] = sample_weights(2, 64)
    assert plan.warnings == [PADDING]
