"""What this process has planned for its engine, and the lines that say so."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
from typing import NamedTuple

from .._arrays import Ints
from .._fingerprint import placement_fingerprint


class Plan(NamedTuple):
    """What became of one plan."""

    strategy: str
    moves: int
    before: float
    after: float
    microseconds: float


class Counters(NamedTuple):
    """What this process has planned for its engine since it began.

    Attributes:
        plans: maps that were planned; those of engines that plan layer by layer count one for each layer.
        kept: calls whose loads could not be planned with, so that the current map was kept. Each has logged an error.
        moves: GPUs and experts that they got, of all plans and layers.
        microseconds: of all plans.
        last_moves, last_microseconds: of the last plan.
        imbalance_before, imbalance_after: of the last plan, with the loads that it was given: the largest GPU load over
            the mean, mean over layers that have load. NaN where nothing was planned yet, and before where there was no
            map, or one that lacked something.
        fingerprint: of the last plan, 16 hexadecimal digits that are the same on ranks whose maps are; "" before any.
        strategy: of the last plan, with its options.
    """

    plans: int = 0
    kept: int = 0
    moves: int = 0
    microseconds: float = 0.0
    last_moves: int = 0
    last_microseconds: float = 0.0
    imbalance_before: float = math.nan
    imbalance_after: float = math.nan
    fingerprint: str = ""
    strategy: str = ""


_counters = Counters()
_lock = threading.Lock()


def _in_child() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_in_child)


def counters() -> Counters:
    """What this process has planned for its engine; every rank counts its own."""
    return _counters


def note_plan(engine: str, placement: Ints, plan: Plan) -> None:
    """Counts a plan, and says of the first one what it is."""
    global _counters
    fingerprint = f"{placement_fingerprint(placement):016x}"
    with _lock:
        known = _counters
        _counters = known._replace(
            plans=known.plans + 1,
            moves=known.moves + plan.moves,
            microseconds=known.microseconds + plan.microseconds,
            last_moves=plan.moves,
            last_microseconds=plan.microseconds,
            imbalance_before=plan.before,
            imbalance_after=plan.after,
            fingerprint=fingerprint,
            strategy=plan.strategy,
        )
    if known.plans == 0:
        layers, slots = placement.shape
        change = "" if math.isnan(plan.before) else f"{plan.moves} moves, "
        before = "" if math.isnan(plan.before) else f"{plan.before:.4f} -> "
        say(
            engine,
            f"eplb: first plan, {layers} layers of {slots} slots, fingerprint {fingerprint}, {change}"
            f"imbalance {before}{plan.after:.4f}, {plan.microseconds / 1e3:.1f} ms",
        )


def note_kept() -> None:
    """Counts a call that kept the current map."""
    global _counters
    with _lock:
        _counters = _counters._replace(kept=_counters.kept + 1)


def say(engine: str, line: str, level: int = logging.INFO) -> None:
    """Logs a line where the engine logs; on standard error while it has no log yet, as plug-ins are loaded early."""
    logger = logging.getLogger(f"{engine}.eplb")
    if logger.hasHandlers():
        logger.log(level, "%s", line)
    else:
        print(line, file=sys.stderr, flush=True)
