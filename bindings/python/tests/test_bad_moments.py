"""Handlers of signals that raise at every step at which Python runs them: afterwards all can be used as before."""

import dis
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import eplb
import numpy as np
import pytest
from conftest import package_folder
from eplb import _handle, _interrupts
from eplb._interrupts import run_interruptibly

SMALL = np.random.default_rng(0).lognormal(0, 1, (2, 16))
OTHER = SMALL[:, ::-1].copy()
SIZES = {"num_slots": 24, "num_gpus": 4, "strategy": "greedy"}


class Enough(BaseException):
    pass


class Steps:
    """Python looks for signals as a function begins, after calls, and as a loop begins again: raises at one of these.

    Attributes:
        where: it has raised; None: there are fewer steps.
    """

    def __init__(self, number, files):
        self._left, self._files = number, files
        self._before = {}
        self.where = None

    def __enter__(self):
        self._outer = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self._outer)

    def _trace(self, frame, event, _):
        if frame.f_code.co_filename not in self._files or (event == "call" and is_in_finaliser(frame)):
            return None
        frame.f_trace_opcodes = True
        if event == "call" or (event == "opcode" and self._comes_after_a_step(frame)):
            self._left -= 1
            if self._left == 0:
                self.where = f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
                raise Enough
        return self._trace

    def _comes_after_a_step(self, frame):
        code = frame.f_code.co_code
        before = self._before.get(frame)
        self._before[frame] = frame.f_lasti
        if before is None:
            return False
        return dis.opname[code[before]].startswith("CALL") or before > frame.f_lasti


def is_in_finaliser(frame):
    """What is raised there comes out nowhere."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def files_of_package():
    return {str(path) for path in package_folder().glob("_*.py")}


CALLS = {
    "solve": lambda context, plan: context.solve(OTHER, **SIZES),
    "evaluate": lambda context, plan: context.evaluate(plan, OTHER).imbalance_mean,
    "split": lambda context, plan: context.split(OTHER, plan),
    "static dispatch": lambda context, plan: context.static_dispatch(OTHER, plan, max_swaps=1),
    "rebalance": lambda context, plan: context.rebalance(OTHER, plan, max_moves=3),
    "report": lambda context, plan: plan.report,
    "upload": lambda context, plan: context.upload(OTHER),
    "close": lambda context, plan: context.close(),
}


@pytest.mark.parametrize(("name", "long"), [*((name, False) for name in CALLS), ("solve", True), ("report", True)])
def test_a_context_can_be_used_whenever_a_call_ended(monkeypatch, name, long):
    if long:
        monkeypatch.setattr(_handle, "LONG", 0)
    files, number = files_of_package(), 0
    while True:
        number += 1
        context = eplb.Context()
        plan = context.solve(SMALL, **SIZES)
        expected = context.split(None, plan)
        ended = False
        with Steps(number, files) as steps:
            try:
                CALLS[name](context, plan)
            except Enough:
                ended = True
        if steps.where is None:
            break
        assert ended, steps.where
        if name != "close":
            again = context.solve(SMALL, **SIZES)
            assert again.fingerprint == plan.fingerprint, steps.where
            assert np.array_equal(context.split(SMALL, plan).quota, expected.quota), steps.where
        assert plan.report.imbalance_mean >= 1, steps.where
        context.close()
    assert number > 20


class Work:
    """Goes on until it is interrupted."""

    def __init__(self):
        self.asked = self.runs = False

    def __call__(self):
        self.runs = True
        while not self.asked:
            sleep(0.0001)
        self.runs = False

    def interrupt(self):
        self.asked = True


def test_work_is_over_whenever_two_handlers_raise(monkeypatch):
    """The first one while the program waits for the work, the other one at every step of what that makes it do."""

    def wait(_):
        while not work.runs:
            sleep(0.0001)
        raise Enough

    monkeypatch.setattr(_interrupts._Apart, "wait", wait)
    number = 0
    while True:
        number += 1
        work = Work()
        with Steps(number, {_interrupts.__file__}) as steps, pytest.raises(Enough):
            run_interruptibly(work, work.interrupt)
        assert not work.runs, steps.where
        if steps.where is None:
            break
    assert number > 20


def test_work_is_over_however_often_handlers_raise(monkeypatch):
    end, raised, work = _interrupts._Apart.end, [], Work()

    def raising(apart, interrupt):
        if len(raised) < _interrupts._ENDINGS:
            raised.append(Enough())
            raise raised[-1]
        end(apart, interrupt)

    monkeypatch.setattr(_interrupts._Apart, "wait", raising)
    monkeypatch.setattr(_interrupts._Apart, "end", raising)
    with pytest.raises(Enough) as found:
        run_interruptibly(work, work.interrupt)
    assert found.value is raised[-1]
    assert not work.runs
    assert len(raised) == _interrupts._ENDINGS


def test_another_thread_goes_on_with_a_context():
    """Nobody has said that the turn of the main thread is over."""
    with eplb.Context() as context:
        plan = context.solve(SMALL, **SIZES)
        turns = context._shared._turns
        for name in ("evaluate", "report"):
            again = context.solve(SMALL, **SIZES)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(turns, "end", raise_it)
                with pytest.raises(Enough):
                    CALLS[name](context, again)
            assert turns.now is not None
            found = on_another_thread(lambda: context.solve(SMALL, **SIZES).fingerprint)
            assert found == plan.fingerprint


def on_another_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def raise_it(_):
    raise Enough
