"""What a plan on the host is made of: the integers of a solve, and figures that are computed when they are read.

A plan has a copy of the weights. While the context still holds the solve, everything else is fetched from it when it is
read. Before the context goes on, it lets the plan take a compact copy of its replicas: from these and the weights all
answers follow, by an evaluation in the session of the reading thread, with the same bits. Only what the report says of
moves does not: a plan with a current placement takes its report, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ._arrays import Array, Floats, Ints
from ._errors import InvalidState
from ._fingerprint import plan_fingerprint
from ._homes import HOME_MAPS, find_homes
from ._library import invalid_state
from ._moves import Change, Moves, fetch_change, plan_change
from ._plan_doubts import doubts_of_solution
from ._report import make_report
from ._session import Session
from ._session_lock import SharedSession
from ._terms import terms_of
from ._thread_session import session_for
from ._windows import KeptWeights, alone_of, forget_windows, has_load, not_kept, one_window, window_figure

_UINT8, _UINT16, _INT32 = np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.int32)
# What a report needs besides the C struct.
_LAYER_MAPS = ("gpu_load", "imbalance", "bound", "duplicates")
_WINDOW_MAPS = ("window_imbalance", "window_bound")


class Solution:
    """Its answers, by name, are made when they are first asked for; any thread may ask.

    Attributes:
        terms: what it was solved for.

    Args:
        session, shared: of the context, which has just solved. Without shared, the session only has the problem, and
            a class that was derived from this one has the answers.
        weights: what it solved.
        microseconds: that the solve took.
    """

    # The sum of weights and where windows have load, once nothing but warnings needs them.
    _remains: tuple[Array, Array] | None = None
    # replica_slots and replica_count, once the library need not be asked for them.
    _replicas: tuple[Array, Array] | None = None
    _fingerprint: int | None = None

    def __init__(
        self, session: Session, shared: SharedSession | None, weights: KeptWeights, microseconds: float
    ) -> None:
        self.terms = terms_of(session, weights)
        self._answers: dict[str, Any] = {}
        # Nobody changes it.
        self._current: Array | None = session.current
        self._microseconds = microseconds
        self._weights: KeptWeights | None = weights
        self._shared: SharedSession | None = shared
        if shared is not None:
            layers, _, num_slots, _ = self.terms.sizes
            self._answers["physical_to_logical"] = session.ints("physical_to_logical", (layers, num_slots))
            self._changes = shared.changes
            shared.hold(self)

    def __getitem__(self, name: str) -> Any:
        answers = self._answers
        if name not in answers:
            if name in _MADE_HERE:
                answers.setdefault(name, _MADE_HERE[name](self))
            else:
                self._find(name)
        return answers[name]

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and deepcopy: without the context, and complete but for figures of windows and of homes."""
        self["warnings"]
        if self.terms.bounds_at_once:
            self["window_bound"]
        self._own_replicas()
        return {**vars(self), "_shared": None, "_answers": dict(self._answers)}

    def detach(self, session: Session) -> None:
        """Takes the integers, from which the rest follows, while the library still has them."""
        if self._current is not None or self.terms.may_be_empty:
            # What its report says of moves, or of bounds, cannot be worked out later.
            self._fetch(session, "report")
            if self.terms.bounds_at_once:
                self._fetch(session, "window_bound")
            self._release()
        else:
            self._take_replicas(session)
        self._shared = None

    def _take_replicas(self, session: Session) -> None:
        if self._replicas is None:
            layers, experts, num_slots, _ = self.terms.sizes
            # Ours, since callers may write to their arrays; and compact, since a program may keep many plans.
            slots = session.compact("replica_slots", (layers, num_slots), smallest_ints(num_slots - 1))
            count = session.compact("replica_count", (layers, experts), smallest_ints(num_slots - experts + 1))
            self._replicas = slots, count

    def _own_replicas(self) -> tuple[Array, Array]:
        shared = self._shared
        if self._replicas is None and shared is not None:
            shared.read(self._changes, self._take_replicas)
        if self._replicas is None:
            raise _lost()
        return self._replicas

    def _take_fingerprint(self, session: Session) -> None:
        if self._fingerprint is None:
            self._fingerprint = session.fingerprint()

    def _own_fingerprint(self) -> int:
        shared = self._shared
        if self._fingerprint is None and shared is not None:
            shared.read(self._changes, self._take_fingerprint)
        if self._fingerprint is None:
            replicas = self._own_replicas()
            self._fingerprint = plan_fingerprint(
                place_replicas(*replicas), restore_slots(*replicas), *self.terms.sizes[1::2]
            )
        return self._fingerprint

    def _own_change(self) -> Change:
        """From the library as long as it has the plan; otherwise it works the same out again from both placements."""
        current = self._known_current()
        found: list[Change] = []
        shared = self._shared
        if shared is not None:
            num_gpus, num_nodes = self.terms.sizes[3], self.terms.grouping.num_nodes
            read = partial(fetch_change, num_gpus=num_gpus, num_nodes=num_nodes, cluster=self.terms.cluster)
            shared.read(self._changes, lambda session: found.append(read(session)))
        return found[0] if found else self._plan_change(current)

    def _known_current(self) -> Array:
        if self._current is None:
            raise no_moves()
        return self._current

    def _plan_change(self, current: Array) -> Change:
        slots, count = self._own_replicas()
        with session_for(self.terms.problem, self.terms.cluster) as session:
            placement = place_replicas(slots, count).astype(np.int32)
            return plan_change(session, current, placement, self.terms.transfer_order)

    def _moves(self) -> Moves:
        return self._own_change().moves()

    def _changed(self) -> Array:
        current = self._known_current()
        slots, count = self._own_replicas()
        changed: Array = (place_replicas(slots, count) != current).any(axis=1)
        return changed

    def _replica_slots(self) -> Ints:
        return restore_slots(*self._own_replicas())

    def _replica_count(self) -> Ints:
        return self._own_replicas()[1].astype(np.int64)

    def _logical_to_physical(self) -> Ints:
        return expand_replica_slots(*self._own_replicas(), self.terms.width)

    def _window_imbalance(self) -> Floats:
        return self._of_windows("window_imbalance", "imbalance")

    def _window_bound(self) -> Floats:
        return self._of_windows("window_bound", "bound")

    def _of_windows(self, name: str, of_sum: str) -> Floats:
        if self.terms.num_windows == 0:
            raise not_kept()
        if self.terms.num_windows == 1:
            return one_window(self[of_sum])
        self._find(name)
        figures: Floats = self._answers[name]
        return figures

    def _off_home(self) -> Floats:
        return self._of_homes("off_home")

    def _off_home_bound(self) -> Floats:
        return self._of_homes("off_home_bound")

    def _of_homes(self, name: str) -> Floats:
        if name not in self.terms.home_maps:
            return np.zeros(self.terms.sizes[0])
        self._find(name)
        figures: Floats = self._answers[name]
        return figures

    def _warnings(self) -> list[str]:
        report = self["report"]
        in_windows = self["window_imbalance"] if self.terms.num_windows > 1 and self.terms.summed else None
        weights = self._weights
        remains = self._remains if weights is None else (weights.sums, has_load(weights.windows))
        if remains is None:  # another thread was faster
            found: list[str] = self._answers["warnings"]
            return found
        sums, loaded = remains
        alone = None if in_windows is None else alone_of(in_windows, loaded)
        moves = self._current is not None
        slots = None if self.terms.cluster is not None else self.terms.sizes[2:]
        doubts = doubts_of_solution(report, sums, self.terms.num_given, alone, self.terms.summed, moves, slots)
        self._answers.setdefault("warnings", doubts)
        self._remains = None
        return doubts

    def _find(self, name: str) -> None:
        shared = self._shared
        if shared is None or not shared.read(self._changes, lambda session: self._fetch(session, name)):
            self._compute(name)
        self._release()

    def _release(self) -> None:
        """Lets the context and the weights go once nothing is left to be fetched or computed."""
        left = ("report", *(_WINDOW_MAPS if self.terms.num_windows > 1 else ()), *self.terms.home_maps)
        if all(name in self._answers for name in left):
            if self._weights is not None and "warnings" not in self._answers:
                self._remains = self._weights.sums, has_load(self._weights.windows)
            self._shared = self._weights = None

    def _fetch(self, session: Session, name: str) -> None:
        # Another thread may have been faster.
        if name in self._answers:
            return
        if name != "report":
            self._fetch_figures(session, name)
            return
        # First, so that the library evaluates once for all figures.
        c_report = session.report()
        # Those of homes are known by now.
        for each in (*_LAYER_MAPS, *self.terms.home_maps):
            self._fetch_figures(session, each)
        # Before the session goes.
        self._take_replicas(session)
        self._set_report(c_report)

    def _fetch_figures(self, session: Session, name: str) -> None:
        answers, (layers, _, _, num_gpus) = self._answers, self.terms.sizes
        if name not in answers:
            widths = {"gpu_load": (num_gpus,), **dict.fromkeys(_WINDOW_MAPS, (self.terms.num_windows,))}
            shape = (layers, *widths.get(name, ()))
            fetch = session.ints if name == "duplicates" else session.floats
            answers.setdefault(name, fetch(name, shape))

    def _compute(self, name: str) -> None:
        """The same without the context."""
        answers, weights, num_gpus = self._answers, self._weights, self.terms.sizes[3]
        # Without weights, another thread has found everything in the meantime.
        if weights is None:
            return
        slots, count = self._own_replicas()
        placement = place_replicas(slots, count)
        if name in _WINDOW_MAPS:
            answers.setdefault(name, window_figure(name, weights, placement, self.terms.problem, self.terms.cluster))
            return
        if name in HOME_MAPS:
            self._compute_homes(weights, placement)
            return
        if "gpu_load" not in answers:
            answers.setdefault("gpu_load", gpu_loads(weights.sums, count, placement, num_gpus))
        if name == "gpu_load":
            return
        if not self._can_evaluate():
            raise _lost()
        c_report, imbalance, bound, duplicates = self._evaluate(weights, placement)
        answers.setdefault("imbalance", imbalance)
        answers.setdefault("bound", bound)
        answers.setdefault("duplicates", duplicates)
        c_report.strategy = self.terms.strategy
        c_report.microseconds = self._microseconds
        self._set_report(c_report)

    def _can_evaluate(self) -> bool:
        """Whether an evaluation says all that the report does."""
        return self._current is None and not self.terms.may_be_empty

    def _compute_homes(self, weights: KeptWeights, placement: Ints) -> None:
        figures = find_homes(weights, placement, self.terms.problem, self.terms.cluster, self.terms.prices)
        for name, each in zip(HOME_MAPS, figures, strict=True):
            self._answers.setdefault(name, each)

    def _evaluate(self, weights: KeptWeights, placement: Ints) -> tuple[Any, Floats, Floats, Ints]:
        with session_for(self.terms.problem, self.terms.cluster, self.terms.prices) as session:
            session.upload(weights.windows)
            figures = session.evaluate(placement)
        if weights.num_windows == 0:
            forget_windows(figures[0])
        return figures

    def _set_report(self, c_report: Any) -> None:
        answers = self._answers
        loads, imbalance, bound, duplicates = (answers[name] for name in _LAYER_MAPS)
        # The bits of loads.mean(axis=1), in a fraction of its time.
        open_gpus = self.terms.sizes[3] if self.terms.cluster is None else self.terms.cluster.num_open_gpus
        mean_load = np.add.reduce(loads, axis=1) / open_gpus
        report = make_report(c_report, imbalance, bound, duplicates, mean_load, self.terms.grouping)
        answers.setdefault("report", report)


