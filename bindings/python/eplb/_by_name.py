"""Sizes that are given by name: in another order, numbers can be a legal problem that nobody meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def sizes_by_name(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Lets a call with too many arguments by position say which sizes must be named, where Python counts arguments."""
    parameters = inspect.signature(function).parameters.values()
    by_position = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    *first, last = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.name.startswith("num_")]
    named = f"{', '.join(first)} and {last}" if first else last
    allowed = ", ".join(name for name in by_position if name != "self")

    @wraps(function)
    def call(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> _Result:
        if len(arguments) > len(by_position):
            given = len(arguments) - (by_position[0] == "self")
            raise TypeError(f"{given} arguments are given by position: after {allowed}, give {named} by name")
        return function(*arguments, **options)

    return call
