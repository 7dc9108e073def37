"""Prices of one's own and weights of windows: what calls take, how long it counts, and what it does."""

import copy
import pickle
from fractions import Fraction

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from eplb.sample import sample_weights

SIZES = {"num_slots": 80, "num_gpus": 16, "num_nodes": 4, "num_groups": 8}
SOFT = {**SIZES, "policy": "soft", "effort": "fast"}
HOMES = ("off_home", "off_home_bound")
CLUSTERS = {
    "equal": None,
    "nodes that differ": eplb.Cluster(slots=[5] * 14 + [0, 3], node=[0] * 3 + [1] * 5 + [2] * 4 + [3] * 4),
}


def racks(columns=8):
    """Two racks of two nodes; each node is home to a quarter of the columns."""
    home, node = np.arange(columns) * 4 // columns, np.arange(4)[:, np.newaxis]
    return np.where(node == home, 0, np.where(node // 2 == home // 2, 1, 4))


def paid_by_definition(weights, placement, prices, cluster=None):
    """off_home and off_home_bound under prices [N,C], in exact arithmetic."""
    node = cluster.node if cluster else [gpu // 4 for gpu in range(16)]
    is_open = [not cluster or cluster.slots[gpu] > 0 for gpu in range(16)]
    highest, columns = int(prices.max()), prices.shape[1]
    shares, bounds = [], []
    for loads, row in zip(weights.tolist(), placement.tolist(), strict=True):
        paid = least = Fraction(0)
        for expert, load in enumerate(loads):
            price = prices[:, expert * columns // len(loads)].tolist()
            on = [price[node[slot // 5]] for slot, held in enumerate(row) if held == expert]
            paid += Fraction(load) * sum(on) / len(on)
            least += Fraction(load) * min(price[at] for at, has in zip(node, is_open, strict=True) if has)
        total = sum(map(Fraction, loads)) * highest
        shares.append(float(paid / total) if total else 0)
        bounds.append(float(least / total) if total else 0)
    return shares, bounds


def check_paid(figures, weights, placement, prices, cluster=None):
    expected = paid_by_definition(weights, placement, np.asarray(prices), cluster)
    for name, values in zip(HOMES, expected, strict=True):
        assert getattr(figures, name) == pytest.approx(values, rel=1e-10, abs=1e-10), name


@pytest.mark.parametrize("kind", CLUSTERS)
@pytest.mark.parametrize("columns", [8, 64])
def test_what_is_paid(context, kind, columns):
    weights, prices = sample_weights(3, 64, seed=4), racks(columns)
    weights[1] = 0
    plan = context.solve(weights, **SOFT, cluster=CLUSTERS[kind], prices=prices)
    check_paid(plan, weights, plan.physical_to_logical, prices, CLUSTERS[kind])
    assert plan.report.off_home_mean == pytest.approx(np.delete(plan.off_home, 1).mean())
    assert plan.report.off_home_worst == plan.off_home.max() > 0
    found = context.evaluate(plan)
    assert np.array_equal(found.off_home, plan.off_home)
    assert found.off_home_mean == plan.report.off_home_mean


@pytest.mark.parametrize("first", [*HOMES, "report"])
@pytest.mark.parametrize("late", [None, copy.deepcopy, lambda plan: pickle.loads(pickle.dumps(plan))])
def test_same_bits_later(context, first, late):
    weights = np.random.default_rng(5).lognormal(0, 2, (3, 4, 64))

    def solve():
        return context.solve(weights, **SOFT, objective="windows", prices=racks(), window_weights=0.5)

    read = solve()
    known = {name: getattr(read, name) for name in (*HOMES, "window_imbalance", "bound")}
    plan = solve()
    plan = plan if late is None else late(plan)
    context.solve(PAIRS, num_slots=16, num_gpus=8)
    getattr(plan, first)
    for name, values in known.items():
        assert np.array_equal(getattr(plan, name), values), name
    assert plan.report.off_home_mean == read.report.off_home_mean
    assert plan.fingerprint == read.fingerprint


def test_racks_are_kept_to(context):
    weights = sample_weights(3, 64, seed=3)
    flat = context.solve(weights, **SOFT, prices=np.minimum(racks(), 1))
    paid = context.evaluate(flat, prices=racks()).off_home_mean
    plan = context.solve(weights, **SOFT, prices=racks())
    assert 0 < plan.report.off_home_mean < paid
    assert plan.report.imbalance_mean <= 1.01


def test_only_ratios_of_each_expert_matter(context):
    weights = sample_weights(2, 64)
    by_group = context.solve(weights, **SOFT, prices=racks())
    for prices in (racks(64), (racks() * 3).tolist(), racks().astype(np.float32), racks().astype(np.uint8)):
        plan = context.solve(weights, **SOFT, prices=prices)
        assert plan.fingerprint == by_group.fingerprint
        assert np.array_equal(plan.off_home, by_group.off_home)


def test_they_are_those_of_a_call(context):
    weights = sample_weights(2, 64)
    without = context.solve(weights, **SOFT)
    priced = context.solve(None, **SOFT, prices=racks())
    assert priced.fingerprint != without.fingerprint
    assert context.solve(None, **SOFT).fingerprint == without.fingerprint
    assert np.array_equal(context.solve(None, **SOFT).off_home, without.off_home)
    sizes = {"num_nodes": 4, "num_groups": 8, "policy": "soft"}
    rebalanced = context.rebalance(None, without, **sizes, prices=racks())
    check_paid(rebalanced, weights, rebalanced.physical_to_logical, racks())


def test_an_evaluation_takes_those_of_the_last_solve(context):
    weights = sample_weights(2, 64)
    plan = context.solve(weights, **SOFT, prices=racks())
    figures = paid_by_definition(weights, plan.physical_to_logical, racks())
    assert context.evaluate(plan, weights).off_home == pytest.approx(figures[0])
    others = context.evaluate(plan, prices=racks()[::-1])
    check_paid(others, weights, plan.physical_to_logical, racks()[::-1])
    plain = context.solve(weights, **SOFT)
    without = context.evaluate(plan).off_home
    context.solve(weights, **SOFT, prices=racks())
    # Other policies do not know them, and other nodes have none.
    assert np.array_equal(context.evaluate(plan, policy="global").off_home, without)
    assert not np.array_equal(context.evaluate(plan).off_home, without)
    assert context.evaluate(plan, num_nodes=2).off_home_mean == pytest.approx(
        context.evaluate(plan, num_nodes=2, policy="global").off_home_mean
    )
    assert plain.off_home.all()


def test_one_node_has_prices_too(context):
    prices = np.arange(1, 65)[np.newaxis]
    weights = sample_weights(2, 64)
    plan = context.solve(weights, 80, 16, policy="soft", prices=prices)
    expected = (weights * prices).sum(axis=1) / weights.sum(axis=1) / 64
    for figures in (plan, context.evaluate(plan)):
        assert figures.off_home == pytest.approx(expected)
        assert figures.off_home_bound == pytest.approx(expected)
    context.close()
    late = pickle.loads(pickle.dumps(plan))
    assert np.array_equal(late.off_home, plan.off_home)


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        (3, "prices is int"),
        ([1, 2], r"shape \[2\]"),
        ([[]], r"shape \[1, 0\]"),
        ([["a"]], "must be numbers"),
        (np.ones((3, 8)), "num_nodes is 4, but there are prices for 3 nodes"),
        (np.ones((4, 9)), "prices have 9 columns, must have 64, .* or 8"),
        (np.zeros((4, 8)), "0 on all nodes"),
        (np.where(np.eye(4, 8), np.nan, 1), r"prices\[node 0, column 0\] is NaN"),
        (-racks(), r"prices\[node 0, column 2\] is negative"),
        (np.where(racks() == 4, np.inf, 1), "is infinite"),
    ],
)
def test_prices_that_are_refused(context, prices, words):
    weights = sample_weights(2, 64)
    plan = context.solve(weights, **SOFT)
    for call in (
        lambda: context.solve(None, **SOFT, prices=prices),
        lambda: context.evaluate(plan, prices=prices),
        lambda: context.reserve(weights.shape, **SOFT, prices=prices),
    ):
        with pytest.raises(eplb.InvalidArgument, match=words):
            call()
    assert context.solve(None, **SOFT).fingerprint == plan.fingerprint


# ---- Weights of windows.


def three_windows():
    return np.random.default_rng(7).lognormal(0, 1, (3, 2, 64))


WINDOWS = {"num_slots": 80, "num_gpus": 16, "objective": "windows", "effort": "fast"}


def test_a_window_that_matters_more_is_better_balanced(context):
    problem = {**WINDOWS, "effort": "normal"}
    means = [
        context.solve(three_windows(), **problem, window_weights=[1, weight, 1]).window_imbalance.mean(axis=0)[1]
        for weight in (0, 0.01, 0.1, 1)
    ]
    assert means[0] > means[1] > means[2] > means[3]


def test_without_weight_it_is_left_out(context):
    windows = three_windows()
    for weights, same in (
        ([2, 0, 2], windows[::2]),
        ([0, 0, 1], windows[2]),
        ([1, 1, 1], windows),
        (1.0, windows),
        (1e-9, windows[2]),  # the last one alone is left
    ):
        plan = context.solve(windows, **WINDOWS, window_weights=weights)
        assert plan.report.num_windows == 3
        assert plan.fingerprint == context.solve(same, **WINDOWS).fingerprint


def test_a_decay(context):
    windows = three_windows()
    explicit = context.solve(windows, **WINDOWS, window_weights=np.float32([0.25, 0.5, 1])).fingerprint
    assert explicit != context.solve(windows, **WINDOWS).fingerprint
    context.upload(windows)
    for decay in (0.5, np.float64(0.5), np.float32(0.5)):
        assert context.solve(None, **WINDOWS, window_weights=decay).fingerprint == explicit
    assert context.solve(None, **WINDOWS, window_weights=[1, 2, 4]).fingerprint == explicit
    current = np.arange(80) % 64
    plans = [
        context.rebalance(windows, current, 16, objective="windows", effort="fast", window_weights=weights)
        for weights in (0.5, [0.25, 0.5, 1], None)
    ]
    assert plans[0].fingerprint == plans[1].fingerprint != plans[2].fingerprint
    # The sum does not know them, and of many windows only the sum is known.
    of_sum = {**WINDOWS, "objective": "sum"}
    many = np.tile(windows, (22, 1, 1))
    for weights in (windows, many):
        plain = context.solve(weights, **of_sum).fingerprint
        assert context.solve(weights, **of_sum, window_weights=0.5).fingerprint == plain
    context.reserve(windows.shape, **WINDOWS, window_weights=0.5)
    assert context.solve(windows[0], **WINDOWS, window_weights=0.5).report.num_windows == 1


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (0, "window_weights is 0.0, a decay must be above 0 and at most 1"),
        (1.5, "window_weights is 1.5"),
        (float("nan"), "window_weights is nan"),
        (True, "window_weights is bool"),
        ("0.5", "window_weights is str"),
        ([], r"shape \[0\]"),
        ([[1, 1, 1]], r"shape \[1, 3\]"),
        ([1, 1], "3 windows, but weights for 2"),
        ([1, -1, 1], r"weights\[window 1\] is negative"),
        ([0, 0, 0], "0 in all windows"),
        ([1] * 65, "num_windows is 65"),
    ],
)
def test_window_weights_that_are_refused(context, weights, words):
    windows = three_windows()
    plan = context.solve(windows, **WINDOWS)
    with pytest.raises(eplb.InvalidArgument, match=words):
        context.solve(None, **WINDOWS, window_weights=weights)
    with pytest.raises(eplb.InvalidArgument, match=words):
        context.reserve(windows.shape, **WINDOWS, window_weights=weights)
    assert context.solve(windows, **WINDOWS).fingerprint == plan.fingerprint


# ---- Slots that may stay empty.


@pytest.mark.parametrize("windows", [False, True])
def test_slots_may_stay_empty(context, windows):
    weights = three_windows() if windows else sample_weights(2, 64)
    problem = {**SOFT, "objective": "windows" if windows else "sum", "off_home_target": 1.2}
    filled = context.solve(weights, **problem)
    assert (filled.physical_to_logical >= 0).all()
    plan, late = (context.solve(weights, **problem, allow_empty=True) for _ in range(2))
    known = {name: getattr(plan, name) for name in ("bound", "window_bound", "imbalance", "gpu_load", *HOMES)}
    context.close()
    assert (plan.physical_to_logical < 0).any()
    assert plan.report.imbalance_worst <= 1.2
    for name, values in known.items():
        assert np.array_equal(getattr(late, name), values), name
    assert late.report.bound_mean == plan.report.bound_mean


def test_who_knows_empty_slots(context):
    weights = sample_weights(2, 64)
    for problem in ({"policy": "global"}, {"policy": "auto", "strategy": "best"}):
        with pytest.raises(eplb.InvalidArgument, match="allow_empty is True, but policy is"):
            context.solve(weights, 80, 16, **problem, allow_empty=True)
    with pytest.raises(eplb.InvalidArgument, match="allow_empty is 2, must be True or False"):
        context.solve(weights, **SOFT, allow_empty=2)
    current = np.tile(np.arange(80) % 64, (2, 1))
    plan = context.solve(weights, 80, 16, strategy="rebalance", current=current, allow_empty=True)
    assert (plan.physical_to_logical < 0).any()
    assert (context.solve(weights, 80, 16).physical_to_logical >= 0).all()


def test_the_published_function_has_none():
    """Its session is that of late answers, too, which may have had prices."""
    weights = sample_weights(2, 64)
    before, *_ = eplb.rebalance_experts(weights, 80, 8, 4, 16, policy="soft")
    with eplb.Context() as context:
        plan = context.solve(weights, **SOFT, prices=racks())
    assert plan.off_home.any()
    after, *_ = eplb.rebalance_experts(weights, 80, 8, 4, 16, policy="soft")
    assert np.array_equal(before, after)
