"""A plan computes what is read, when it is read, and answers the same whatever its context does in the meantime."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref

import eplb
import numpy as np
import pytest
from conftest import PAIRS, child_environment
from eplb.sample import sample_weights
from invariants import check_plan

SIZES = {"num_slots": 16, "num_gpus": 8}
LARGE = {"num_slots": 80, "num_gpus": 16}
MAPS = ("physical_to_logical", "logical_to_physical", "replica_count", "replica_slots")
FIGURES = ("gpu_load", "imbalance", "bound", "duplicates")
WINDOWS = ("window_imbalance", "window_bound")
ANSWERS = (*MAPS, *FIGURES, *WINDOWS, "report")
# In two solves of the same.
NOT_THE_SAME = ("microseconds", "context_bytes")


def check_same(plan, known):
    for name in (*MAPS, *FIGURES, *WINDOWS):
        given, expected = getattr(plan, name), getattr(known, name)
        assert given.dtype == expected.dtype
        assert np.array_equal(given, expected), name
    given, expected = plan.report.to_dict(), known.report.to_dict()
    for name in NOT_THE_SAME:
        assert given.pop(name) > 0
        expected.pop(name)
    assert given == expected


def read_at_once(weights, problem):
    with eplb.Context() as context:
        plan = context.solve(weights, **problem)
        for name in ANSWERS:
            getattr(plan, name)
    return plan


def test_nothing_but_the_placement_is_fetched(context, calls):
    plan = context.solve(PAIRS, **SIZES)
    plan.physical_to_logical  # noqa: B018
    repr(plan)
    assert calls == {"upload": 1, "solve": 1, "physical_to_logical": 1}
    del plan
    context.solve(PAIRS, **SIZES)
    assert calls == {"upload": 2, "solve": 2, "physical_to_logical": 2}


def test_nothing_is_asked_for_twice(context, calls):
    plan = context.solve(PAIRS, **SIZES)
    plan.imbalance  # noqa: B018
    assert calls["report"] == calls["bound"] == calls["gpu_load"] == 0
    for name in ANSWERS * 2:
        assert getattr(plan, name) is getattr(plan, name)
    assert plan.report.imbalance is plan.imbalance
    context.solve(PAIRS, **SIZES)
    context.close()
    once = dict.fromkeys(("report", *FIGURES, "replica_slots", "replica_count"), 1)
    assert calls == {**once, "upload": 2, "solve": 2, "physical_to_logical": 2}


def test_one_evaluation_serves_a_plan_that_is_read_late(context, calls):
    plan = context.solve(PAIRS, **SIZES)
    context.solve(PAIRS, **SIZES)
    calls.clear()
    for name in ANSWERS * 2:
        getattr(plan, name)
    assert calls["evaluate"] <= 2
    assert set(calls) == {"evaluate", "upload"}


def another_solve(context):
    context.solve(sample_weights(2, 32, 9), num_slots=40, num_gpus=8)


def an_upload(context):
    context.upload(sample_weights(2, 32, 9))


def a_reserve(context):
    context.reserve((4, 64), **LARGE)


def another_evaluation(context):
    context.evaluate([list(range(8)) * 2], PAIRS, num_gpus=8, num_nodes=1, num_groups=1)


def a_failed_solve(context):
    with pytest.raises(eplb.InvalidWeight):
        context.solve([[np.nan, 1]], num_slots=2, num_gpus=2)


def closing(context):
    context.close()


WAYS_ON = [another_solve, an_upload, a_reserve, another_evaluation, a_failed_solve, closing]


def windows():
    return np.random.default_rng(5).lognormal(0, 2, (7, 3, 64))


PROBLEMS = {
    "integers": (sample_weights(3, 64), LARGE),
    "float64": (np.random.default_rng(1).lognormal(0, 2, (3, 64)), LARGE),
    "float32": (np.random.default_rng(2).lognormal(0, 2, (3, 64)).astype(np.float32), LARGE),
    "windows": (windows(), LARGE),
    "windows of float32": (windows().astype(np.float32), LARGE),
    "windows of int32": ((windows() * 1e6).astype(np.int32), LARGE),
    "one window": (windows()[:1], LARGE),
    "above 2^53": (2**61 - sample_weights(3, 64), LARGE),
    "zeros": (np.array([[0.0, -0.0, 0.0], [1.0, 0.0, 0.0]]), {"num_slots": 4, "num_gpus": 2}),
    "nodes": (sample_weights(3, 64), {**LARGE, "num_nodes": 2, "num_groups": 4}),
    "cap": (sample_weights(3, 64), {**LARGE, "max_replicas": 2}),
    "greedy": (sample_weights(3, 64), {**LARGE, "strategy": "greedy"}),
    "threshold": (sample_weights(3, 64), {"num_slots": 80, "num_gpus": 40, "bound": "threshold"}),
    "one GPU": (sample_weights(3, 8), {"num_slots": 1000, "num_gpus": 1}),
    "many slots": (sample_weights(1, 8), {"num_slots": 2**17, "num_gpus": 2**14, "strategy": "greedy"}),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_same_bits_later(context, kind):
    weights, problem = PROBLEMS[kind]
    known = read_at_once(weights, problem)
    plan = context.solve(weights, **problem)
    another_solve(context)
    check_same(plan, known)


@pytest.mark.parametrize("kind", ["integers", "windows"])
@pytest.mark.parametrize("way", WAYS_ON)
@pytest.mark.parametrize("first", ANSWERS)
def test_same_answers_whatever_the_context_does(context, way, first, kind):
    weights, problem = PROBLEMS[kind]
    known = read_at_once(weights, problem)
    plan = context.solve(weights, **problem)
    getattr(plan, first)
    way(context)
    check_same(plan, known)


def test_what_is_read_at_once_is_the_librarys(context):
    """Also while the context does what changes nothing."""
    plan = context.solve(PAIRS, **SIZES)
    context.synchronize()
    context.evaluate(plan.physical_to_logical)
    assert plan.report.context_bytes > 1000
    assert plan.report.microseconds > 0


@pytest.mark.parametrize("kind", ["integers", "windows"])
@pytest.mark.parametrize("read", ANSWERS)
def test_context_that_is_forgotten(read, kind):
    weights, problem = PROBLEMS[kind]
    context = eplb.Context()
    plan = context.solve(weights, **problem)
    shared = weakref.ref(context._shared)
    del context
    gc.collect()
    # A plan alone does not keep the context's memory.
    assert shared() is None
    getattr(plan, read)
    check_same(plan, read_at_once(weights, problem))


def test_plan_of_an_upload(context):
    weights, problem = PROBLEMS["windows"]
    context.upload(weights)
    plans = {name: context.solve(None, **problem, strategy=name) for name in ("greedy", "best", "lpt_swap")}
    for name, plan in plans.items():
        check_same(plan, read_at_once(weights, {**problem, "strategy": name}))


@pytest.mark.parametrize("later", [False, True])
def test_callers_arrays_are_the_callers(context, later):
    weights = np.array(PAIRS, np.float64)
    known = read_at_once(PAIRS, SIZES)
    plan = context.solve(weights, **SIZES)
    weights[:] = 1
    placement = plan.physical_to_logical.copy()
    plan.physical_to_logical[:] = 0
    plan.replica_count[:] = 0
    plan.replica_slots[:] = 0
    if later:
        another_solve(context)
    assert np.array_equal(plan.gpu_load, known.gpu_load)
    assert np.array_equal(plan.logical_to_physical, known.logical_to_physical)
    assert plan.report.imbalance_mean == known.report.imbalance_mean
    assert np.array_equal(placement, known.physical_to_logical)


def test_many_plans_are_kept(context):
    tables = [sample_weights(2, 32, seed) for seed in range(12)]
    plans = [context.solve(table, num_slots=40, num_gpus=8, strategy="greedy") for table in tables]
    for table, plan in zip(tables, plans, strict=True):
        check_plan(table, plan, {"num_slots": 40, "num_gpus": 8})


def test_plan_cannot_be_changed(context):
    plan = context.solve(PAIRS, **SIZES)
    with pytest.raises(AttributeError, match="a Plan cannot be changed: report is read-only"):
        plan.report = None
    with pytest.raises(AttributeError, match="read-only"):
        del plan.max_replicas
    with pytest.raises(AttributeError):
        plan.other  # noqa: B018


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda plan: pickle.loads(pickle.dumps(plan))])
def test_copies_of_plans_that_are_read_late(context, way):
    weights, problem = PROBLEMS["windows"]
    known = read_at_once(weights, problem)
    plan = context.solve(weights, **problem)
    another_solve(context)
    check_same(way(plan), known)
    fresh = way(context.solve(weights, **problem))
    another_solve(context)
    check_same(fresh, known)


def test_call_that_comes_while_a_plan_is_read(context):
    """Of a signal handler, say."""
    plan = context.solve(PAIRS, **SIZES)

    def read(session):
        with pytest.raises(eplb.InvalidState, match="a plan of it is being read"):
            context.solve(PAIRS, **SIZES)
        assert plan.imbalance.shape == (1,)

    assert context._shared.read(context._shared.changes, read)
    context.solve(PAIRS, **SIZES)


def test_plan_that_is_read_during_a_call(context):
    plan, known = context.solve(PAIRS, **SIZES), read_at_once(PAIRS, SIZES)

    class Slots:
        def __index__(self):
            check_same(plan, known)
            return 16

    context.solve(PAIRS, Slots(), 8)


def test_call_waits_for_a_reader(context):
    plan = context.solve(PAIRS, **SIZES)
    started, go_on = threading.Event(), threading.Event()

    def work(session):
        started.set()
        assert go_on.wait(60)

    reader = threading.Thread(target=context._shared.read, args=(context._shared.changes, work))
    reader.start()
    started.wait()
    threading.Timer(0.05, go_on.set).start()
    context.solve(PAIRS, **SIZES)
    assert go_on.is_set()
    reader.join()
    check_same(plan, read_at_once(PAIRS, SIZES))


THREADS = """
import random, threading
import eplb, numpy as np
from eplb.sample import sample_weights
ANSWERS = ("logical_to_physical", "replica_count", "replica_slots", "gpu_load", "imbalance", "bound", "duplicates",
           "window_imbalance", "window_bound", "report")
