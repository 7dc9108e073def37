"""Calls that end before they are done: by Ctrl-C, by Context.interrupt, and by what comes at the same time.

Programs are processes of their own with real signals. What they interrupt would take many seconds.
"""

import asyncio
import subprocess
import sys
import threading

import eplb
import numpy as np
import pytest
from conftest import PAIRS, child_environment
from eplb import _handle, _interrupts
from eplb._library import STATUSES, lib
from eplb._many_solves import count_threads, solve_on_threads

SIZES = {"num_slots": 16, "num_gpus": 8}

BEGIN = """
import os, signal, sys, threading
import numpy as np
import eplb
from watched import unwatch, watch

# What runs in a shell's background is started with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.alarm(250)
large = np.random.default_rng(0).lognormal(0, 1, (20000, 64))
small = large[:3]
sizes = {"num_slots": 80, "num_gpus": 16}
context = eplb.Context()
plan = context.solve(small, **sizes)

library, ends = watch(), []

def when_inside(function, act):
    '''Calls act on a thread of its own when the library is called with that function; ends has how such calls end.'''
    original = getattr(library, function)

    def call(*arguments):
        threading.Thread(target=act).start()
        status = original(*arguments)
        ends.append(eplb._library.status_name(status))
        return status

    setattr(library, function, call)

def interrupted_by(kind, work):
    try:
        work()
    except kind:
        return True
    return False

def press():
    os.kill(os.getpid(), signal.SIGINT)
"""

# After whatever was interrupted, all is as it was.
SAME = """
unwatch()
assert context.solve(None, **sizes).fingerprint == plan.fingerprint
assert context.evaluate(plan).imbalance_mean == plan.report.imbalance_mean
assert context._weights.shape[-2:] == small.shape
"""


def run(program):
    command = [sys.executable, "-c", BEGIN + program]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


CALLS = {
    "solve": ("eplb_solve", "context.solve(large, **sizes, strategy='hybrid_init')"),
    "solve of what was uploaded": (
        "eplb_solve",
        "[context.upload(large), context.solve(None, **sizes, strategy='hybrid_init')]",
    ),
    "evaluate": (
        "eplb_evaluate",
        "context.evaluate(np.tile(np.arange(512) % 256, (5000, 1)), wide, num_gpus=256, bound='threshold')",
    ),
    "plan_transfers": ("eplb_plan_transfers", "context.plan_transfers(here, there, num_gpus=64)"),
    "rebalance": (
        "eplb_solve",
        "context.rebalance(large, plan.physical_to_logical[0], num_gpus=16, target=0, effort='max')",
    ),
    "sweep": ("eplb_solve", "eplb.sweep(large, 16, [16, 32, 48, 64], strategy='hybrid_init', num_threads=2)"),
    "plan_budget": ("eplb_solve", "eplb.plan_budget(large, 20000 * 90, 16, strategy='hybrid_init')"),
    "replay": (
        "eplb_solve",
        "eplb.replay(np.stack([large] * 3), ['rebalance,effort=max'], num_slots=80, num_gpus=16)",
    ),
    "split": ("eplb_split", "context.split(drawn, np.arange(1024) % 768, 128)"),
    "split_tokens": ("eplb_split", "eplb.split_tokens(drawn, np.arange(1024) % 768, 128)"),
    "static_dispatch": (
        "eplb_static_dispatch",
        "context.static_dispatch(drawn, np.arange(1024) % 768, 128, max_swaps=None)",
    ),
    "static_dispatch without a context": (
        "eplb_static_dispatch",
        "eplb.static_dispatch(drawn, np.arange(1024) % 768, 128)",
    ),
    "rebalance_experts": ("eplb_solve", "eplb.rebalance_experts(large, 80, 1, 1, 16, strategy='hybrid_init')"),
}


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c(name):
    function, call = CALLS[name]
    run(f"""
wide = np.ones((5000, 256))
drawn = np.tile(np.random.default_rng(0).lognormal(0, 1, 768), (2000, 1))
here, there = (np.tile(np.arange(4096) // step % 1024, (400, 1)) for step in (1, 4))
when_inside({function!r}, press)
assert interrupted_by(KeyboardInterrupt, lambda: {call})
assert "EPLB_INTERRUPTED" in ends, ends
if {name!r} == "solve of what was uploaded":
    context.upload(small)
{SAME}""")


