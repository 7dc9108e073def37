"""What is known of the call before is used only where a call is the same one."""

import copy

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from eplb import _handle
from eplb._session import Session

SIZES = {"num_slots": 16, "num_gpus": 8, "strategy": "greedy"}
WINDOWS = np.random.default_rng(0).lognormal(0, 1, (3, 2, 16))
SOFT = {"num_slots": 24, "num_gpus": 4, "num_nodes": 2, "num_groups": 4, "policy": "soft"}
# A call that is allowed, and arguments that are equal to its own and are not.
EQUAL = [
    ({"num_slots": 16}, {"num_slots": 16.0}),
    ({"num_gpus": 8}, {"num_gpus": 8.0}),
    ({"num_gpus": 1}, {"num_gpus": True}),
    ({"num_nodes": 1}, {"num_nodes": True}),
    ({"num_nodes": 1}, {"num_nodes": 1.0}),
    ({"num_groups": 1}, {"num_groups": True}),
    ({"num_groups": 0}, {"num_groups": False}),
    ({"seed": 0}, {"seed": False}),
    ({"seed": 0}, {"seed": 0.0}),
    ({"off_home_target": 1.0}, {"off_home_target": True}),
    ({"max_replicas": 9}, {"max_replicas": 9.0}),
]


@pytest.mark.parametrize(("allowed", "equal"), EQUAL)
def test_arguments_that_only_equal_those_before_are_refused(context, allowed, equal):
    for _ in range(2):
        before = context.solve(PAIRS, **{**SIZES, **allowed})
        with pytest.raises(eplb.InvalidArgument, match=f"{next(iter(equal))} is {next(iter(equal.values()))}"):
            context.solve(PAIRS, **{**SIZES, **equal})
        assert context.evaluate(before).imbalance == before.imbalance


@pytest.mark.parametrize("limit", ["max_moves", "max_moves_total", "max_arrivals"])
def test_limits_that_only_equal_those_before_are_refused(context, limit):
    current = np.arange(16)[np.newaxis] % 8
    for _ in range(2):
        context.rebalance(PAIRS, current, 8, **{limit: 1})
        with pytest.raises(eplb.InvalidArgument, match=f"{limit} is True"):
            context.rebalance(PAIRS, current, 8, **{limit: True})


@pytest.mark.parametrize("allow_empty", [2, "", None])
def test_allow_empty_is_checked_after_its_default(context, allow_empty):
    context.solve(PAIRS, **SIZES)
    with pytest.raises(eplb.InvalidArgument, match="allow_empty is"):
        context.solve(PAIRS, **SIZES, allow_empty=allow_empty)


@pytest.mark.parametrize(
    "failing",
    [{"num_slots": 24, "policy": "none"}, {"num_gpus": 4, "effort": "none"}, {"num_gpus": 3}, {"seed": -1}],
    ids=str,
)
def test_calls_after_one_that_failed_are_as_before_it(context, failing):
    first = context.solve(PAIRS, **SIZES)
    for _ in range(2):
        with pytest.raises(eplb.InvalidArgument):
            context.solve(PAIRS, **{**SIZES, **failing})
        again = context.solve(PAIRS, **SIZES)
        np.testing.assert_array_equal(again.physical_to_logical, first.physical_to_logical)
        assert (again.num_gpus, again.report.strategy) == (8, "greedy")
        assert context.evaluate(again).imbalance == again.imbalance


def test_an_argument_that_can_change_is_read_each_time(context):
    slots, gpus = np.array(16), np.array(8)
    assert context.solve(PAIRS, slots, gpus).physical_to_logical.shape == (1, 16)
    slots[...], gpus[...] = 24, 4
    plan = context.solve(PAIRS, slots, gpus)
    assert (plan.physical_to_logical.shape, plan.num_gpus) == ((1, 24), 4)


ON_24 = {**SIZES, "num_slots": 24, "strategy": "lpt_swap"}
OF_WINDOWS = {**SIZES, "strategy": "best", "effort": "fast", "objective": "windows"}
# A call, and what another one has that is the same otherwise.
CHANGES = [
    (SIZES, {"num_nodes": 2}),
    (SIZES, {"max_replicas": 4}),
    (SIZES, {"bound": "threshold"}),
    (SIZES, {"strategy": "lpt_swap", "seed": 1}),
    (ON_24, {"cluster": eplb.Cluster(speed=[2] + [1] * 7)}),
    (OF_WINDOWS, {"objective": "sum"}),
    (SOFT, {"allow_empty": True}),
    (SOFT, {"off_home_target": 1.5}),
    (SOFT, {"prices": np.arange(8).reshape(2, 4)}),
]