tables = [sample_weights(8, 64, seed) for seed in range(3)]
tables.append(np.stack(tables[:2]))
def solve(context, index):
    return context.solve(tables[index % 4], num_slots=80, num_gpus=16, strategy="greedy")
def values(plan, name):
    value = getattr(plan, name)
    return value.gap if name == "report" else value
known = []
with eplb.Context() as context:
    for index in range(4):
        plan = solve(context, index)
        known.append({name: values(plan, name) for name in ANSWERS})
latest, failures, done = (0, None), [], threading.Event()
def read(seed):
    chance = random.Random(seed)
    while not done.is_set():
        index, plan = latest
        if plan is not None:
            name = chance.choice(ANSWERS)
            try:
                if not np.array_equal(values(plan, name), known[index % 4][name]):
                    failures.append((name, "differs"))
            except BaseException as error:
                failures.append((name, error))
threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
for thread in threads:
    thread.start()
try:
    for start in range(6):
        context = eplb.Context(num_threads=1 + start % 2)
        for index in range(40):
            latest = (index, solve(context, index))
            if index % 5 == 0:
                context.evaluate(latest[1].physical_to_logical)
            if index % 7 == 0:
                context.upload(tables[(index + 1) % 4])
        if start % 3:
            context.close()
        del context
finally:
    done.set()
    for thread in threads:
        thread.join()