_MADE_HERE: dict[str, Callable[[Solution], Any]] = {
    "current": lambda solution: solution._current,
    "cluster": lambda solution: solution.terms.cluster,
    "grouping": lambda solution: (*solution.terms.grouping[:2], solution.terms.policy),
    "replica_slots": Solution._replica_slots,
    "replica_count": Solution._replica_count,
    "logical_to_physical": Solution._logical_to_physical,
    "moves": Solution._moves,
    "changed": Solution._changed,
    "window_imbalance": Solution._window_imbalance,
    "window_bound": Solution._window_bound,
    "off_home": Solution._off_home,
    "off_home_bound": Solution._off_home_bound,
    "fingerprint": Solution._own_fingerprint,
    "warnings": Solution._warnings,
}


def _lost() -> InvalidState:
    return invalid_state("the plan was not read before its context was lost, by a fork or with its device")


def no_moves() -> InvalidState:
    return invalid_state(
        "there are no moves, because the plan was solved without a current placement: Context.solve(..., current=...)"
    )


def smallest_ints(largest: int) -> Any:
    """The smallest integers that hold so much."""
    return _UINT8 if largest < 2**8 else _UINT16 if largest < 2**16 else _INT32


def place_replicas(slots: Array, count: Array) -> Ints:
    """physical_to_logical [L,S] from the slots of all experts one after the other, and how many each has [L,E]."""
    layers, experts = count.shape
    placement = np.full(slots.size, -1, np.int64)
    in_all = np.arange(layers)[:, np.newaxis] * slots.shape[1] + slots
    placement[in_all[_listed(slots, count)]] = np.repeat(np.tile(np.arange(experts), layers), count.ravel())
    return placement.reshape(slots.shape)