def test_second_ctrl_c():
    """They come while the first one ends the call: it ends before the error comes out."""
    run(f"""
seen = []

def handle(*_):
    seen.append(ends.copy())
    raise KeyboardInterrupt

signal.signal(signal.SIGINT, handle)

def call(*arguments):
    for count in range(1, 9):
        press()
        while len(seen) < count:
            pass
    status = eplb._library.lib.eplb_solve(*arguments)
    ends.append(eplb._library.status_name(status))
    return status

library.eplb_solve = call
for _ in range(3):
    seen.clear()
    ends.clear()
    assert interrupted_by(KeyboardInterrupt, lambda: context.solve(large, **sizes, strategy="hybrid_init"))
    assert ends == ["EPLB_INTERRUPTED"] and seen == [[]] * 8, (ends, seen)
{SAME}""")


def test_a_signal_that_does_not_wake_the_main_thread():
    """The system may give it to another thread, or just before the main thread begins to wait."""
    run(f"""
def press_here():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    press()

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
when_inside("eplb_solve", press_here)
assert interrupted_by(KeyboardInterrupt, lambda: context.solve(large, **sizes, strategy="hybrid_init"))
assert ends == ["EPLB_INTERRUPTED"]
{SAME}""")


def test_handlers_that_do_not_raise_end_nothing():
    run("""
seen = []

def look(*_):
    # It may even read a plan, of this context too, and waits for no call of its own thread.
    seen.append((context._shared._session.handle.is_inside_elsewhere(), plan.report.imbalance_mean))
    if len(seen) < 3:
        os.kill(os.getpid(), signal.SIGUSR1)

signal.signal(signal.SIGUSR1, look)
when_inside("eplb_solve", lambda: os.kill(os.getpid(), signal.SIGUSR1))
some = large[:2000]
found = context.solve(some, **sizes, strategy="hybrid_init")
assert ends == ["EPLB_OK"] and len(seen) == 3, (ends, seen)
unwatch()
assert any(inside for inside, _ in seen), seen
with eplb.Context(num_threads=2) as other:
    assert other.solve(some, **sizes, strategy="hybrid_init").fingerprint == found.fingerprint
""")


def test_a_handler_that_reads_a_plan_of_the_call_it_interrupts():
    """An evaluation leaves the plan in the library, which is at work: the handler has its answer after that."""
    run("""
import eplb._handle
eplb._handle.LONG = 0
plan = context.solve(small, **sizes)
read = []
signal.signal(signal.SIGUSR1, lambda *_: read.append(plan.report.imbalance_mean))
when_inside("eplb_evaluate", lambda: os.kill(os.getpid(), signal.SIGUSR1))
report = context.evaluate(plan)
while not read:
    pass
assert read == [report.imbalance_mean], read
""")


def test_a_handler_may_interrupt():
    """A program that ends by SIGTERM need not raise in its handler."""
    run(f"""
signal.signal(signal.SIGTERM, lambda *_: context.interrupt())
when_inside("eplb_solve", lambda: os.kill(os.getpid(), signal.SIGTERM))
assert interrupted_by(eplb.Interrupted, lambda: context.solve(large, **sizes, strategy="hybrid_init"))
{SAME}""")


def test_what_a_handler_raises_comes_out():
    run(f"""
class Enough(Exception):
    pass

def raise_it(*_):
    raise Enough

signal.signal(signal.SIGALRM, raise_it)
when_inside("eplb_solve", lambda: signal.setitimer(signal.ITIMER_REAL, 0.01))
assert interrupted_by(Enough, lambda: context.solve(large, **sizes, strategy="hybrid_init"))
{SAME}""")


def test_interrupt_from_another_thread():
    run(f"""
def work():
    ends.append(interrupted_by(eplb.Interrupted, lambda: context.solve(large, **sizes, strategy="hybrid_init")))

thread = threading.Thread(target=work)
thread.start()
while not context._shared._session.handle.is_inside_elsewhere():
    pass
context.interrupt()
thread.join()
assert ends == [True]
{SAME}""")


def test_interrupt_between_two_calls_of_the_library(context, library):
    """A call in Python is several in C: it ends before the next one."""
    plan = context.solve(PAIRS, **SIZES)

    def upload(*arguments):
        status = lib.eplb_upload_weights(*arguments)
        context.interrupt()
        return status

    library.eplb_upload_weights = upload
    with pytest.raises(eplb.Interrupted, match="^Context.interrupt was called during the call$") as raised:
        context.solve([[1] * 16], **SIZES)
    del library.eplb_upload_weights
    assert (raised.value.status, isinstance(raised.value, RuntimeError)) == ("EPLB_INTERRUPTED", True)
    assert context.solve(None, **SIZES).fingerprint == plan.fingerprint


def test_interrupt_without_a_call(context):
    context.interrupt()
    plan = context.solve(PAIRS, **SIZES)
    context.interrupt()
    assert plan.report.imbalance_mean > 1
    assert context.solve(None, **SIZES).fingerprint == plan.fingerprint
    context.close()
    context.interrupt()


