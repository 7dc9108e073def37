"""The session of a context, which calls use one at a time and the plan of the last solve reads from in between."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from time import sleep
from types import TracebackType
from typing import Protocol

from ._errors import DeviceError, Error, Interrupted, InvalidArgument, InvalidState, InvalidWeight
from ._forks import before_fork, in_child
from ._interrupts import SECONDS
from ._library import invalid_state
from ._session import Session
from ._turn import Turn, Turns
from ._uncopyable import Uncopyable


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
        self._turns = Turns()
        # The child can read its copies of plans, but not what the library holds.
        before_fork(self.let_go)
        in_child(self._leave_turns)

    def _leave_turns(self) -> None:
        if self._turns.now is not None and self._session is not None:
            self._session.handle.forsake()
        self._turns = Turns()

    def __enter__(self) -> Session:
        turn = Turn(sys._getframe(1), reads=False)
        while (other := self._turns.take(turn)) is not None:
            # A call here is several in C, which could not see another thread between them.
            if not other.reads:
                raise invalid_state("the context is in use by another thread: a context serves one call at a time")
            if other.thread == turn.thread:
                raise invalid_state("the context is in use: a plan of it is being read")
            sleep(SECONDS)
        session = self._session
        if session is None:
            self._turns.end(turn)
            raise invalid_state("the context is closed")
        session.handle.stop = turn.stop
        return session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It is none in a child of a handler of signals that came during the call.
        self._turns.end(self._turns.now)

    def interrupt(self) -> None:
        """Ends the call, or the reading of a plan, that is going on."""
        turn = self._turns.now
        if turn is not None:
            turn.stop.ask()

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
        session, turn = self._session, Turn(sys._getframe(), reads=True)
        if session is not None and self._turns.take(turn) is None:
            try:
                session.handle.stop = turn.stop
                self._detach()
            finally:
                self._turns.end(turn)

    def read(self, changes: int, work: Callable[[Session], None]) -> bool:
        """Reads from the library, if it still holds what it did at this number of changes; otherwise returns False."""
        turn = Turn(sys._getframe(), reads=True)
        while (other := self._turns.take(turn)) is not None and other.thread != turn.thread:
            if self.changes != changes:
                return False
            sleep(SECONDS)
        # A signal handler may read during a call of its own thread, as long as that has not changed anything.
        try:
            session = self._session
            return self.changes == changes and session is not None and self._read(session, work, turn, other)
        finally:
            self._turns.end(turn)

    def _read(self, session: Session, work: Callable[[Session], None], turn: Turn, outer: Turn | None) -> bool:
        if outer is None:
            session.handle.stop = turn.stop
            return self._try(work, session)
        stop, outer.stop = outer.stop, turn.stop
        session.handle.stop = turn.stop
        try:
            return self._try(work, session)
        finally:
            outer.stop = session.handle.stop = stop

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
