"""How good a placement is that was not solved here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ._arrays import Floats, Ints
from ._cluster import Cluster
from ._library import ffi
from ._report import Report, make_report
from ._session import Session
from ._windows import KeptWeights, not_kept, one_window, window_figure


@dataclass(frozen=True, eq=False)
class Evaluation(Report):
    """The report of a placement that was evaluated, and its figures in every window.

    These are computed when they are first read, on any thread, from copies of the placement and the weights; of weights
    that lie on a device, at once. They raise Unavailable where report.num_windows is 0.
    """

    # What they are computed from; None if there is only one window, none is kept, or they are known.
    _placed: tuple[KeptWeights, Ints, bytes, Cluster | None] | None = dataclasses.field(repr=False)

    @cached_property
    def window_imbalance(self) -> Floats:
        """float64 [L,T]: the imbalance in each window; 1 where a layer has no load."""
        return self._of_windows("window_imbalance", self.imbalance)

    @cached_property
    def window_bound(self) -> Floats:
        """float64 [L,T]: the bound for the weights of each window alone."""
        return self._of_windows("window_bound", self.bound)

    def _of_windows(self, name: str, of_sum: Floats) -> Floats:
        if self._placed is not None:
            return window_figure(name, *self._placed)
        if self.num_windows == 0:
            raise not_kept()
        return one_window(of_sum)


def evaluate(session: Session, placement: Ints, weights: KeptWeights | None) -> Evaluation:
    """Evaluates a placement for the session's problem and its weights, which are None if only the device has them."""
    c_report, imbalance, bounds, duplicates = session.evaluate(placement)
    # A graph may have changed those of a device since the last call.
    parts = session.floats("gpu_load") if weights is None else weights.sums
    mean_load = parts.sum(axis=1, dtype=np.float64) / session.num_open_gpus()
    report = make_report(c_report, imbalance, bounds, duplicates, mean_load)
    placed = None
    if weights is not None and report.num_windows > 1:
        placed = weights, placement.copy(), ffi.buffer(session.problem)[:], session.cluster
    evaluation = Evaluation(**vars(report), _placed=placed)
    if weights is None and report.num_windows > 1:  # only the device has them, and may soon have others
        for name in ("window_imbalance", "window_bound"):
            vars(evaluation)[name] = session.evaluate_windows(name, placement, report.num_windows)
    return evaluation
