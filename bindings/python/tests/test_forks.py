"""A child after fork: other threads of its parent, and what they held, do not exist there.

Each program is a process of its own, whose children have an alarm: what this guards against is that they wait for ever.
"""

import subprocess
import sys

from conftest import child_environment

# In a thread, a call of the library is held up for as long as it takes to fork.
BEGIN = """
import os, signal, sys, threading, warnings
import numpy as np
import eplb
from watched import watch

warnings.simplefilter("ignore")  # of threads and fork
signal.alarm(100)
weights = [[600, 560, 120, 120, 20, 10, 10, 10]]
sizes = {"num_slots": 16, "num_gpus": 8}

def child_does(work):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, code

library = watch()

def inside(work, owner, name):
    '''A thread that is inside owner.name, and what lets it go on.'''
    arrived, leave = threading.Event(), threading.Event()
    method = getattr(owner, name)

    def held(*arguments):
        if threading.current_thread() is thread:
            arrived.set()
            assert leave.wait(60)
        return method(*arguments)

    setattr(owner, name, held)
    thread = threading.Thread(target=work)
    thread.start()
    assert arrived.wait(60)

    def go_on():
        leave.set()
        thread.join()

    return go_on
"""


def run(program):
    command = [sys.executable, "-c", BEGIN + program]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def test_context_of_a_call_on_another_thread():
    run("""
context = eplb.Context()
plan = context.solve(weights, **sizes)
go_on = inside(lambda: context.solve(weights, **sizes), library, "eplb_solve")

def work():
    for call in (lambda: context.solve(weights, **sizes), lambda: context.evaluate(plan)):
        try:
            call()
        except eplb.InvalidState as error:
            assert "before fork" in str(error)
        else:
            raise SystemExit("a context of the parent was used")
    context.interrupt()
    assert plan.report.imbalance_mean > 1
    context.close()
    context.close()
    with eplb.Context() as own:
        assert own.solve(weights, **sizes).fingerprint == plan.fingerprint

child_does(work)
go_on()
context.solve(weights, **sizes)
context.close()
""")


def test_context_in_which_the_library_is_at_work():
    run("""
context = eplb.Context()
ends = []

def solve():
    try:
        context.solve(np.tile(weights, (400_000, 1)), **sizes, strategy="hybrid_init")
    except eplb.Interrupted as error:
        ends.append(error)

thread = threading.Thread(target=solve)
thread.start()
while not context._shared._session.handle.is_inside_elsewhere():
    pass
for _ in range(5):
    child_does(context.close)
while thread.is_alive():
    context.interrupt()
assert len(ends) == 1
context.close()
""")


def test_context_whose_plan_is_read_on_another_thread():
    run("""
context = eplb.Context()
plan = context.solve(weights, **sizes)
go_on = inside(lambda: plan.report, library, "eplb_fetch_report")

def work():
    context.close()
    try:
        plan.report
    except eplb.InvalidState as error:
        assert "was not read before its context was lost" in str(error)

child_does(work)
go_on()
assert plan.report.imbalance_mean > 1
""")


def test_child_of_multiprocessing_collects_what_its_parent_used():
    run("""
import gc, multiprocessing

contexts = [eplb.Context() for _ in range(3)]
go_on = inside(lambda: contexts[0].solve(weights, **sizes), library, "eplb_solve")

def work():
    signal.alarm(20)
    contexts.pop().close()
    contexts.clear()
    gc.collect()
    eplb.rebalance_experts(weights, 16, 1, 1, 8)

child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
assert child.exitcode == 0, child.exitcode
go_on()
""")


def test_fork_by_a_handler_of_signals_during_a_call():
    """The main thread waits for the thread that is inside the library, which the child does not have."""
    run("""
from eplb import _handle

_handle.LONG = 0
context = eplb.Context()
plan = context.solve(weights, **sizes)
children, parent = [], os.getpid()

def fork(*_):
    children.append(os.fork())

signal.signal(signal.SIGUSR1, fork)
def solve_with_signal(*arguments):
    if os.getpid() == parent:
        os.kill(parent, signal.SIGUSR1)
        while not children:
            pass
    return eplb._library.lib.eplb_solve(*arguments)

library.eplb_solve = solve_with_signal
try:
    again = context.solve(weights, **sizes)
except eplb.InvalidState as error:
    assert os.getpid() != parent and "fork" in str(error), error
    signal.alarm(20)
    context.close()
    eplb.rebalance_experts(weights, 16, 1, 1, 8)
    os._exit(0)
if os.getpid() != parent:
    os._exit(1)
assert again.fingerprint == plan.fingerprint
assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
""")


