"""What is to be done before a fork, and in the child, where other threads and what they held do not exist."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any


class _Methods:
    """Of objects that may begin or end to exist at any time, on any thread."""

    def __init__(self) -> None:
        self._methods: set[weakref.WeakMethod[Callable[[], None]]] = set()

    def add(self, method: Callable[[], None]) -> None:
        self._methods.add(weakref.WeakMethod(method, self._methods.discard))

    def call(self) -> None:
        # A WeakSet cannot be read while other threads add to it.
        for each in list(self._methods):
            method: Any = each()
            if method is not None:
                method()


_before, _after = _Methods(), _Methods()


def before_fork(method: Callable[[], None]) -> None:
    """Lets a thread that forks call this method of an object, as long as there is the object."""
    _before.add(method)


def in_child(method: Callable[[], None]) -> None:
    """The same in the child."""
    _after.add(method)


os.register_at_fork(before=_before.call, after_in_child=_after.call)
