"""Attributes that are worked out when they are first read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

_Value = TypeVar("_Value")


class lazy(Generic[_Value]):
    """functools.cached_property without the lock that it has before Python 3.12.

    A thread holds that while it works, for all objects of the class; a child that another thread forks meanwhile would
    wait for it without end.
    """

    def __init__(self, make: Callable[[Any], _Value]) -> None:
        self._make, self._name = make, make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[_Value]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...

    def __get__(self, instance: object | None, owner: type) -> lazy[_Value] | _Value:
        if instance is None:
            return self
        # Another thread may be as far; all get the same.
        value: _Value = vars(instance).setdefault(self._name, self._make(instance))
        return value
