"""When a placement is prepared for static dispatch: once, for splits too, unless the library has discarded it."""

import eplb
import numpy as np
import pytest
from eplb._library import ffi, lib
from test_static_dispatch_calls import OTHER, SIZES, WEIGHTS, fresh, same


@pytest.fixture
def prepared(library):
    """For each split and static dispatch, whether the library was given a placement."""
    seen = []

    def through(function):
        def call(context, problem, *others):
            seen.append(problem != ffi.NULL)
            return function(context, problem, *others)

        return call

    library.eplb_split = through(lib.eplb_split)
    library.eplb_static_dispatch = through(lib.eplb_static_dispatch)
    return seen


def test_a_placement_is_prepared_once_for_both(context, prepared):
    plan = context.solve(WEIGHTS, **SIZES)
    with eplb.Context() as other:
        split = other.split(OTHER, plan)
    prepared.clear()
    for _ in range(2):
        assert np.array_equal(context.split(OTHER, plan).quota, split.quota)
        assert same(context.static_dispatch(OTHER, plan.physical_to_logical, 16), eplb.static_dispatch(OTHER, plan))
    context.static_dispatch(None, plan, num_ranks=3, max_swaps=None, tolerance=0.1)
    assert prepared.count(True) == 2  # by the context, and by that of the thread
    assert prepared[0] and not any(prepared[3:])


def test_what_is_prepared_again(context, prepared):
    plan = context.solve(WEIGHTS, **SIZES, num_nodes=2, num_groups=2)
    swapped = plan.physical_to_logical[:, ::-1]
    calls = (
        lambda: context.static_dispatch(OTHER, plan),
        lambda: context.static_dispatch(OTHER, plan, max_swaps=1),  # in groups
        lambda: context.static_dispatch(OTHER, plan, max_swaps=None),
        lambda: context.static_dispatch(OTHER, plan, num_nodes=1),
        lambda: context.split(OTHER, plan),
        lambda: context.split(OTHER, swapped),
        lambda: context.static_dispatch(OTHER, plan, num_nodes=1),
    )
    for call in calls:
        call()
    assert prepared == [True, True, False, True, False, True, True]
    assert same(context.static_dispatch(OTHER, plan), fresh(OTHER, plan))


def test_a_call_that_failed_keeps_what_was_prepared(context, prepared):
    row = np.arange(80) % 64
    context.static_dispatch(WEIGHTS, row, 16)
    with pytest.raises(eplb.InvalidPlacement):
        context.static_dispatch(OTHER, np.zeros(80, int), 16)
    with pytest.raises(eplb.InvalidArgument):
        context.static_dispatch(OTHER, row, 16, num_ranks=9999)
    assert same(context.static_dispatch(None, row, 16), fresh(WEIGHTS, row, 16))
    assert prepared == [True, True, False, False, True]  # the last is that of the other context
