"""Figures of windows are computed when they are read, and stay as they were when the context goes on."""

import copy
import pickle

import numpy as np
import pytest
from eplb.sample import sample_weights

SIZES = {"num_slots": 80, "num_gpus": 16}
WINDOWS = ("window_imbalance", "window_bound")


def windows():
    return np.random.default_rng(5).lognormal(0, 2, (7, 3, 64))


def test_windows_are_measured_when_they_are_read(context, calls):
    weights = windows()
    plan = context.solve(weights, **SIZES)
    assert plan.report.num_windows == 7
    assert calls["window_imbalance"] == calls["window_bound"] == 0
    assert plan.window_imbalance is plan.window_imbalance
    context.solve(weights, **SIZES)
    assert plan.window_bound is plan.window_bound
    assert (calls["window_imbalance"], calls["window_bound"], calls["evaluate_windows"]) == (1, 0, 1)
    # Nothing is left to be computed, so nothing is kept for it.
    assert plan._solution._weights is plan._solution._shared is None


def test_an_evaluation_measures_windows_when_they_are_read(context, calls):
    weights = windows()
    placement = context.solve(weights, **SIZES).physical_to_logical
    report = context.evaluate(placement)
    known = context.evaluate(placement)
    expected = known.window_imbalance, known.window_bound
    calls.clear()
    placement[:] = 0
    context.solve(sample_weights(2, 32, 9), num_slots=40, num_gpus=8)
    for figures, name in zip(expected, WINDOWS, strict=True):
        assert getattr(report, name) is getattr(report, name)
        assert np.array_equal(getattr(report, name), figures)
    assert calls["evaluate_windows"] == 2 and calls["evaluate"] == 0
    assert report.to_dict().keys() == context.solve(weights, **SIZES).report.to_dict().keys()


@pytest.mark.parametrize("allow_empty", [False, True])
@pytest.mark.parametrize("late", [lambda plan: plan, copy.copy, lambda plan: pickle.loads(pickle.dumps(plan))])
def test_windows_of_a_rebalance(context, late, allow_empty):
    weights = windows()
    current = context.solve(weights[0], **SIZES)

    def solve():
        return context.rebalance(weights, current, allow_empty=allow_empty, max_moves=3)

    read = solve()
    expected = read.window_imbalance, read.window_bound
    plan = late(solve())
    context.solve(sample_weights(2, 32, 9), num_slots=40, num_gpus=8)
    assert np.array_equal(plan.window_imbalance, expected[0])
    assert np.array_equal(plan.window_bound, expected[1])
