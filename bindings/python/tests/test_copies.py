"""What can be copied and pickled, and what refuses: a context that is freed twice ends the process."""

import copy
import pickle
import subprocess
import sys

import eplb
import numpy as np
import owners
import pytest
from conftest import PAIRS, child_environment
from eplb import _device_pool, _library
from eplb._plan import DevicePlan
from eplb._request import Request
from invariants import check_plan

SIZES = {"num_slots": 16, "num_gpus": 8}
HOST_MAPS = ("physical_to_logical", "replica_count", "replica_slots", "gpu_load", "logical_to_physical")
LAYER_MAPS = ("imbalance", "bound", "duplicates")


def through_pickle(value):
    return pickle.loads(pickle.dumps(value))


WAYS = [copy.copy, copy.deepcopy, through_pickle, *(lambda value, p=p: pickle.dumps(value, p) for p in range(6))]


def some_owners():
    context = eplb.Context()
    return [
        context,
        context._shared,
        context._shared._session,
        context._shared._session.handle,
        context._device,
        Request(),
        _device_pool._Pool(),
        eplb.Rebalancer("fresh", [[0, 1]], num_gpus=2, context=context),
    ]


def test_all_owners_refuse():
    """Found in the source: that of a class which was added later, too."""
    found = owners.owners()
    assert {"Handle", "Session", "SharedSession", "Context", "Rebalancer", "DeviceSolution", "_Reader"} <= found
    assert found - owners.refusing() == set()
    assert {type(owner).__name__ for owner in some_owners()} <= found


def test_loaded_library_is_one():
    """What stands for it is a module, which cannot be copied or pickled."""
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            way(_library)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("owner", some_owners(), ids=lambda owner: type(owner).__name__)
def test_owners_refuse(owner, way):
    with pytest.raises(TypeError, match=f"a {type(owner).__name__} cannot be copied or pickled: "):
        way(owner)


def test_context_says_what_to_do():
    with eplb.Context() as context, pytest.raises(TypeError, match=r"make another with Context\(device, num_threads\)"):
        copy.copy(context)


def test_subclass_refuses_by_its_own_name():
    class Planner(eplb.Context):
        pass

    with Planner() as planner, pytest.raises(TypeError, match="a Planner cannot"):
        copy.deepcopy({"planner": planner})


def test_a_copied_context_is_not_freed_twice():
    """In a child: what this guards against is a crash."""
    program = """
import copy, gc
import eplb
weights = [[600, 560, 120, 120, 20, 10, 10, 10]]
context = eplb.Context()
context.solve(weights, num_slots=16, num_gpus=8)
try:
    copy.copy(context)
except TypeError:
    pass
else:
    raise SystemExit("copied")
# As far as a copy can still be forced: the dictionary of one in another.
forced = object.__new__(eplb.Context)
vars(forced).update(vars(context))
context.close()
gc.collect()
for call in (lambda: forced.solve(weights, num_slots=16, num_gpus=8), lambda: forced.solve(None, 16, 8),
             lambda: forced.evaluate([[0] * 16]), forced.synchronize):
    try:
        call()
    except eplb.Error:
        pass
    else:
        raise SystemExit("used after it was freed")
forced.close()
"""
    done = subprocess.run([sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, through_pickle])
@pytest.mark.parametrize("closed", [False, True])
def test_plans_and_reports_can_be_copied(way, closed):
    context = eplb.Context()
    plan = context.solve(PAIRS, **SIZES)
    if closed:
        context.close()
    copied = way(plan)
    context.close()
    check_plan(PAIRS, copied, SIZES)
    for name in HOST_MAPS + LAYER_MAPS:
        assert np.array_equal(getattr(copied, name), getattr(plan, name)), name
    assert copied.max_replicas == plan.max_replicas
    assert copied.report.to_dict() == plan.report.to_dict() == way(plan.report).to_dict()


def test_errors_and_backends_can_be_pickled(context):
    with pytest.raises(eplb.InvalidArgument) as raised:
        context.solve(PAIRS, num_slots=17, num_gpus=8)
    assert through_pickle(raised.value).text == raised.value.text
    assert through_pickle(eplb.backends()) == eplb.backends()


def test_plan_of_a_device():
    plan = DevicePlan({"physical_to_logical": np.zeros((1, 2))}, 2, 1, lambda name: name, False)
    assert copy.copy(plan) is plan
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a DevicePlan cannot be copied or pickled: its context"):
            way(plan)
