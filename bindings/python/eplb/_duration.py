"""How long a call of the library can take: decides whether it is worth a thread of its own, see _interrupts.py.

All figures are what is slowest, so that no call lasts long without being taken for one that can; most are done in a
fraction of that. They are of one core of a server of 2020 with AVX2, measured on layers of 80 to 16384 slots.
"""

from __future__ import annotations

from typing import Any

from ._library import BOUND_KINDS, EFFORTS, OBJECTIVES, POLICIES, STRATEGIES

# Seconds that a handler of signals may wait.
LONG = 0.05
# Nanoseconds per slot, and per window where these are balanced. Where there are three, by effort, least first.
_OF_STRATEGY = {"l2_swap": 2_000, "noise_spectrum": 8_000, "hybrid_init": 8_000}
_OF_OTHERS = 500
_OF_BEST = (1_000, 2_000, 15_000)
# Whatever starts from a placement, balances windows, or keeps groups at home.
_OF_SEARCH_BY_EXCESS = (100_000, 300_000, 800_000)
_OF_FIGURES = {"simple": 300, "threshold": 12_000}
_OF_TRANSFERS = 2_500
_OF_WEIGHT = 40
# Slots of a layer above which the time for a slot grows with their number.
_LARGE = 256


def of_solve(shape: tuple[int, ...], problem: Any, options: Any) -> float:
    """Seconds of a solve of weights [T,L,E]."""
    windows = shape[0] if problem.objective == OBJECTIVES["windows"] else 1
    return _seconds(shape[1], problem.num_slots, _of_search(windows, problem, options) * windows)


def _of_search(windows: int, problem: Any, options: Any) -> int:
    if options.strategy == STRATEGIES["rebalance"] or problem.policy == POLICIES["soft"] or windows > 1:
        return _by_effort(_OF_SEARCH_BY_EXCESS, options.effort)
    if options.strategy == STRATEGIES["best"]:
        return _by_effort(_OF_BEST, options.effort)
    return _BY_NUMBER.get(options.strategy, _OF_OTHERS)


_BY_NUMBER = {STRATEGIES[name]: nanoseconds for name, nanoseconds in _OF_STRATEGY.items() if name in STRATEGIES}
_EFFORT_RANKS = {value: rank for rank, value in enumerate(sorted(EFFORTS.values()))}


def _by_effort(nanoseconds: tuple[int, ...], effort: int) -> int:
    return nanoseconds[min(_EFFORT_RANKS.get(effort, len(nanoseconds)), len(nanoseconds) - 1)]


def of_figures(shape: tuple[int, ...], problem: Any) -> float:
    """Seconds of loads, bounds and all else that a report has, of a placement and in each window."""
    name = "simple" if problem.bound_kind == BOUND_KINDS["simple"] else "threshold"
    return _seconds(shape[1], problem.num_slots, _OF_FIGURES[name] * (1 + shape[0]))


def of_transfers(layers: int, slots: int) -> float:
    return _seconds(layers, slots, _OF_TRANSFERS)


def of_upload(weights: int) -> float:
    return weights * _OF_WEIGHT * 1e-9


def _seconds(layers: int, slots: int, nanoseconds: int) -> float:
    return layers * slots * nanoseconds * max(1.0, slots / _LARGE) * 1e-9