def restore_slots(slots: Array, count: Array) -> Ints:
    """replica_slots from compact ones, which cannot hold -1."""
    restored: Ints = np.where(_listed(slots, count), slots.astype(np.int64), -1)
    return restored


def _listed(replica_slots: Array, count: Array) -> Array:
    """Which entries of replica_slots [L,S] name a slot: as many as there are replicas."""
    listed: Array = np.arange(replica_slots.shape[1]) < count.sum(axis=1, keepdims=True)
    return listed


def gpu_loads(weights: Array, count: Array, placement: Ints, num_gpus: int) -> Floats:
    """Loads [L,G] with the bits that the library gives: in double, a GPU's slots added in their order."""
    share = (weights.astype(np.float64) + 0.0) / count
    # An empty slot, -1, holds nothing.
    share = np.pad(share, ((0, 0), (0, 1)))
    held = np.take_along_axis(share, placement, axis=1).reshape(len(weights), num_gpus, -1)
    loads: Floats = np.ascontiguousarray(np.add.accumulate(held, axis=2)[:, :, -1])
    return loads


def expand_replica_slots(replica_slots: Array, replica_count: Array, width: int) -> Ints:
    """logical_to_physical [L,E,width] from the slots of all experts one after the other."""
    expanded = np.full((*replica_count.shape, width), -1, np.int64)
    count = replica_count.ravel().astype(np.int64)
    ends = np.cumsum(count)
    # From where a replica is listed, all layers in one row, to where it belongs.
    shifts = np.arange(0, expanded.size, width) - (ends - count)
    places = np.arange(ends[-1]) + np.repeat(shifts, count)
    expanded.reshape(-1)[places] = replica_slots[_listed(replica_slots, replica_count)]
    return expanded
