"""The decisions that all engines share: from loads and the map that an engine has now to its next map.

Six engines plan on every rank and never compare. So an answer depends on the arguments alone, and so does whether there
is one: what the loads cause keeps the current map, on all ranks; what one rank can meet alone is raised.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from .._arrays import Array, Flags, Floats, Ints, placement_to_host, to_host
from .._errors import InvalidArgument, InvalidPlacement, InvalidWeight
from .._library import integer, invalid_argument
from .._loads import gpu_loads, mean_with_load, relative_loads
from .._maps import check_experts
from .._place import place, read_alive
from ._complete import complete
from ._counters import Plan, note_kept, note_plan
from ._current import count_moves, fit_width, holdings, is_double, keep_slots, lacks_nothing, lay_over
from ._options import COUNTS, Options

# A function of the arguments, which all ranks share.
_SAME_ON_ALL_RANKS = (InvalidArgument, InvalidPlacement, InvalidWeight)


@dataclass(frozen=True)
class Question:
    """What an engine asks.

    Attributes:
        engine: its name, for what is logged.
        num_slots, num_groups, num_nodes, num_gpus: of the map that it wants; num_groups None and 0 are 1.
        current: the map that it has, integers [L,S] of any width, -1 where nothing is; None if it has none.
        alive: 0 or 1 for each GPU; None: all are.
    """

    engine: str
    num_slots: int
    num_groups: int | None
    num_nodes: int
    num_gpus: int
    current: Any = None
    alive: Any = None


def answer(loads: Any, question: Question, options: Options) -> Ints:
    """The next map, int64 [L,S] on the host; -1 in the slots of GPUs that are not alive, and in no others.

    Each expert is there, and on no GPU twice where that can be avoided (but for the strategy greedy). What stays on a
    GPU stays in its slot. Layers without load stay as they are. Where ranks were added, have died or leave, limits on
    moves do not hold, since then what moves has to.

    Args:
        loads: numbers [L,E], or [T,L,E], which are summed; on the host or on a device.

    Raises:
        InvalidArgument, InvalidWeight, InvalidPlacement: only if there is no current map that can be kept. Otherwise it
            is kept, and the error is logged.
    """
    start = perf_counter()
    known = None if question.current is None else placement_to_host(question.current, "current")
    try:
        task = _task(sum_of_windows(loads), question, known, options)
        placement = task.placement()
    except _SAME_ON_ALL_RANKS as error:
        kept = _kept(known, loads, question)
        if kept is None:
            raise
        note_kept()
        logging.getLogger(f"{question.engine}.eplb").error("eplb keeps the current map: %s", error)
        return kept
    note_plan(question.engine, placement, task.outcome(placement, (perf_counter() - start) * 1e6))
    return placement


def _kept(known: Ints | None, loads: Any, question: Question) -> Ints | None:
    """The current map, if an engine can go on with it: each expert is on a GPU that is alive."""
    shape: tuple[int, ...] = getattr(loads, "shape", ())
    alive = question.alive
    if known is None or len(shape) < 2 or known.shape != (shape[-2], question.num_slots):
        return None
    living = read_alive([1] * question.num_gpus if alive is None else alive, question.num_gpus)
    placement = np.where(np.repeat(living, question.num_slots // question.num_gpus), known, -1)
    held = holdings(placement, int(shape[-1]), 1) if placement.max(initial=-1) < shape[-1] else np.zeros(1, bool)
    return placement if held.all() else None


def sum_of_windows(loads: Any) -> Array:
    """Loads [L,E] on the host: sums in 64 bits, made where the loads are.

    A negative load is not hidden by the sum: it is what is returned in its place, and the library refuses it.
    """
    if len(getattr(loads, "shape", ())) != 3:
        return to_host("loads", loads)[0]
    if hasattr(loads, "amin"):  # a tensor of torch
        whole = not loads.dtype.is_floating_point
        sums = loads.sum(0) if whole else loads.double().sum(0)
        least = loads.amin(0) if len(loads) else sums
    else:
        array = to_host("loads", loads)[0]
        sums = array.sum(axis=0, dtype=np.float64 if array.dtype.kind == "f" else np.int64)
        least = array.min(axis=0) if len(array) else sums
    sums, least = to_host("loads", sums)[0], to_host("loads", least)[0]
    return np.where(least < 0, least, sums)


@dataclass(frozen=True)
class _Task:
    """A question whose parts fit each other."""

    loads: Array  # [L,E]
    current: Ints | None  # [L,S]; what dead GPUs held is -1
    stays: Flags  # layers [L] that the current map serves
    living: Flags  # [G]
    sizes: tuple[int, int, int, int]  # num_slots, num_groups, num_nodes, num_gpus
    policy: str
    options: Options

    @property
    def num_gpus(self) -> int:
        return self.sizes[3]

    @property
    def is_open(self) -> Flags:
        """Slots [S] of GPUs that are alive."""
        return np.repeat(self.living, self.sizes[0] // self.num_gpus)

    @property
    def nodes_with_groups(self) -> int:
        """Nodes that groups must stay on; 1 if they may go anywhere."""
        _, groups, nodes, _ = self.sizes
        is_hierarchical = self.policy == "hierarchical" or (self.policy == "auto" and groups % nodes == 0)
        return nodes if is_hierarchical else 1

    @property
    def limits(self) -> dict[str, Any]:
        """Of moves. Where ranks were added, have died or leave, those on numbers do not hold."""
        limits = self.options.limits()
        return limits if self.stays.all() else {**limits, **dict.fromkeys(COUNTS)}

    @property
    def is_limited(self) -> bool:
        limits = self.limits
        return limits["move_price"] > 0 or any(limits[name] is not None for name in COUNTS)

    def placement(self) -> Ints:
        placement = self._by_strategy()
        if self.options.strategy != "greedy":
            # A double that the map has already may stay where moves are limited.
            wanted = placement < 0 if self.is_limited else (placement < 0) | is_double(placement, self.num_gpus)
            complete(placement, self.loads, wanted & self.is_open, self.num_gpus, self.nodes_with_groups)
        if self.current is not None:
            # What was put in an empty slot may be what the GPU had in another one.
            placement = keep_slots(placement, self.current, self.num_gpus)
            without_load = ~(self.loads != 0).any(axis=1) & self.stays
            placement[without_load] = self.current[without_load]
        return placement

    def _by_strategy(self) -> Ints:
        strategy = self.options.strategy
        if strategy == "rebalance" and self.current is not None:
            return self._changed()
        placement = self._place(strategy="greedy" if strategy == "greedy" else "best")
        if self.current is None or strategy == "greedy":
            return placement
        return lay_over(placement, self.current, self.loads.shape[1], self.num_gpus, self.nodes_with_groups)

    def _changed(self) -> Ints:
        """Few moves. A double counts as empty: what replaces it, if anything does, then helps, within all limits."""
        assert self.current is not None
        double = is_double(self.current, self.num_gpus)
        placement = self._place(current=np.where(double, -1, self.current), **self.limits)
        return np.where(double & (placement < 0), self.current, placement) if self.is_limited else placement

    def _place(self, **more: Any) -> Ints:
        options = self.options
        known: dict[str, Any] = {"policy": self.policy}
        if options.strategy != "greedy":
            names = ("off_home_target", "effort", "seed", "max_replicas")
            known.update({name: getattr(options, name) for name in names})
        alive = None if self.living.all() else self.living
        slots, groups, nodes, gpus = self.sizes
        placement: Ints = place(self.loads, slots, groups, nodes, gpus, alive=alive, **known, **more)
        return placement

    def outcome(self, placement: Ints, microseconds: float) -> Plan:
        loads = np.asarray(self.loads, np.float64)
        after, before, moves = self._imbalance(loads, placement), float("nan"), 0
        if self.current is not None:
            moves = int(count_moves(placement, self.current, loads.shape[1], self.num_gpus).sum())
            if self.stays.all():
                before = self._imbalance(loads, self.current)
        return Plan(str(self.options), moves, before, after, microseconds)

    def _imbalance(self, loads: Floats, placement: Ints) -> float:
        of_gpus = gpu_loads(loads, placement, self.num_gpus)[:, self.living]
        return mean_with_load(relative_loads(of_gpus).max(axis=1), of_gpus.sum(axis=1) > 0)


def _task(loads: Array, question: Question, known: Ints | None, options: Options) -> _Task:
    gpus = integer("num_gpus", question.num_gpus, 1)
    slots = integer("num_slots", question.num_slots, 1)
    nodes = integer("num_nodes", question.num_nodes, 1)
    groups = 1 if question.num_groups is None else integer("num_groups", question.num_groups, 0) or 1
    if loads.ndim != 2 or slots % gpus:
        text = f"loads is {list(loads.shape)} and num_slots {slots}"
        raise invalid_argument(f"{text}: must be [layers, experts], and a multiple of {gpus} GPUs")
    living = np.ones(gpus, bool) if question.alive is None else read_alive(question.alive, gpus)
    layers, experts = loads.shape
    current, stays = None, np.zeros(layers, bool)
    is_open = np.repeat(living, slots // gpus)
    if known is not None:
        if len(known) != layers:
            raise invalid_argument(f"current has {len(known)} layers, must have the {layers} of loads")
        check_experts(known, experts, "current")
        current = np.where(is_open, fit_width(known, slots), -1)
        stays = lacks_nothing(current, experts, is_open)
        current = None if (current < 0).all() else current
    policy = "global" if options.policy == "auto" and not living.all() else options.policy
    return _Task(loads, current, stays, living, (slots, groups, nodes, gpus), policy, options)


def with_policy(options: Options, policy: str) -> Options:
    """The options, with the policy that the engine chose unless they have one."""
    return dataclasses.replace(options, policy=policy) if options.policy == "auto" else options
