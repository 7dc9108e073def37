"""What calls that were interrupted, or failed, leave of a context and its plans: all that was there before."""

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from watched import interrupting

SIZES = {"num_slots": 16, "num_gpus": 8}
FIGURES = ("imbalance", "gpu_load", "replica_count", "replica_slots", "logical_to_physical", "bound", "off_home")


@pytest.mark.parametrize("name", FIGURES)
def test_plan_whose_reading_was_interrupted(context, library, name):
    """It can be read again, and says the same."""
    sizes = {**SIZES, "num_nodes": 2, "num_groups": 4}
    plan = context.solve(PAIRS, **sizes)
    expected = [np.array(getattr(plan, each)) for each in FIGURES], untimed(plan.report)
    plan = context.solve(PAIRS, **sizes)
    left = interrupting(context, library, 2)
    for _ in range(2):
        with pytest.raises(eplb.Interrupted):
            getattr(plan, name)
    assert left == []
    assert all(np.array_equal(getattr(plan, each), known) for each, known in zip(FIGURES, expected[0], strict=True))
    assert untimed(plan.report) == expected[1]


def test_close_that_was_interrupted(context, library):
    """The plan reads from the context, which stays open for it."""
    plan = context.solve(PAIRS, **SIZES)
    interrupting(context, library, 1)
    with pytest.raises(eplb.Interrupted):
        context.close()
    assert context.solve(None, **SIZES).fingerprint == plan.fingerprint
    context.close()
    assert plan.report.imbalance_mean > 1


@pytest.mark.parametrize("windows", [1, 2, 70])
def test_weights_of_a_call_that_failed_do_not_stay(context, windows):
    weights = np.random.default_rng(0).integers(0, 100, (windows, 2, 8))
    context.upload(weights)
    plan = context.solve(None, **SIZES)
    evaluation = untimed(context.evaluate(plan))
    others = np.ones((1, 3, 4))
    for call in (
        lambda: context.solve(others, 17, 8),
        lambda: context.solve(others, **SIZES, strategy="lpt_swap", objective="windows", policy="soft", num_nodes=2),
        lambda: context.evaluate(np.zeros((3, 16), int), others),
        lambda: context.split(others, np.zeros((3, 16), int)),
        lambda: context.static_dispatch(others, np.zeros((3, 16), int)),
        lambda: context.rebalance(others, [[0] * 16], num_gpus=8, max_moves=0),
    ):
        for first in ("evaluate", "solve"):
            with pytest.raises(eplb.Error):
                call()
            if first == "evaluate":
                assert untimed(context.evaluate(plan)) == evaluation
            again = context.solve(None, **SIZES)
            assert again.fingerprint == plan.fingerprint
            assert untimed(again.report) == untimed(plan.report)


def untimed(report):
    return {**report.to_dict(), "microseconds": 0, "context_bytes": 0}


def test_a_call_that_failed_leaves_no_weights(context):
    with pytest.raises(eplb.InvalidArgument):
        context.solve(PAIRS, 17, 8)
    for call in (lambda: context.solve(None, **SIZES), lambda: context.evaluate([[0] * 16], num_gpus=8)):
        with pytest.raises(eplb.InvalidState, match="^there are no weights: give them, or call upload first$"):
            call()