assert not failures, failures[:3]
"""


def run(program):
    """In a child: a context that is used by two threads at once may crash."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr)


def test_threads_read_while_the_context_works():
    run(THREADS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_fork():
    run("""
import os, warnings
import eplb
warnings.simplefilter("ignore")
weights = [[600, 560, 120, 120, 20, 10, 10, 10]]
context = eplb.Context()
plan = context.solve(weights, num_slots=16, num_gpus=8)
with eplb.Context() as other:
    known = other.solve(weights, num_slots=16, num_gpus=8).report.to_dict()
child = os.fork()
if child == 0:
    code = 1
    try:
        report = plan.report.to_dict()
        same = all(report[name] == known[name] for name in report if name not in ("microseconds", "context_bytes"))
        code = 0 if same and plan.replica_count.sum() == 16 else 2
    finally:
        os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert plan.report.imbalance_mean == known["imbalance_mean"]
context.solve(weights, num_slots=16, num_gpus=8)
""")


def test_a_fingerprint_is_the_librarys_and_stays(context):
    weights = sample_weights(3, 64, seed=5)
    plan = context.solve(weights, **LARGE, strategy="random_restarts")
    with context._shared as session:
        known = session.fingerprint()
    assert plan.fingerprint == known
    kept = context.solve(weights, **LARGE, strategy="random_restarts")
    other = context.solve(weights, **LARGE, strategy="random_restarts", seed=1)
    third = context.solve(weights, 80, 8, strategy="random_restarts")
    assert kept.fingerprint == pickle.loads(pickle.dumps(kept)).fingerprint == known
    assert len({known, other.fingerprint, third.fingerprint}) == 3
    assert 0 <= known < 2**64
