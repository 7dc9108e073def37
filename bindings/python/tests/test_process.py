"""The caller's process: GIL, threads, fork, memory, locale, floating-point mode, output. Nothing here is timed."""

import ctypes
import gc
import locale
import subprocess
import sys
import threading
from pathlib import Path

import eplb
import numpy as np
import pytest
from conftest import PAIRS, child_environment
from eplb.sample import sample_weights

SIZES = {"num_slots": 16, "num_gpus": 8}
FE_UPWARD = 0x800


def run(program):
    done = subprocess.run([sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_gil_is_free_during_a_solve():
    """Without forced switches a waiting thread runs only when the GIL is given away, which only the solve can do."""
    weights = sample_weights(200, 256)
    interval = sys.getswitchinterval()
    context = eplb.Context()
    started, finished, seen = threading.Event(), threading.Event(), []

    def watch():
        started.wait()
        seen.append(not finished.is_set())

    sys.setswitchinterval(1e6)
    try:
        # Should the watcher wake up late, there is a next time.
        for _ in range(20):
            started.clear()
            finished.clear()
            watcher = threading.Thread(target=watch)
            watcher.start()
            started.set()
            context.solve(weights, num_slots=288, num_gpus=32)
            finished.set()
            watcher.join()
            if any(seen):
                break
    finally:
        sys.setswitchinterval(interval)
        context.close()
    assert any(seen)


def test_many_threads_give_the_same():
    weights = sample_weights(8, 64)
    expected = eplb.rebalance_experts(weights, 80, 1, 1, 16)
    results = [None] * 8

    def work(index):
        results[index] = [eplb.rebalance_experts(weights, 80, 1, 1, 16) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        for maps in result:
            assert all(np.array_equal(given, known) for given, known in zip(maps, expected, strict=True))


def test_call_inside_a_call():
    """A signal handler, or an array that computes when read, may call in between."""

    class Lazy:
        def __array__(self, dtype=None, copy=None):
            eplb.rebalance_experts(sample_weights(1, 16), 32, 1, 1, 8)
            return np.array(PAIRS)

    class Slots:
        def __index__(self):
            eplb.rebalance_experts(sample_weights(1, 16), 32, 1, 1, 8)
            return 16

    expected = eplb.rebalance_experts(PAIRS, 16, 1, 1, 8)
    result = eplb.rebalance_experts(Lazy(), Slots(), 1, 1, 8)
    assert all(np.array_equal(given, known) for given, known in zip(result, expected, strict=True))


def test_fork():
    run("""
import os, warnings
import eplb
warnings.simplefilter("ignore")
weights = [[600, 560, 120, 120, 20, 10, 10, 10]]
context = eplb.Context()
plan = context.solve(weights, num_slots=16, num_gpus=8)
parent = eplb.rebalance_experts(weights, 16, 1, 1, 8)
child = os.fork()
if child == 0:
    code = 1
    try:
        again = eplb.rebalance_experts(weights, 16, 1, 1, 8)
        assert (again[0] == parent[0]).all()
        try:
            context.solve(weights, num_slots=16, num_gpus=8)
        except eplb.InvalidState:
            code = 0
        context.close()
        with eplb.Context() as own:
            assert (own.solve(weights, num_slots=16, num_gpus=8).physical_to_logical == plan.physical_to_logical).all()
    finally:
        os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert (eplb.rebalance_experts(weights, 16, 1, 1, 8)[0] == parent[0]).all()
context.solve(weights, num_slots=16, num_gpus=8)
""")


def resident_bytes():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_nothing_leaks():
    weights = sample_weights(58, 256)

    def cycles(count):
        for index in range(count):
            context = eplb.Context(num_threads=2)
            plan = context.solve(weights, num_slots=288, num_gpus=32)
            context.evaluate(plan.physical_to_logical)
            with pytest.raises(eplb.InvalidArgument):
                context.solve(weights, num_slots=289, num_gpus=32)
            # Every other one is left to the garbage collector.
            if index % 2:
                context.close()

    cycles(40)
    before = resident_bytes()
    cycles(150)
    # One context holds more than half a MiB.
    assert resident_bytes() - before < 8 << 20


def test_threads_that_end_take_their_context_along():
    weights = sample_weights(58, 256)

    def cycles(count):
        for _ in range(count):
            thread = threading.Thread(target=eplb.rebalance_experts, args=(weights, 288, 1, 1, 32))
            thread.start()
            thread.join()

    cycles(40)
    before = resident_bytes()
    cycles(100)
    assert resident_bytes() - before < 8 << 20


def test_locale_stays(context):
    before = locale.setlocale(locale.LC_ALL)
    context.solve(PAIRS, **SIZES)
    assert locale.setlocale(locale.LC_ALL) == before


@pytest.mark.skipif("x86" not in __import__("platform").machine(), reason="the rounding mode's number is that of x86")
def test_rounding_mode_stays_and_does_not_matter(context):
    libm = ctypes.CDLL("libm.so.6")
    weights = np.random.default_rng(3).lognormal(0, 1, (4, 64))
    expected = [context.solve(weights, num_slots=80, num_gpus=16, strategy=name) for name in ("greedy", "lpt_swap")]
    libm.fesetround(FE_UPWARD)
    try:
        plans = [context.solve(weights, num_slots=80, num_gpus=16, strategy=name) for name in ("greedy", "lpt_swap")]
        mode = libm.fegetround()
    finally:
        libm.fesetround(0)
    assert mode == FE_UPWARD
    for plan, known in zip(plans, expected, strict=True):
        assert np.array_equal(plan.physical_to_logical, known.physical_to_logical)


def test_nothing_is_printed():
    done = run("""
import eplb
eplb.rebalance_experts([[1.0, 2.0]], 2, 1, 1, 2)
try:
    eplb.Context("cuda")
except eplb.Unavailable:
    pass
""")
    assert (done.stdout, done.stderr) == ("", "")
