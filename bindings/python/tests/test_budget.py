"""eplb.plan_budget: the best shares of one total, and placements that keep to it on every GPU."""

import itertools

import eplb
import numpy as np
import pytest
from conftest import TRACES
from eplb._budget import _can_gain, _steps, share_out
from eplb.sample import sample_weights
from invariants import check_nodes

TRACE = TRACES / "deepseek-v3_prefill-in2048_L58xE256.csv"


@pytest.fixture(scope="module")
def weights():
    """Layers of which some are hot and some are even, so that they want different numbers of slots."""
    even = np.full((2, 24), 100)
    return np.concatenate([sample_weights(4, 24, 7), even, sample_weights(2, 24, 8) ** 2])


def check_budget(weights, budget, total, gpus, nodes=1, groups=1, step=1):
    layers, experts = weights.shape
    placement = budget.physical_to_logical
    held = placement >= 0
    assert np.array_equal(budget.layer_slots, held.sum(axis=1))
    assert budget.layer_slots.sum() <= total
    assert not (budget.layer_slots % step).any()
    by_gpu = held.reshape(layers, gpus, -1)
    assert np.array_equal(budget.gpu_totals, by_gpu.sum(axis=(0, 2)))
    assert np.ptp(budget.gpu_totals) <= 1
    assert (np.ptp(by_gpu.sum(axis=2), axis=1) <= 1).all()
    # Open slots come first on every GPU.
    assert (np.diff(by_gpu.astype(int), axis=2) <= 0).all()
    for layer, row in enumerate(placement):
        count = np.bincount(row[row >= 0], minlength=experts)
        assert count.min() >= 1
        if groups > 1:
            check_nodes_of(row, experts, nodes, groups)
        per_slot = np.append(weights[layer] / count, 0)[row]
        loads = per_slot.reshape(gpus, -1).sum(axis=1)
        assert budget.imbalance[layer] == pytest.approx(loads.max() / loads.mean(), rel=1e-12)


def check_nodes_of(row, experts, nodes, groups):
    """Nodes have as many slots each, so what is open is a placement without holes."""
    assert len({(part >= 0).sum() for part in row.reshape(nodes, -1)}) == 1
    check_nodes(row[row >= 0], experts, {"num_nodes": nodes, "num_groups": groups})


def brute_force(curves, spare):
    return min(
        (sum(curve[steps] for curve, steps in zip(curves, each, strict=True)), sum(each))
        for each in itertools.product(*curves)
        if sum(each) <= spare
    )


@pytest.mark.parametrize("seed", range(30))
def test_shares_are_the_best_there_are(seed):
    chance = np.random.default_rng(seed)
    curves = []
    for _ in range(4):
        more = chance.choice(np.arange(1, 12), chance.integers(0, 5), replace=False).tolist()
        # Neither falling nor convex, and whole numbers, so that sums are exact and many are equal.
        curves.append({steps: float(chance.integers(0, 9)) for steps in [*more, 0]})
    for spare in (0, 1, 5, 9, 17, 100):
        chosen = share_out(curves, spare)
        found = sum(curve[steps] for curve, steps in zip(curves, chosen, strict=True)), sum(chosen)
        assert found == brute_force(curves, spare)


def test_steps_grow():
    steps = list(itertools.takewhile(lambda each: each <= 64, _steps()))
    assert steps == [*range(8), *range(8, 16, 2), *range(16, 32, 4), *range(32, 64, 8), 64]


@pytest.mark.parametrize("total", [8 * 24, 8 * 24 + 1, 8 * 24 + 13, 8 * 24 + 40, 8 * 60])
def test_placements(weights, total, context):
    budget = eplb.plan_budget(weights, total, 8)
    check_budget(weights, budget, total, 8)
    evaluated = context.evaluate(budget, weights, num_gpus=8)
    np.testing.assert_allclose(evaluated.imbalance, budget.imbalance, rtol=1e-12)
    assert budget.imbalance_mean <= budget.layers_equal.imbalance_mean + 1e-12


def test_what_has_nothing_to_gain_gets_nothing(weights):
    budget = eplb.plan_budget(weights, 8 * 30, 8)
    assert budget.layer_slots[4:6].tolist() == [24, 24]
    assert budget.layer_slots.max() > 30
    without = weights.copy()
    without[3] = 0
    budget = eplb.plan_budget(without, 8 * 30, 8)
    assert budget.layer_slots[3] == 24
    # It is in no mean, either.
    assert budget.imbalance_mean == pytest.approx(np.delete(budget.imbalance, 3).mean())
    assert eplb.plan_budget(0 * weights, 8 * 30, 8).imbalance_mean == 1


@pytest.mark.parametrize(
    ("imbalance", "gains"),
    [
        ([], True),
        ([2.0], True),
        ([2.0, 1.0004], False),
        ([2.0] * 8, True),
        ([2.0] * 9, False),
        ([2.0] * 8 + [1.9], True),
        ([2.0] * 8 + [1.9] + [1.9] * 7, True),
        ([2.0] * 8 + [1.9] + [1.9] * 8, False),
    ],
)
def test_when_a_series_ends(imbalance, gains):
    assert _can_gain(imbalance) == gains


def test_better_than_the_same_for_all(weights):
    budget = eplb.plan_budget(weights, 8 * 28, 8)
    assert budget.layers_equal.num_slots == 28
    assert budget.all_equal.num_slots == 24
    with eplb.Context() as context:
        report = context.solve(weights, num_slots=24, num_gpus=8).report
    assert budget.all_equal.imbalance_mean == pytest.approx(report.imbalance_mean)
    assert budget.imbalance_mean < budget.layers_equal.imbalance_mean - 0.01