@pytest.mark.parametrize("long", [False, True])
def test_an_interrupt_for_an_earlier_call_ends_none(context, library, monkeypatch, long):
    """The library may notice it only when the next call has begun."""
    if long:
        monkeypatch.setattr(_handle, "LONG", 0)
    late = [STATUSES["interrupted"]] * 2
    library.eplb_solve = lambda *arguments: late.pop() if late else lib.eplb_solve(*arguments)
    assert context.solve(PAIRS, **SIZES).report.imbalance_mean > 1
    assert late == []


def test_no_more_threads(context, monkeypatch):
    """Then a call cannot be interrupted, but is made."""
    plan = context.solve(PAIRS, **SIZES)

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_handle, "LONG", 0)
    monkeypatch.setattr(_interrupts, "start_new_thread", refuse)
    assert context.solve(PAIRS, **SIZES).fingerprint == plan.fingerprint
    with pytest.raises(eplb.InvalidArgument):
        context.solve(PAIRS, 17, 8)


def test_handler_that_raises_while_the_thread_starts(context, monkeypatch):
    """Whether the work had begun or not, it is not done when the error comes out, or has ended."""
    plan = context.solve(PAIRS, **SIZES)
    start, begun = _interrupts.start_new_thread, []

    def raising(before, run, arguments):
        if before:
            raise KeyboardInterrupt
        begun.append(start(run, arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(_handle, "LONG", 0)
    for before in (True, False):
        monkeypatch.setattr(_interrupts, "start_new_thread", lambda *given, before=before: raising(before, *given))
        with pytest.raises(KeyboardInterrupt):
            context.solve([[1] * 16], **SIZES)
    assert len(begun) == 1
    monkeypatch.undo()
    assert context.solve(None, **SIZES).fingerprint == plan.fingerprint


def test_errors_of_a_call_on_its_own_thread(context, monkeypatch):
    monkeypatch.setattr(_handle, "LONG", 0)
    with pytest.raises(eplb.InvalidWeight, match="expert 1"):
        context.solve([[1.0, -1.0]], 2, 1)
    with pytest.raises(eplb.InvalidArgument, match="num_slots"):
        context.solve(PAIRS, 17, 8)


def test_only_the_main_thread_hands_its_calls_over(context, monkeypatch):
    monkeypatch.setattr(_handle, "LONG", 0)
    monkeypatch.setattr(_handle, "run_interruptibly", lambda *_: pytest.fail("no handler runs on this thread"))
    found = []
    thread = threading.Thread(target=lambda: found.append(context.solve(PAIRS, **SIZES)))
    thread.start()
    thread.join()
    assert len(found) == 1


def test_many_contexts_end_together(monkeypatch):
    """Those that run, and those that were about to."""
    monkeypatch.setattr("eplb._many_solves.count_threads", lambda threads: 4)
    large = np.random.default_rng(0).lognormal(0, 1, (20000, 64))
    problems = [{"num_slots": 64 + 16 * more, "num_gpus": 16, "strategy": "hybrid_init"} for more in range(1, 40)]

    class Enough(Exception):
        pass

    def enough(*_):
        raise Enough

    small, quick = large[:1], {"num_slots": 64, "num_gpus": 16, "strategy": "greedy"}
    assert len(solve_on_threads(small, [quick] * 5, 10**9, lambda *_: None)) == 5
    with pytest.raises(Enough):
        # The first one is done at once, the others take many seconds each.
        solve_on_threads(large, [quick, *problems], 4, enough)


def test_any_number_of_threads():
    assert count_threads(10**9) == 10**9
    with eplb.Context(num_threads=10**12) as context:
        plan = context.solve(PAIRS, **SIZES)
    (row,) = eplb.sweep(PAIRS, 8, [8], num_threads=10**12)
    assert row.imbalance_mean == plan.report.imbalance_mean
    for wrong in (0, -1):
        with pytest.raises(eplb.InvalidArgument, match="num_threads"):
            eplb.Context(num_threads=wrong)


def test_asyncio():
    """As the documents say: the call is on a thread, and the task's end is passed on."""

    async def solve(context, *arguments, **options):
        call = asyncio.ensure_future(asyncio.to_thread(context.solve, *arguments, **options))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            while not call.done():
                context.interrupt()
                await asyncio.sleep(0.001)
            assert isinstance(call.exception(), eplb.Interrupted)
            raise

    async def main(context):
        large = np.random.default_rng(0).lognormal(0, 1, (20000, 64))
        options = {"num_slots": 80, "num_gpus": 16, "strategy": "hybrid_init"}
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(solve(context, large, **options), 0.2)
        return await solve(context, large[:3], **options)

    with eplb.Context() as context:
        assert asyncio.run(main(context)).report.imbalance_mean >= 1
