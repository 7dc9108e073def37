"""Whose turn it is to use a session, which stays right whenever a handler of signals raises.

A lock would stay held if a handler raised between its taking and the block that releases it, or as that begins to. A
turn ends with the function that took it at the latest: once that is on no stack, it is another one's turn.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType

from ._interrupts import Stop
from ._uncopyable import Uncopyable


class Turn(Uncopyable):
    """A call, or the reading of a plan.

    Attributes:
        reads: it is the reading of a plan.
        stop: how to stop it.
        thread: that it runs on.
    """

    def __init__(self, frame: FrameType, reads: bool) -> None:
        self.reads = reads
        self.stop = Stop()
        self.thread = threading.get_ident()
        self._frame = frame

    def is_over(self, later: Turn) -> bool:
        """Whether its function has been left without an end of the turn. The later one wants to have the next turn."""
        if self._frame is later._frame:
            return True
        frames = sys._current_frames()
        if self.thread not in frames:
            # Handlers raise on threads that go on. This is one of those that gevent has in place of them.
            return False
        frame: FrameType | None = frames[self.thread]
        while frame is not None and frame is not self._frame:
            frame = frame.f_back
        return frame is None


class Turns(Uncopyable):
    """Those of a session. A child after fork has others, since threads that have one do not exist there.

    Attributes:
        now: whose turn it is.
    """

    def __init__(self) -> None:
        self.now: Turn | None = None
        # A handler of signals may come here during that, so it is reentrant. Entering and leaving it is one step each.
        self._changing = threading.RLock()

    def take(self, turn: Turn) -> Turn | None:
        """Returns whose turn it still is."""
        with self._changing:
            former = self.now
            if former is not None and not former.is_over(turn):
                return former
            self.now = turn
        if former is not None:
            # Handlers that raised at the same time may have left a call behind.
            former.stop.ask()
        return None

    def end(self, turn: Turn | None) -> None:
        with self._changing:
            if self.now is turn:
                self.now = None