def answers(plan):
    report = plan.report.to_dict()
    for name in ("microseconds", "context_bytes"):
        del report[name]
    figures = {name: getattr(plan, name).tolist() for name in ("gpu_load", "off_home", "off_home_bound")}
    maps = {name: getattr(plan, name).tolist() for name in ("replica_slots", "replica_count", "logical_to_physical")}
    windows = plan.window_imbalance.tolist(), plan.window_bound.tolist()
    return {**report, **figures, **maps, "windows": windows, "warnings": plan.warnings, "number": plan.fingerprint}


@pytest.mark.parametrize(("asked", "change"), CHANGES, ids=str)
def test_plans_of_two_requests_by_turns_are_those_of_contexts_of_their_own(context, asked, change):
    requests, alone = (asked, {**asked, **change}), []
    for each in requests:
        with eplb.Context() as own:
            alone.append(answers(own.solve(WINDOWS, **each)))
    assert alone[0] != alone[1]
    for _ in range(2):
        plans = [context.solve(WINDOWS, **each) for each in requests * 2]
        context.solve(WINDOWS[0], 32, 8)
        # From copies, too, which are complete.
        assert [answers(plan) for plan in plans] == alone * 2
        assert [answers(copy.deepcopy(plan)) for plan in plans] == alone * 2


def test_plans_of_other_shapes_with_as_many_numbers(context):
    """What is fetched to be converted is fetched to the same place as before if that has the shape."""
    plans = [context.solve(np.ones(shape), shape[1] * 2, 4) for shape in ((2, 24), (3, 16), (2, 24))]
    context.close()
    for plan, (layers, experts) in zip(plans, ((2, 24), (3, 16), (2, 24)), strict=True):
        assert plan.replica_slots.shape == (layers, experts * 2)
        np.testing.assert_array_equal(plan.replica_count, np.full((layers, experts), 2))
        np.testing.assert_array_equal(np.sort(plan.replica_slots), np.tile(np.arange(experts * 2), (layers, 1)))


def test_what_figures_need_changes_no_later_call():
    """Those of homes are worked out for other policies, in the session that serves rebalance_experts."""
    weights = WINDOWS.sum(axis=0)
    arguments = weights, 24, 4, 2, 4
    first = eplb.rebalance_experts(*arguments, policy="soft")
    with eplb.Context() as context:
        plan = context.solve(weights, **SOFT)
        context.solve(weights, 16, 8)
        assert plan.off_home.shape == plan.off_home_bound.shape == (2,)
        moves = context.plan_transfers(plan, plan.physical_to_logical[:, ::-1], num_gpus=4, transfer_order="in_place")
    assert moves.count.shape == (2,)
    for one, other in zip(first, eplb.rebalance_experts(*arguments, policy="soft"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("asked", "change"), CHANGES, ids=str)
def test_equal_calls_share_what_they_are_for_and_others_do_not(context, asked, change):
    first, again, other = (
        context.solve(WINDOWS, **each)._solution.terms for each in (asked, asked, {**asked, **change})
    )
    assert first is again
    assert first != other
    one, all_windows = (context.solve(each, **asked)._solution.terms for each in (WINDOWS[0], WINDOWS))
    assert (one.num_windows, all_windows.num_windows) == (1, 3)


def test_the_same_request_is_written_once():
    session = Session()
    arguments = 16, 8, 1, None, "auto", "simple"
    session.set_problem(*arguments)
    first = session.problem
    session.set_problem(*arguments)
    assert session.problem is first
    session.set_problem(24, *arguments[1:])
    assert (first.num_slots, session.problem.num_slots) == (16, 24)
    # Numbers of numpy are read each time.
    for _ in range(2):
        before = session.problem
        session.set_problem(np.int64(24), *arguments[1:])
        assert session.problem is not before
        assert session.problem.num_slots == 24


def test_each_call_that_can_be_long_can_be_interrupted(context, monkeypatch):
    """Whatever was short before, and however little is different."""
    long = []
    run = _handle.run_interruptibly
    monkeypatch.setattr(_handle, "run_interruptibly", lambda *arguments: long.append(1) or run(*arguments))
    few, many = np.ones((2, 32)), np.ones((64, 32))
    fast, slow, soft = {"effort": "fast"}, {"effort": "max"}, {"effort": "fast", "policy": "soft"}
    for weights, options, is_long in (
        (many, fast, False),
        (many, slow, True),
        (few, slow, False),
        (many, slow, True),
        (many, fast, False),
        (many, soft, True),
        (many, fast, False),
    ):
        long.clear()
        context.solve(weights, 64, 8, **options)
        assert bool(long) is is_long
