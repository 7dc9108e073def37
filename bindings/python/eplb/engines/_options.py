"""What EPLB_ENGINE says: a strategy, and options of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._move_limits import move_limits
from .._option_words import OptionWords, check_search, words_of

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
        return words_of(self)

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
    strategy, values = _words(text).read()
    return checked(Options(strategy, **values), text)


def checked(options: Options, text: str | None = None) -> Options:
    """The options, if they are allowed: a mistake is found at the start, and not at the first rebalance.

    Raises:
        InvalidArgument: naming the option and what is allowed.
    """
    text = str(options) if text is None else text
    try:
        check_search(options)
        move_limits(*options.limits().values())
    except ValueError as error:
        raise _words(text).refused(str(error)) from None
    if options.strategy == "greedy" and options.policy == "soft":
        raise _words(text).refused("greedy has no policy soft, must be auto, hierarchical or global")
    return options


def _words(text: str) -> OptionWords:
    return OptionWords(VARIABLE, text, "strategy", KNOWN)
