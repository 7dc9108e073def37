"""Options in one word, such as "rebalance,max_moves=16,target=1.02": a name, and options of it. Read strictly."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ._library import EFFORTS, POLICIES, integer, invalid_argument, value_of
from ._move_limits import imbalance

# What the values of options are; names and words are strings.
KINDS: dict[str, type[int | float]] = {
    "off_home_target": float,
    "target": float,
    "move_price": float,
    "move_ms": float,
    "layer_ms": float,
    "horizon": float,
    "seed": int,
    "every": int,
    "memory": int,
    "max_replicas": int,
    "max_moves": int,
    "max_moves_total": int,
    "max_arrivals": int,
}


class OptionWords:
    """A text of options, and the sentences that refuse it.

    Args:
        what: whose options they are, with which every sentence begins.
        text: the options.
        noun: what the names are.
        known: the options that each name has.
    """

    def __init__(self, what: str, text: str, noun: str, known: Mapping[str, Sequence[str]]) -> None:
        self._what, self._text, self._noun, self._known = what, text, noun, known

    def read(self) -> tuple[str, dict[str, Any]]:
        """The name, and the values of the options that are given.

        Raises:
            InvalidArgument: an unknown name or option, with those that are known; a value of another kind.
        """
        known = self._known
        name, *rest = (word.strip() for word in self._text.split(","))
        if name not in known:
            raise self.refused(f"{name!r} is no {self._noun}, must be one of {', '.join(known)}")
        values: dict[str, Any] = {}
        for word in rest:
            option, is_given, value = (part.strip() for part in word.partition("="))
            if not is_given or option not in known[name]:
                has = f"which has {', '.join(known[name])}, each =VALUE" if known[name] else "which has none"
                raise self.refused(f"{word!r} is no option of {name}, {has}")
            if option in values:
                raise self.refused(f"{option} is given twice")
            values[option] = self._value(option, value)
        return name, values

    def _value(self, option: str, value: str) -> Any:
        kind = KINDS.get(option)
        if kind is None:
            return value
        try:
            number = kind(value)
        except ValueError:
            kind_name = "an integer" if kind is int else "a number"
            raise self.refused(f"{option} is {value!r}, must be {kind_name}") from None
        if not math.isfinite(number):
            raise self.refused(f"{option} is {value!r}, must be a finite number")
        return number

    def refused(self, why: str) -> Exception:
        """The error that names the text."""
        return invalid_argument(f"{self._what} is {self._text!r}: {why}")


def words_of(options: Any) -> str:
    """The text of a dataclass of options, whose first field is the name, without what is the default."""
    name, *fields = dataclasses.fields(options)
    given = [
        f"{field.name}={_shown(getattr(options, field.name))}"
        for field in fields
        if getattr(options, field.name) != field.default
    ]
    return ",".join([getattr(options, name.name), *given])


def _shown(value: Any) -> str:
    """As short as can be, such that it is read as the same number."""
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return short if not isinstance(value, float) or float(short) == value else repr(value)


def check_search(options: Any) -> None:
    """Checks the options that a planner's search has: of engines, and of the rules of a replay.

    Raises:
        InvalidArgument: naming the option and what is allowed.
    """
    value_of(POLICIES, "policy", options.policy)
    value_of(EFFORTS, "effort", options.effort)
    imbalance("off_home_target", options.off_home_target, 1, "1")
    integer("seed", options.seed, 0, 2**64 - 1)
    if options.max_replicas is not None:
        integer("max_replicas", options.max_replicas, 1)
