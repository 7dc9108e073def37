"""Figures of every window against a plain definition in exact arithmetic."""

import random
from fractions import Fraction

import eplb
import numpy as np
import pytest

DTYPES = ("float32", "float64", "int32", "int64")


def times(loads, slots, speeds):
    """Of the GPUs with slots; their speeds have the mean 1."""
    speed = [Fraction(s) for s, count in zip(speeds, slots, strict=True) if count]
    load = [each for each, count in zip(loads, slots, strict=True) if count]
    return [each * sum(speed) / len(speed) / s for each, s in zip(load, speed, strict=True)]


def gpu_loads(weights, row, gpus):
    """Of one layer in one window; each replica of an expert carries an equal share, an empty slot nothing."""
    count, places = [row.count(e) for e in range(len(weights))], len(row) // gpus
    share = [Fraction(w) / c for w, c in zip(weights, count, strict=True)]
    return [sum(share[e] for e in row[g * places : (g + 1) * places] if e >= 0) for g in range(gpus)]


def imbalance(weights, row, slots, speeds):
    """None without load."""
    found = times(gpu_loads(weights, row, len(slots)), slots, speeds)
    mean = sum(Fraction(w) for w in weights) / len(found)
    return max(max(found) / mean, Fraction(1)) if mean else None


def figures(weights, placement, slots, speeds):
    """Imbalance by layer and window, None without load; weights [T][L][E]."""
    return [[imbalance(window[layer], row, slots, speeds) for window in weights] for layer, row in enumerate(placement)]


def report(table):
    """What a report says of such a table."""
    windows = list(zip(*table, strict=True))
    loaded = [value for row in table for value in row if value is not None]
    worst = max(loaded, default=Fraction(1))
    at = [(window, layer) for window, row in enumerate(windows) for layer, value in enumerate(row) if value == worst]
    return {
        "num_windows": len(windows),
        "num_empty_windows": sum(all(value is None for value in row) for row in windows),
        "windows_mean": sum(loaded) / len(loaded) if loaded else Fraction(1),
        "windows_worst": worst,
    }, at[0] if at else (0, 0)


def check(given, imbalances, bounds, weights, placement, slots, speeds):
    """given: a report; imbalances and bounds: [L,T]."""
    table = figures(weights.tolist(), placement, slots, speeds)
    assert imbalances.shape == bounds.shape == (weights.shape[1], weights.shape[0])
    for layer, row in enumerate(table):
        for window, value in enumerate(row):
            assert imbalances[layer, window] == pytest.approx(float(value or 1), rel=1e-12)
            loads = gpu_loads(weights[window, layer].tolist(), placement[layer], len(slots))
            assert Fraction(bounds[layer, window]) <= max(times(loads, slots, speeds)) * (1 + Fraction(1, 10**12))
    want, (window, layer) = report(table)
    for name, value in want.items():
        assert getattr(given, name) == pytest.approx(float(value), rel=1e-12), name
    # Exact ties may differ by a rounding in double.
    assert imbalances[given.worst_window_layer, given.worst_window] == given.windows_worst == imbalances.max()
    assert imbalances[layer, window] == pytest.approx(given.windows_worst, rel=1e-12)
    earlier = imbalances.T.ravel()[: given.worst_window * len(table) + given.worst_window_layer]
    assert (earlier < given.windows_worst).all()


def random_weights(draw, dtype, windows, layers, experts):
    """With windows, layers and single places without load, and one expert that is busy in one window only."""
    table = np.array([draw.choice([0, draw.randint(1, 1000)]) for _ in range(windows * layers * experts)], dtype)
    table = table.reshape(windows, layers, experts)
    table[draw.randrange(windows), 0, draw.randrange(experts)] = 3000
    if draw.random() < 0.6:
        table[draw.randrange(windows)] = 0
    if draw.random() < 0.6:
        table[:, draw.randrange(layers)] = 0
    table[draw.randrange(windows), draw.randrange(layers)] = 0
    return table


