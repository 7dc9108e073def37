"""How good a placement is that was not solved here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Floats, Ints
from ._cluster import Cluster
from ._errors import Unavailable
from ._homes import find_homes, prices_that_count
from ._lazy import lazy
from ._library import STATUSES, ffi
from ._moves import figures_of_moves, plan_moves
from ._report import Report, grouping_of, make_report
from ._session import Session
from ._tables import Prices
from ._windows import KeptWeights, not_kept, one_window, window_figure


@dataclass(frozen=True, eq=False)
class Evaluation(Report):
    """The report of a placement that was evaluated; its figures in every window, and how far its groups are from home.

    These are computed when they are first read, on any thread, from copies of the placement and the weights. Of weights
    that lie on a device, those of windows are computed at once. They raise Unavailable where num_windows is 0, those
    of groups where the weights are on a device only.

    Attributes:
        layer_moves: int64 [L], GPUs and experts that they get; None if evaluate was given no current placement.
        slots_written: int64 [L], slots whose contents change, those within a GPU included; None as well.
    """

    # What they are computed from; None if only a device has the weights, or nothing is left to be computed.
    _placed: tuple[KeptWeights, Ints, bytes, Cluster | None, Prices | None] | None = dataclasses.field(repr=False)
    layer_moves: Ints | None = dataclasses.field(default=None, repr=False)
    slots_written: Ints | None = dataclasses.field(default=None, repr=False)

    @lazy
    def window_imbalance(self) -> Floats:
        """float64 [L,T]: the imbalance in each window; 1 where a layer has no load."""
        return self._of_windows("window_imbalance", self.imbalance)

    @lazy
    def window_bound(self) -> Floats:
        """float64 [L,T]: the bound for the weights of each window alone."""
        return self._of_windows("window_bound", self.bound)

    def _of_windows(self, name: str, of_sum: Floats) -> Floats:
        if self.num_windows == 0:
            raise not_kept()
        if self.num_windows == 1:
            return one_window(of_sum)
        # Of those that a device has, they are known.
        assert self._placed is not None
        return window_figure(name, *self._placed[:4])

    @property
    def off_home(self) -> Floats:
        """float64 [L]: the load that is served away from its group's home node over all load; 0 without load."""
        return self._homes[0]

    @property
    def off_home_bound(self) -> Floats:
        """float64 [L]: with these homes, no placement has a smaller off_home and an imbalance of off_home_target."""
        return self._homes[1]

    @lazy
    def _homes(self) -> tuple[Floats, Floats]:
        if self._placed is None:
            text = "off_home of every layer needs the weights on the host: give them to evaluate as host arrays"
            raise Unavailable(text, STATUSES["unavailable"], "EPLB_UNAVAILABLE")
        return find_homes(*self._placed)


def evaluate(session: Session, placement: Ints, weights: KeptWeights | None) -> Evaluation:
    """Evaluates a placement for the session's problem and its weights, which are None if only the device has them."""
    c_report, imbalance, bounds, duplicates = session.evaluate(placement)
    # A graph may have changed those of a device since the last call.
    parts = session.floats("gpu_load") if weights is None else weights.sums
    mean_load = parts.sum(axis=1, dtype=np.float64) / session.num_open_gpus()
    report = make_report(c_report, imbalance, bounds, duplicates, mean_load, grouping_of(session.problem))
    prices, placed = prices_that_count(session), None
    is_home = session.problem.num_nodes == 1 and prices is None
    if weights is not None and (report.num_windows > 1 or not is_home):
        placed = weights, placement.copy(), ffi.buffer(session.problem)[:], session.cluster, prices
    evaluation = Evaluation(**vars(report), _placed=placed)
    if is_home:
        vars(evaluation)["_homes"] = np.zeros(len(placement)), np.zeros(len(placement))
    if weights is None and report.num_windows > 1:  # only the device has them, and may soon have others
        for name in ("window_imbalance", "window_bound"):
            vars(evaluation)[name] = session.evaluate_windows(name, placement, report.num_windows)
    return evaluation


def with_change(evaluation: Evaluation, current: Ints, placement: Ints, session: Session) -> Evaluation:
    """The evaluation with what it takes to get there from a current placement, for the session's problem."""
    gpus, nodes = session.problem.num_gpus, session.problem.num_nodes
    moves = plan_moves(current, placement, gpus, nodes, session.cluster, "buffered", session.handle.stop)
    written = ((placement != current) & (placement != -1)).sum(axis=1)
    figures: dict[str, Any] = figures_of_moves(moves, gpus)
    figures["layers_changed"] = int((placement != current).any(axis=1).sum())
    changed = dataclasses.replace(evaluation, layer_moves=moves.count, slots_written=written, **figures)
    for name, value in vars(evaluation).items():  # what was worked out already
        vars(changed).setdefault(name, value)
    return changed