WATCH_ENDS = """
from eplb import _handle
from eplb._library import lib

ended = []

class Library:
    def __getattr__(self, name):
        return getattr(lib, name)

    def eplb_context_destroy(self, context):
        ended.append(context)
        lib.eplb_context_destroy(context)

_handle.lib = Library()
"""


def test_memory_that_another_thread_was_changing_is_left_alone():
    """As it was when that thread vanished, a child cannot free it; all other contexts it frees."""
    run(f"""{WATCH_ENDS}
def make():
    contexts = [eplb.Context() for _ in range(3)]
    return contexts, contexts[0].solve(weights, **sizes)

contexts, plan = make()
one_call = []
held = [
    inside(lambda: contexts[0].solve(weights, **sizes), library, "eplb_solve"),
    inside(lambda: contexts[1].upload(weights), library, "eplb_upload_weights"),
    inside(lambda: one_call.append(eplb.rebalance_experts(weights, 16, 1, 1, 8)), library, "eplb_map_shape"),
]

def work():
    for number in range(3):
        contexts[number].close()
        assert len(ended) == (number == 2), (number, ended)
    assert eplb.rebalance_experts(weights, 16, 1, 1, 8)[0].shape == (1, 16)

child_does(work)
for go_on in held:
    go_on()
assert not ended and len(one_call) == 1
for number, context in enumerate(contexts, 1):
    context.close()
    assert len(ended) == number
""")


def test_fork_by_a_handler_during_rebalance_experts():
    """The thread's own context is its parent's: the next call makes another."""
    run(f"""{WATCH_ENDS}
_handle.LONG = 0
maps = eplb.rebalance_experts(weights, 16, 1, 1, 8)
children, parent = [], os.getpid()
signal.signal(signal.SIGUSR1, lambda *_: children.append(os.fork()))

def solve_with_signal(*arguments):
    if os.getpid() == parent:
        os.kill(parent, signal.SIGUSR1)
        while not children:
            pass
    return lib.eplb_solve(*arguments)

library.eplb_solve = solve_with_signal
try:
    again = eplb.rebalance_experts(weights, 16, 1, 1, 8)
except eplb.InvalidState as error:
    assert os.getpid() != parent and "fork" in str(error), error
    signal.alarm(20)
    again = eplb.rebalance_experts(weights, 16, 1, 1, 8)
    assert (again[0] == maps[0]).all() and not ended
    os._exit(0)
assert os.getpid() == parent
assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
""")


def test_lazy_figures():
    """Before Python 3.12, functools.cached_property has a lock."""
    run("""
from eplb import _windows

windows = np.tile(np.array(weights), (2, 1, 1))
context = eplb.Context()
kept = [_windows.KeptWeights(windows) for _ in range(2)]
evaluations = [context.evaluate(context.solve(windows, **sizes)) for _ in range(2)]
held = [
    inside(lambda: kept[0].sums, _windows, "_sum"),
    inside(lambda: evaluations[0].window_imbalance, type(evaluations[0]), "_of_windows"),
]

def work():
    assert (kept[1].sums == 2 * np.array(weights)).all()
    assert evaluations[1].window_imbalance.shape == (1, 2)

child_does(work)
for go_on in held:
    go_on()
""")


def test_locks_of_modules():
    run("""
from eplb import _device_pool
from eplb.engines import _counters

for lock in (_device_pool._captured_lock, _counters._lock):
    threading.Thread(target=lock.acquire).start()
    while not lock.locked():
        pass

def work():
    eplb.synchronize()
    _counters.note_kept()
    assert eplb.engines.counters().kept == 1

child_does(work)
""")


def test_fork_while_contexts_are_made():
    """What is done before a fork goes through all contexts, of which other threads make more meanwhile."""
    run("""
ending = threading.Event()
sys.setswitchinterval(1e-5)

def make():
    kept = []
    while not ending.is_set():
        kept = [*kept[-100:], eplb.Context()]

threads = [threading.Thread(target=make) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(60):
    child_does(lambda: None)
ending.set()
for thread in threads:
    thread.join()
""")