@pytest.mark.parametrize("seed", range(80))
def test_figures_of_every_window(seed):
    draw = random.Random(seed)
    windows, layers, experts = draw.choice([1, 2, 3, 7, 64]), draw.randint(1, 3), draw.randint(4, 9)
    gpus, places = draw.randint(2, 4), 4
    weights = random_weights(draw, DTYPES[seed % 4], windows, layers, experts)
    slots, speeds = [places] * gpus, [1] * gpus
    if seed % 3:
        slots = [places, *(draw.choice([places, places, 3, 0]) for _ in range(gpus - 1))]
        speeds = [draw.choice([1, 1, 0.7, 0.5, 1.9]) for _ in range(gpus)]
    if sum(slots) < experts:
        slots = [places] * gpus
    if sum(slots) < experts:
        experts = sum(slots)
        weights = np.ascontiguousarray(weights[:, :, :experts])
    cluster = eplb.Cluster(slots=slots, speed=speeds)
    with eplb.Context(num_threads=draw.choice([1, 3])) as context:
        plan = context.solve(weights, gpus * places, cluster=cluster)
        placement = plan.physical_to_logical.tolist()
        check(plan.report, plan.window_imbalance, plan.window_bound, weights, placement, slots, speeds)
        judged = context.evaluate(plan)
        assert np.array_equal(judged.window_imbalance, plan.window_imbalance)
        assert np.array_equal(judged.window_bound, plan.window_bound)
        other = shuffled(draw, placement, slots, places)
        judged = context.evaluate(other)
        check(judged, judged.window_imbalance, judged.window_bound, weights, other, slots, speeds)
        # Each window is what it is alone.
        alone = [context.evaluate(other, window) for window in weights]
        assert np.array_equal(judged.window_imbalance, np.stack([each.imbalance for each in alone], axis=1))
        assert np.array_equal(judged.window_bound, np.stack([each.bound for each in alone], axis=1))


def shuffled(draw, placement, slots, places):
    """The same replicas anywhere on open slots."""
    opened = [g * places + k for g, count in enumerate(slots) for k in range(count)]
    rows = []
    for row in placement:
        experts = [row[slot] for slot in opened]
        draw.shuffle(experts)
        moved = dict(zip(opened, experts, strict=True))
        rows.append([moved.get(slot, -1) for slot in range(len(row))])
    return rows


def test_no_load_at_all():
    with eplb.Context() as context:
        plan = context.solve(np.zeros((3, 2, 4)), 8, 2)
    assert (plan.window_imbalance == 1).all() and (plan.window_bound == 0).all()
    given = plan.report
    assert (given.num_windows, given.num_empty_windows, given.windows_mean, given.windows_worst) == (3, 3, 1, 1)
    assert (given.worst_window, given.worst_window_layer) == (0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_64_are_kept_and_no_more(dtype):
    weights = np.random.default_rng(1).integers(0, 1000, (65, 2, 8)).astype(dtype)
    with eplb.Context() as context:
        kept = context.solve(weights[:64], 12, 4)
        assert kept.window_imbalance.shape == (2, 64) and kept.report.num_windows == 64
        summed = context.solve(weights, 12, 4)
        for plan in (summed, context.evaluate(summed)):
            for name in ("window_imbalance", "window_bound"):
                with pytest.raises(eplb.Unavailable, match="windows of these weights were not kept.* 64"):
                    getattr(plan, name)
        given = summed.report
        assert given.num_windows == given.windows_mean == given.windows_worst == given.worst_window == 0


def test_windows_do_not_change_the_answer():
    """That is the sum's, whatever the windows are."""
    weights = np.random.default_rng(2).integers(0, 1000, (5, 3, 16))
    with eplb.Context() as context:
        plans = [context.solve(each, 24, 4) for each in (weights, weights.sum(axis=0))]
    assert np.array_equal(plans[0].physical_to_logical, plans[1].physical_to_logical)
    assert np.array_equal(plans[0].imbalance, plans[1].imbalance)


@pytest.mark.parametrize("call", ["solve", "rebalance", "rebalance_experts"])
def test_objectives_are_named(call):
    weights = np.ones((2, 1, 8))
    with eplb.Context() as context:
        calls = {
            "solve": lambda objective: context.solve(weights, 16, 4, objective=objective),
            "rebalance": lambda objective: context.rebalance(weights, [*range(8)] * 2, 4, objective=objective),
            "rebalance_experts": lambda objective: eplb.rebalance_experts(weights, 16, 1, 1, 4, objective=objective),
        }
        calls[call]("sum")
        with pytest.raises(eplb.InvalidArgument, match="objective is 'peak', must be one of sum, windows"):
            calls[call]("peak")


def test_windows_apart_are_refused_by_name_where_no_strategy_keeps_them():
    weights, greedy = np.ones((2, 1, 8)), {"strategy": "greedy", "objective": "windows"}
    with (
        eplb.Context() as context,
        pytest.raises(eplb.Unavailable, match="objective is 'windows', which strategy greedy"),
    ):
        context.solve(weights, 16, 4, **greedy)
    with pytest.raises(eplb.Unavailable, match="objective is 'windows', which strategy greedy"):
        eplb.rebalance_experts(weights, 16, 1, 1, 4, **greedy)
