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
# With the simple bound, or the threshold one.
_OF_FIGURES, _OF_THRESHOLD = 300, 12_000
_OF_TRANSFERS = 2_500
_OF_SPLIT = 1_000
# Of a static dispatch of a layer: chains of moves; a slot of one rank; two slots that are compared for a swap.
_OF_CHAINS, _OF_RANK, _OF_LOOK = 2_000_000, 20, 1
_MOST_LOOKS = 2**30
_OF_WEIGHT = 40
# Of an integer of a map that is there already.
_OF_COPY = 2
# Slots of a layer above which the time for a slot grows with their number.
_LARGE = 256


_WINDOWS, _SPLIT = OBJECTIVES["windows"], OBJECTIVES["split"]
_SOFT, _SIMPLE = POLICIES["soft"], BOUND_KINDS["simple"]
_REBALANCE, _BEST = STRATEGIES["rebalance"], STRATEGIES["best"]
_BY_NUMBER = {STRATEGIES[name]: nanoseconds for name, nanoseconds in _OF_STRATEGY.items()}
_RANKS = {value: rank for rank, value in enumerate(sorted(EFFORTS.values()))}


def of_solve(shape: tuple[int, ...], problem: Any, options: Any) -> float:
    """Seconds of a solve of weights [T,L,E]."""
    windows = shape[0] if problem.objective == _WINDOWS else 1
    strategy: int = options.strategy
    searches_by_excess = strategy == _REBALANCE or problem.policy == _SOFT or problem.objective == _SPLIT
    if windows > 1 or searches_by_excess:
        nanoseconds = windows * _OF_SEARCH_BY_EXCESS[_RANKS.get(options.effort, -1)]
    elif strategy == _BEST:
        nanoseconds = _OF_BEST[_RANKS.get(options.effort, -1)]
    else:
        nanoseconds = _BY_NUMBER.get(strategy, _OF_OTHERS)
    return _seconds(shape[1], problem.num_slots, nanoseconds)


def of_figures(shape: tuple[int, ...], problem: Any) -> float:
    """Seconds of loads, bounds and all else that a report has, of a placement and in each window."""
    nanoseconds = _OF_FIGURES if problem.bound_kind == _SIMPLE else _OF_THRESHOLD
    return _seconds(shape[1], problem.num_slots, nanoseconds * (1 + shape[0]))


def of_transfers(layers: int, slots: int) -> float:
    return _seconds(layers, slots, _OF_TRANSFERS)


def of_split(layers: int, slots: int) -> float:
    return _seconds(layers, slots, _OF_SPLIT)


def of_dispatch(shape: tuple[int, ...], gpus: int, ranks: int, swaps: int) -> float:
    """Seconds of a static dispatch over a placement [L,S]. ranks, swaps: as the library has them."""
    layers, slots = shape
    # Of any number, as many as there are slots: searches end long before.
    looks = min((slots if swaps < 0 else min(swaps, slots)) * slots * slots // max(gpus, 1), _MOST_LOOKS)
    nanoseconds = _OF_CHAINS + _OF_RANK * (ranks or gpus) * slots + _OF_LOOK * looks
    return of_split(layers, slots) + layers * nanoseconds * 1e-9


def of_copy(integers: int) -> float:
    return integers * _OF_COPY * 1e-9


def of_upload(weights: int) -> float:
    return weights * _OF_WEIGHT * 1e-9


def _seconds(layers: int, slots: int, nanoseconds: int) -> float:
    seconds = layers * slots * nanoseconds * 1e-9
    return seconds if slots <= _LARGE else seconds * slots / _LARGE
