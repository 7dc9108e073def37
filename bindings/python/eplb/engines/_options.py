"""What EPLB_ENGINE says: a strategy, and options of it."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._library import EFFORTS, POLICIES, integer, invalid_argument, value_of
from .._move_limits import imbalance, move_limits

VARIABLE = "EPLB_ENGINE"


@dataclass(frozen=True)
class Options:
    """How to plan for an engine.

    Attributes:
        strategy: "rebalance" changes the current map by few moves; "best" balances as well as it can, whatever has to
            move; "greedy" is the published program.
        policy, off_home_target, effort, seed, max_replicas: as for eplb.rebalance_experts. The policy "auto" is what
            the engine chose.
        max_moves, max_moves_total, max_arrivals, target, move_price: as for eplb.Context.rebalance.
    """

    strategy: str = "rebalance"
    policy: str = "auto"
    off_home_target: float = 1.01
    effort: str = "normal"
    seed: int = 0
    max_replicas: int | None = None
    max_moves: int | None = None
    max_moves_total: int | None = None
    max_arrivals: int | None = None
    target: float | None = None
    move_price: float = 0.0

    def __str__(self) -> str:
        """As EPLB_ENGINE has it, without what is the default."""
        given = [
            f"{field.name}={getattr(self, field.name)}"
            for field in dataclasses.fields(self)
            if field.name != "strategy" and getattr(self, field.name) != field.default
        ]
        return ",".join([self.strategy, *given])

    def limits(self) -> dict[str, Any]:
        """The arguments of place that limit moves."""
        return {name: getattr(self, name) for name in _LIMITS}


# Limits on numbers of moves.
COUNTS = ("max_moves", "max_moves_total", "max_arrivals")
_LIMITS = (*COUNTS, "target", "move_price")
_FRESH = ("policy", "off_home_target", "effort", "seed", "max_replicas")
# What each strategy knows; the published program has two policies and nothing to search with.
KNOWN: dict[str, tuple[str, ...]] = {"best": _FRESH, "rebalance": (*_FRESH, *_LIMITS), "greedy": ("policy",)}


def from_environment(environment: Mapping[str, str] = os.environ) -> Options | None:
    """The options that EPLB_ENGINE has; None if it is not set, or empty: then the engine stays as it is.

    Raises:
        InvalidArgument: one sentence that names the word, and lists those that are known.
    """
    text = environment.get(VARIABLE, "")
    return parse(text) if text else None


def parse(text: str) -> Options:
    """Options as EPLB_ENGINE has them, such as "rebalance,max_moves=16,target=1.02".

    Raises:
        InvalidArgument: an unknown strategy or option, with those that are known; a value that is not allowed.
    """
    strategy, *rest = (word.strip() for word in text.split(","))
    if strategy not in KNOWN:
        raise _refused(text, f"{strategy!r} is no strategy, must be one of {', '.join(KNOWN)}")
    values: dict[str, Any] = {}
    for word in rest:
        name, is_given, value = (part.strip() for part in word.partition("="))
        if not is_given or name not in KNOWN[strategy]:
            raise _refused(
                text, f"{word!r} is no option of {strategy}, which has {', '.join(KNOWN[strategy])}, each =VALUE"
            )
        if name in values:
            raise _refused(text, f"{name} is given twice")
        values[name] = _read(text, name, value)
    return checked(Options(strategy, **values), text)


def checked(options: Options, text: str | None = None) -> Options:
    """The options, if they are allowed: a mistake is found at the start, and not at the first rebalance.

    Raises:
        InvalidArgument: naming the option and what is allowed.
    """
    text = str(options) if text is None else text
    try:
        value_of(POLICIES, "policy", options.policy)
        value_of(EFFORTS, "effort", options.effort)
        integer("seed", options.seed, 0, 2**64 - 1)
        imbalance("off_home_target", options.off_home_target, 1, "1")
        if options.max_replicas is not None:
            integer("max_replicas", options.max_replicas, 1)
        move_limits(*options.limits().values())
    except ValueError as error:
        raise _refused(text, str(error)) from None
    if options.strategy == "greedy" and options.policy == "soft":
        raise _refused(text, "greedy has no policy soft, must be auto, hierarchical or global")
    return options


def _read(text: str, name: str, value: str) -> Any:
    kind = _KINDS[name]
    try:
        number = kind(value)
    except ValueError:
        raise _refused(text, f"{name} is {value!r}, must be {'an integer' if kind is int else 'a number'}") from None
    if isinstance(number, float) and not math.isfinite(number):
        raise _refused(text, f"{name} is {value!r}, must be a finite number")
    return number


_KINDS: dict[str, Callable[[str], Any]] = {
    "policy": str,
    "effort": str,
    "off_home_target": float,
    "target": float,
    "move_price": float,
    "seed": int,
    "max_replicas": int,
    "max_moves": int,
    "max_moves_total": int,
    "max_arrivals": int,
}


def _refused(text: str, why: str) -> Exception:
    return invalid_argument(f"{VARIABLE} is {text!r}: {why}")
