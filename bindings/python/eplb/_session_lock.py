"""The session of a context, which calls use one at a time and the plan of the last solve reads from in between."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from ._errors import DeviceError, Error, InvalidArgument, InvalidState, InvalidWeight
from ._library import invalid_state
from ._session import Session
from ._uncopyable import Uncopyable

# How often a waiting reader checks whether the library still holds its plan.
_SECONDS = 0.001


class Reader(Protocol):
    """A plan whose answers the library still holds."""

    def detach(self, session: Session) -> None:
        """Copies what it needs to answer without the session."""


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
        self._make_locks()
        _instances.add(self)

    def _make_locks(self) -> None:
        self._calls = threading.Lock()
        # Its holder may call the library. It is reentrant, so that a signal handler that runs during a call does not
        # wait for its own thread; _busy tells that handler.
        self._library = threading.RLock()
        self._busy = False

    def __enter__(self) -> Session:
        # A call here is several in C, which could not see another thread between them.
        if not self._calls.acquire(blocking=False):
            raise invalid_state("the context is in use by another thread: a context serves one call at a time")
        try:
            self._library.acquire()
        except BaseException:
            self._calls.release()
            raise
        if self._busy or self._session is None:
            text = "the context is in use: a plan of it is being read" if self._busy else "the context is closed"
            self._library.release()
            self._calls.release()
            raise invalid_state(text)
        self._busy = True
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._busy = False
        self._library.release()
        self._calls.release()

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
                finally:
                    self._session = None
                    session.close()

    def let_go(self) -> None:
        """Detaches the plan of the last solve, unless the session is in use right now."""
        if self._library.acquire(blocking=False):
            try:
                if not self._busy:
                    self._detach()
            finally:
                self._library.release()

    def read(self, changes: int, work: Callable[[Session], None]) -> bool:
        """Reads from the library, if it still holds what it did at this number of changes; otherwise returns False."""
        library = self._library
        while not library.acquire(timeout=_SECONDS):
            if self.changes != changes:
                return False
        # A signal handler may read during a call of its own thread, as long as that has not changed anything.
        was_busy, self._busy = self._busy, True
        try:
            if self.changes != changes or self._session is None:
                return False
            return self._try(work, self._session)
        finally:
            self._busy = was_busy
            library.release()

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


_instances: weakref.WeakSet[SharedSession] = weakref.WeakSet()


def _before_fork() -> None:
    # The child can read its copies of plans, but not what the library holds.
    for each in list(_instances):
        each.let_go()


def _in_child() -> None:
    # The threads that held the locks do not exist there. The library itself refuses calls.
    for each in list(_instances):
        each._make_locks()


os.register_at_fork(before=_before_fork, after_in_child=_in_child)