def test_best_of_all_shares(weights):
    """Against every way to share out 6 slots, each solved with a cluster of its own."""
    few = np.ascontiguousarray(weights[[0, 4, 7]])
    figures = {}
    with eplb.Context() as context:
        for more in range(7):
            cluster = eplb.Cluster(slots=[(24 + more + 7 - gpu) // 8 for gpu in range(8)])
            figures[more] = context.solve(few, num_slots=32 if more else 24, cluster=cluster).imbalance
    least = min(
        sum(figures[more][layer] for layer, more in enumerate(each))
        for each in itertools.product(range(7), repeat=3)
        if sum(each) <= 6
    )
    assert eplb.plan_budget(few, 3 * 24 + 6, 8).imbalance.sum() == pytest.approx(least, rel=1e-12)


def test_threads_change_nothing(weights):
    one, four = (eplb.plan_budget(weights, 8 * 28 + 3, 8, num_threads=threads) for threads in (1, 4))
    assert np.array_equal(one.physical_to_logical, four.physical_to_logical)
    assert np.array_equal(one.layers_equal.imbalance, four.layers_equal.imbalance)


@pytest.mark.parametrize("policy", ["hierarchical", "soft", "global"])
def test_nodes_and_groups(weights, policy):
    budget = eplb.plan_budget(weights, 8 * 30, 8, num_nodes=2, num_groups=4, policy=policy)
    check_budget(weights, budget, 8 * 30, 8, 2, 4 if policy == "hierarchical" else 1, step=2)
    assert len(set(budget.layer_slots.tolist())) > 2


def test_equal_gpus(weights):
    budget = eplb.plan_budget(weights, 8 * 30, 8, slot_step=8)
    check_budget(weights, budget, 8 * 30, 8, step=8)
    assert np.ptp(budget.gpu_totals) == 0
    assert set(budget.layer_slots.tolist()) > {24}


def test_a_cap_on_replicas(weights):
    budget = eplb.plan_budget(weights, 8 * 60, 8, max_replicas=2)
    counts = [np.bincount(row[row >= 0], minlength=24) for row in budget.physical_to_logical]
    assert np.max(counts) == 2
    check_budget(weights, budget, 8 * 48, 8)


def test_windows(weights):
    windows = np.stack([weights, weights[:, ::-1], weights])
    # Without load in a window, and in all of them.
    windows[2, 2:], windows[:, 7] = 0, 0
    budget = eplb.plan_budget(windows, 8 * 28, 8, objective="windows", effort="fast")
    with eplb.Context() as context:
        evaluated = context.evaluate(budget, windows, num_gpus=8)
    each = evaluated.window_imbalance
    expected = [*each[:2].mean(axis=1), *each[2:7, :2].mean(axis=1), 1]
    np.testing.assert_allclose(expected, budget.imbalance, rtol=1e-12)


def test_files(weights, tmp_path):
    budget = eplb.plan_budget(weights, 8 * 28, 8)
    eplb.write_placement(tmp_path / "plan.json", budget, first_layer=3)
    again = eplb.read_placement(tmp_path / "plan.json")
    assert np.array_equal(again.physical_to_logical, budget.physical_to_logical)
    assert (again.num_gpus, again.num_experts, again.layers[0]) == (8, 24, 3)
    with pytest.raises(eplb.FileError, match="empty"):
        eplb.write_placement(tmp_path / "plan.sglang.json", budget)
    assert repr(budget).startswith("Budget(")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"total_slots": 8 * 24 - 1}, "total_slots is 191, too few: 8 layers of 24 experts need 192"),
        ({"slot_step": 16}, "total_slots is 224, too few: 8 layers of 24 experts need 256"),
        ({"total_slots": 224.0}, "total_slots is 224.0, must be an integer"),
        ({"num_gpus": 0}, "num_gpus is 0, must be 1 to 262144"),
        ({"num_nodes": 3}, "num_gpus is 8, must be a multiple of num_nodes = 3"),
        ({"num_nodes": 2, "slot_step": 3}, "slot_step is 3, must be a multiple of num_nodes = 2"),
        ({"slot_step": 0}, "slot_step is 0, must be 1 to 262144"),
        (
            {"num_nodes": 2, "num_groups": 3, "policy": "hierarchical"},
            "num_groups is 3, must be a multiple of num_nodes",
        ),
        ({"num_threads": 0}, "num_threads is 0"),
        ({"strategy": "bestest"}, "strategy is 'bestest'"),
    ],
)
def test_wrong_input(weights, arguments, sentence):
    with pytest.raises(eplb.InvalidArgument) as refused:
        eplb.plan_budget(weights, **{"total_slots": 224, "num_gpus": 8, **arguments})
    assert str(refused.value).startswith(sentence)


@pytest.mark.skipif(not TRACE.exists(), reason="needs the measured traces")
def test_a_measured_model():
    """An eighth of the redundant experts that equal layers need, for the same balance."""
    trace = np.loadtxt(TRACE, delimiter=",")[::4]
    total = len(trace) * 260
    budget = eplb.plan_budget(trace, total, 32, effort="fast")
    check_budget(trace, budget, total, 32)
    assert budget.imbalance_mean < 1.001
    assert budget.imbalance_mean < budget.layers_equal.imbalance_mean
