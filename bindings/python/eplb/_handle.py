"""An eplb_context: what runs in it, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from threading import get_ident
from time import sleep
from typing import Any

from ._duration import LONG
from ._forks import in_child
from ._interrupts import SECONDS, Stop, interrupted, run_interruptibly
from ._library import STATUSES, check, ffi, lib
from ._uncopyable import Uncopyable

_INTERRUPTED = STATUSES["interrupted"]


class Handle(Uncopyable):
    """Not for two threads at once, but for interrupts; callers ensure that.

    Attributes:
        context: the eplb_context.
        stop: of the call of Python that uses this now.
        is_of_parent: this is a child after fork, in which the library refuses all calls with the context.
    """

    def __init__(self, options: Any, error: Any) -> None:
        made = ffi.new("eplb_context **")
        check(lib.eplb_context_create(made, options, error), error)
        self.context = ffi.gc(made[0], lib.eplb_context_destroy)
        self.stop = Stop()
        self.is_of_parent = False
        self._error = error
        # A call of the library is going on, or was when a handler of signals raised.
        self._is_calling = False
        self._make_ready()
        in_child(self._become_useless)

    def _become_useless(self) -> None:
        self.is_of_parent = True
        if self._inside or self._is_calling:
            self.forsake()
        self._make_ready()

    def forsake(self) -> None:
        """Never frees the context: in a child, for a thread of the parent was changing it and does not exist there."""
        if self.context != ffi.NULL:
            ffi.gc(self.context, None)

    def _make_ready(self) -> None:
        # The thread that is inside a long call of the library; 0: none.
        self._inside = 0
        # The library must not be asked to interrupt what is being destroyed. A handler of signals may do either during
        # the other, so it is reentrant.
        self._life = threading.RLock()

    def run(self, seconds: float, function: Callable[..., int], *arguments: Any) -> None:
        """Calls a function with the context, arguments and error, and raises what it returns.

        Args:
            seconds: that it can take. If these are many, it can be interrupted.
        """
        if seconds < LONG and not self._inside and not self.stop.asked:
            # The usual case costs little.
            self._is_calling = True
            status = function(self.context, *arguments, self._error)
            self._is_calling = False
            if status != _INTERRUPTED:
                if status:
                    check(status, self._error)
                return
        self._wait()
        if seconds < LONG:
            self._call(function, arguments)
        elif get_ident() != threading.main_thread().ident:
            self._call_long(function, arguments)
        else:
            run_interruptibly(partial(self._call_long, function, arguments), partial(self._end, self.stop))

    def _wait(self) -> None:
        # Until nothing runs on another thread: a handler of signals may come here during a call of its own thread.
        while self.is_inside_elsewhere():
            sleep(SECONDS)

    def _call_long(self, function: Callable[..., int], arguments: tuple[Any, ...]) -> None:
        outer, self._inside = self._inside, get_ident()
        self.stop.session = self
        try:
            self._call(function, arguments)
        finally:
            self._inside = outer

    def _call(self, function: Callable[..., int], arguments: tuple[Any, ...]) -> None:
        stop, status = self.stop, _INTERRUPTED
        # An interrupt that was meant for an earlier call ends none.
        while status == _INTERRUPTED:
            if stop.asked:
                raise interrupted()
            self._is_calling = True
            status = function(self.context, *arguments, self._error)
            self._is_calling = False
        if status:
            check(status, self._error)

    def is_inside_elsewhere(self) -> bool:
        return self._inside not in (0, get_ident())

    def interrupt_once(self) -> None:
        with self._life:
            lib.eplb_context_interrupt(self.context)

    def _end(self, stop: Stop) -> None:
        stop.asked = True
        self.interrupt_once()

    def close(self) -> None:
        # Two handlers that raised at the same time may have left a call behind.
        self.stop.ask()
        with self._life:
            context, self.context = self.context, ffi.NULL
            if context != ffi.NULL:
                ffi.release(context)
