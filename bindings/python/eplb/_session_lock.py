"""The session of a context, which calls use one at a time and the plan of the last solve reads from in between."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from ._errors import DeviceError, Error, Interrupted, InvalidArgument, InvalidState, InvalidWeight
from ._forks import before_fork, in_child
from ._interrupts import SECONDS, Stop
from ._library import invalid_state
from ._session import Session
from ._uncopyable import Uncopyable


class Reader(Protocol):
    """A plan whose answers the library still holds."""

    def detach(self, session: Session) -> None:
        """Copies what it needs to answer without the session."""


class _Locks(Uncopyable):
    """Those of a session; a child after fork has others, since threads that held these do not exist there.

    Attributes:
        calls: held during a call.
        library: its holder may call the library. It is reentrant, so that a signal handler that runs during a call does
            not wait for its own thread.
        running: how to stop what that holder does; tells the handler that there is a call.
    """

    def __init__(self) -> None:
        self.calls = threading.Lock()
        self.library = threading.RLock()
        self.running: Stop | None = None


class SharedSession(Uncopyable):
    """A call that comes while another runs is refused. One that comes while a plan is read on another thread waits.

    Attributes:
        changes: how often what the library holds has changed; a plan reads from the session while this stays.
        late_error: of an earlier call with weights on a device, found by a read that was not about those weights.
    """

    def __init__(self, session: Session) -> None:
        self.changes = 0
        self.late_error: Error | None = None
        self._session: Session | None = session
        self._reader: weakref.ref[Reader] | None = None
        self._entered: _Locks | None = None
        self._make_locks()
        # The child can read its copies of plans, but not what the library holds.
        before_fork(self.let_go)
        in_child(self._make_locks)

    def _make_locks(self) -> None:
        self._locks = _Locks()

    def __enter__(self) -> Session:
        locks = self._locks
        # A call here is several in C, which could not see another thread between them.
        if not locks.calls.acquire(blocking=False):
            raise invalid_state("the context is in use by another thread: a context serves one call at a time")
        try:
            locks.library.acquire()
        except BaseException:
            locks.calls.release()
            raise
        if locks.running is not None or self._session is None:
            reading = "the context is in use: a plan of it is being read"
            text = "the context is closed" if locks.running is None else reading
            locks.library.release()
            locks.calls.release()
            raise invalid_state(text)
        self._entered = locks
        locks.running = self._session.handle.stop = Stop()
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Those of the parent, in a child of a handler of signals that came during the call.
        locks, self._entered = self._entered, None
        if locks is not None:
            locks.running = None
            locks.library.release()
            locks.calls.release()

    def interrupt(self) -> None:
        """Ends the call, or the reading of a plan, that is going on."""
        running = self._locks.running
        if running is not None:
            running.ask()

    def change(self) -> None:
        """Must come before what changes the weights or the plan that the library holds."""
        self._detach()
        self.changes += 1

    def hold(self, reader: Reader) -> None:
        """Until the next change, the library holds what this one reads."""
        self._reader = weakref.ref(reader)

    def _detach(self) -> None:
        reader = self._reader() if self._reader is not None else None
        if reader is not None and self._session is not None:
            self._try(reader.detach, self._session)
        self._reader = None

    def close(self) -> None:
        """Closing twice is fine."""
        if self._session is not None:
            with self as session:
                try:
                    self.change()
                except Interrupted:
                    # Open, as before, since the plan still reads from it.
                    raise
                except Error:
                    self._end(session)
                    raise
                self._end(session)

    def _end(self, session: Session) -> None:
        self._session = None
        session.close()

    def let_go(self) -> None:
        """Detaches the plan of the last solve, unless the session is in use right now."""
        locks, session = self._locks, self._session
        if session is not None and locks.library.acquire(blocking=False):
            try:
                if locks.running is None:
                    session.handle.stop = Stop()
                    self._detach()
            finally:
                locks.library.release()

    def read(self, changes: int, work: Callable[[Session], None]) -> bool:
        """Reads from the library, if it still holds what it did at this number of changes; otherwise returns False."""
        locks = self._locks
        while not locks.library.acquire(timeout=SECONDS):
            if self.changes != changes:
                return False
        # A signal handler may read during a call of its own thread, as long as that has not changed anything.
        outer = locks.running
        try:
            session = self._session
            if self.changes != changes or session is None:
                return False
            locks.running = session.handle.stop = Stop()
            try:
                return self._try(work, session)
            finally:
                session.handle.stop = outer or session.handle.stop
        finally:
            locks.running = outer
            locks.library.release()

    def _try(self, work: Callable[[Session], None], session: Session) -> bool:
        try:
            work(session)
        except (InvalidWeight, InvalidArgument) as error:
            # The library reports it once, and it belongs to a caller who asks about those weights.
            self.late_error = error
            work(session)
        except (InvalidState, DeviceError):
            # In a child after fork, or with a lost device.
            return False
        return True

    def raise_late_error(self) -> None:
        error, self.late_error = self.late_error, None
        if error is not None:
            raise error
