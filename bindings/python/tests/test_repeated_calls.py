"""What is known of the call before is used only where a call is the same one."""

import copy

import eplb
import numpy as np
import pytest
from conftest import PAIRS
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


REQUESTS = [
    SIZES,
    {**SIZES, "num_nodes": 2},
    {**SIZES, "num_slots": 24},
    {**SIZES, "max_replicas": 4},
    {**SIZES, "bound": "threshold"},
    {**SIZES, "strategy": "best", "objective": "windows"},
    {**SIZES, "strategy": "best", "objective": "windows", "window_weights": 0.5},
    {**SIZES, "num_slots": 24, "cluster": eplb.Cluster(slots=[3] * 7 + [2], speed=[2] + [1] * 7)},
    {**SIZES, "strategy": "noise_spectrum", "seed": 1},
    SOFT,
    {**SOFT, "allow_empty": True},
    {**SOFT, "off_home_target": 1.5},
    {**SOFT, "prices": np.arange(8).reshape(2, 4)},
]


def answers(plan):
    report = plan.report.to_dict()
    for name in ("microseconds", "context_bytes"):
        del report[name]
    figures = {name: getattr(plan, name).tolist() for name in ("gpu_load", "off_home", "off_home_bound")}
    maps = {name: getattr(plan, name).tolist() for name in ("replica_slots", "replica_count", "logical_to_physical")}
    windows = plan.window_imbalance.tolist(), plan.window_bound.tolist()
    return {**report, **figures, **maps, "windows": windows, "warnings": plan.warnings, "number": plan.fingerprint}


def test_plans_of_different_requests_in_turn_are_those_of_contexts_of_their_own(context):
    """Each after each other one, read before and after that."""
    alone = []
    for request in REQUESTS:
        with eplb.Context() as own:
            alone.append(answers(own.solve(WINDOWS, **request)))
    for number, request in enumerate(REQUESTS):
        for other, between in enumerate(REQUESTS):
            plan = context.solve(WINDOWS, **request)
            later = context.solve(WINDOWS, **between)
            assert answers(copy.deepcopy(plan)) == answers(plan) == alone[number]
            assert answers(later) == alone[other]


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


def test_equal_calls_share_what_they_are_for_and_others_do_not(context):
    terms = [context.solve(WINDOWS, **request)._solution.terms for request in REQUESTS for _ in range(2)]
    assert all(one is other for one, other in zip(terms[::2], terms[1::2], strict=True))
    # Weights of windows matter to the solve alone.
    assert len(set(terms)) == len(REQUESTS) - 1
    one, all_windows = (context.solve(each, **SIZES)._solution.terms for each in (WINDOWS[0], WINDOWS))
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
