"""How a call of the library ends before it is done: by Ctrl-C on the main thread, or by Context.interrupt on any.

Python runs handlers of signals on the main thread only, and not before a call in C has returned. So a call of the main
thread that could be long runs on a thread of its own, for which the main thread waits; that costs about 50
microseconds. If a handler raises meanwhile, as that of Ctrl-C does, the call is ended, and what was raised goes on. A
handler that does not raise ends nothing.
"""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from time import sleep
from typing import Protocol

from ._errors import Interrupted
from ._forks import in_child
from ._library import STATUSES, invalid_state
from ._uncopyable import Uncopyable

# How often a call that should end is asked to: it may just be beginning, and would not notice.
SECONDS = 0.001
# How often a thread that waits for a call looks for signals. One that comes just before it begins to wait, or that the
# system gives to another thread, does not wake it.
_SECONDS_OF_WAITING = 0.01
# How many handlers can raise, each just as the program does what another one made it do.
_ENDINGS = 4


class Interruptible(Protocol):
    """A session."""

    def is_inside_elsewhere(self) -> bool:
        """Whether a call of the library is running in it, on another thread than this one."""

    def interrupt_once(self) -> None:
        """Ends that call, if the library has noticed that it began."""


class Stop(Uncopyable):
    """Whether a call of Python, in which the library may be called several times, should end.

    Attributes:
        asked: it should.
        session: the one that it uses, if it can be long.
    """

    asked = False
    session: Interruptible | None = None

    def ask(self) -> None:
        """Returns once nothing that is long runs for this call on another thread."""
        self.asked = True
        session = self.session
        while session is not None and session.is_inside_elsewhere():
            session.interrupt_once()
            sleep(SECONDS)


def interrupted() -> Interrupted:
    return Interrupted("Context.interrupt was called during the call", STATUSES["interrupted"], "EPLB_INTERRUPTED")


def until(is_over: Callable[[float], bool], end: Callable[[], None]) -> None:
    """Calls both by turns until it is over, whatever handlers of signals raise: that is raised when it is over.

    Args:
        is_over: whether it is, after waiting for that many seconds at most.
        end: makes it end.
    """
    raised: BaseException | None = None
    over = False
    while not over:
        try:
            end()
            over = is_over(SECONDS)
        except BaseException as error:
            raised = error
    if raised is not None:
        raise raised


def run_interruptibly(work: Callable[[], None], interrupt: Callable[[], None]) -> None:
    """Calls work, and lets handlers of signals run meanwhile. It must be the main thread that calls this.

    Args:
        interrupt: makes work end; it is called until that has happened.
    """
    apart = _Apart(work)
    _run_apart(apart, interrupt, _ENDINGS)
    if not apart.is_over():
        work()
    elif apart.error is not None:
        raise apart.error


def _run_apart(apart: _Apart, interrupt: Callable[[], None], endings: int) -> None:
    # Each finally is there for a handler that raises between two steps of those within.
    try:
        if endings:
            _run_apart(apart, interrupt, endings - 1)
        elif apart.start():
            apart.wait()
    finally:
        apart.end(interrupt)


class _Apart(Uncopyable):
    """Work on a thread of its own."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._work = work
        self._is_over = False
        self._end = allocate_lock()
        self._end.acquire()
        in_child(self._lose)

    def start(self) -> bool:
        """False if there can be no more threads; then the work never begins."""
        try:
            start_new_thread(self._run, ())
        except RuntimeError:
            # Unless it is a handler that raised this, once the thread had begun.
            if self.revoke():
                return False
            raise
        return True

    def _decide(self, begins: bool) -> bool:
        """Whether the work begins, which is as it was decided first. A handler may raise while the thread starts."""
        decided: bool = vars(self).setdefault("begins", begins)
        return decided

    def revoke(self) -> bool:
        """Whether the work has not begun; then it never will."""
        return not self._decide(begins=False)

    def _run(self) -> None:
        if self._decide(begins=True):
            try:
                self._work()
            except BaseException as error:
                self.error = error
            self._finish()

    def _finish(self) -> None:
        self._is_over = True
        self._end.release()

    def _lose(self) -> None:
        # In a child, where the thread does not exist: a handler has forked while the main thread waited.
        if not self._is_over:
            self.error = invalid_state("the call was lost by a fork during it")
            self._finish()

    def wait(self) -> None:
        while not self._over(_SECONDS_OF_WAITING):
            pass

    def end(self, interrupt: Callable[[], None]) -> None:
        if not self._is_over and not self.revoke():
            until(self._over, interrupt)

    def is_over(self) -> bool:
        """False if it never began."""
        return self._is_over

    def _over(self, seconds: float) -> bool:
        self._end.acquire(timeout=seconds)
        return self._is_over
