"""How far a rebalance may go: the names of callers, checked."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ._library import integer, invalid_argument

# As in the library.
MOST_IMBALANCE = 1024


class MoveLimits(NamedTuple):
    """Fields of eplb_solve_options; None is the library's default."""

    max_moves: int | None = None
    max_moves_total: int | None = None
    max_arrivals: int | None = None
    target: float | None = None
    move_price: float | None = None
    allow_empty: int | None = None


NO_LIMITS = MoveLimits()


def move_limits(
    max_moves: Any, max_moves_total: Any, max_arrivals: Any, target: Any, move_price: Any, allow_empty: Any = False
) -> MoveLimits:
    """Limits as callers give them."""
    return MoveLimits(
        count_limit("max_moves", max_moves, "0"),
        count_limit("max_moves_total", max_moves_total, "0"),
        # 0 would be any number for C, and none for most readers.
        count_limit("max_arrivals", max_arrivals, "1 (max_moves=0 forbids moves)"),
        None if target is None else imbalance("target", target, 1, "None for the default, 0 for none, or 1"),
        imbalance("move_price", move_price, 0, "0") or None,
        _flag("allow_empty", allow_empty),
    )


def limits_of_solve(target: Any, objective: Any, allow_empty: Any, policy: Any, strategy: Any) -> MoveLimits:
    """Limits of a solve, in which few problems know any."""
    if target is None and allow_empty is False:
        return NO_LIMITS
    return MoveLimits(
        target=_target_of_solve(target, objective), allow_empty=_may_be_empty(allow_empty, policy, strategy)
    )


def _may_be_empty(allow_empty: Any, policy: Any, strategy: Any) -> int | None:
    flag = _flag("allow_empty", allow_empty)
    if flag and str(policy).lower() != "soft" and str(strategy).lower() != "rebalance":
        raise invalid_argument(
            f"allow_empty is True, but policy is {policy!r} and strategy {strategy!r}: only the policy 'soft' and the "
            "strategy 'rebalance' know it"
        )
    return flag


def _target_of_solve(target: Any, objective: Any) -> float | None:
    if target is None:
        return None
    if str(objective).lower() != "split":
        raise invalid_argument(
            f"target is {target!r}, but objective is {objective!r}: only the objective 'split' knows it in a solve"
        )
    return imbalance("target", target, 1, "None for the default, or 1")


def _flag(argument: str, value: Any) -> int | None:
    if value not in (False, True):
        raise invalid_argument(f"{argument} is {value!r}, must be True or False")
    return int(value) or None


def count_limit(argument: str, value: Any, least: str) -> int | None:
    """Checks a limit that may be None; least: the least one, and what may follow it in the sentence."""
    if value is None:
        return None
    number = integer(argument, value)
    if number < int(least[0]):
        raise invalid_argument(f"{argument} is {number}, must be None for any number, or at least {least}")
    return number


def imbalance(argument: str, value: Any, least: int, legal: str | None = None) -> float:
    """Checks an imbalance, or a difference of two: at least `least`, or 0 if `legal` says where values begin."""
    try:
        number = math.nan if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if (number == 0 and legal is not None) or least <= number <= MOST_IMBALANCE:
        return number
    raise invalid_argument(f"{argument} is {value!r}, must be {legal or least} to {MOST_IMBALANCE}")
