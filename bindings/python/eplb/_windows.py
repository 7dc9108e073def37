"""Weights with their windows, as plans and evaluations keep them, and figures of every window."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from ._arrays import Array, Floats, Ints
from ._cluster import Cluster
from ._errors import Unavailable
from ._library import STATUSES
from ._tables import MOST_WINDOWS
from ._thread_session import session_for

_REPORTED = ("num_windows", "num_empty_windows", "windows_mean", "windows_worst", "worst_window", "worst_window_layer")


class KeptWeights:
    """A copy of weights that nobody changes.

    Attributes:
        windows: [T,L,E] as uploaded; [1,L,E], their sum, of more windows than the library keeps.
        num_windows: that the library keeps; 0 if there are more.
        num_given: that there were.
    """

    def __init__(self, weights: Array) -> None:
        windows = weights if weights.ndim == 3 else weights[np.newaxis]
        fit = len(windows) <= MOST_WINDOWS
        self.windows: Array = windows.copy() if fit else _sum(windows)[np.newaxis]
        self.num_windows, self.num_given = len(windows) if fit else 0, len(windows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The last two are layers and experts."""
        return self.windows.shape

    @cached_property
    def sums(self) -> Array:
        """[L,E], with windows summed as the library sums them."""
        first: Array = self.windows[0]
        return first if len(self.windows) == 1 else _sum(self.windows)


def _sum(windows: Array) -> Array:
    # In the order of the windows, floats in double and integers exactly.
    total: Array = np.add.reduce(windows, axis=0, dtype=np.float64 if windows.dtype.kind == "f" else np.int64)
    return total


def window_figure(name: str, weights: KeptWeights, placement: Ints, problem: bytes, cluster: Cluster | None) -> Floats:
    """window_imbalance or window_bound [L,T] of a placement, worked out in a session of this thread."""
    with session_for(problem, cluster) as session:
        session.upload(weights.windows)
        figures: Floats = session.evaluate_windows(name, placement, weights.num_windows)
        return figures


def one_window(of_sum: Floats) -> Floats:
    """A figure [L,1] of the only window, which is the sum."""
    figure: Floats = of_sum[:, np.newaxis].copy()
    return figure


def not_kept() -> Unavailable:
    why = f"only their sum is known of more than {MOST_WINDOWS}, and of those on a device without a reserve for as many"
    text = f"the windows of these weights were not kept: {why}"
    return Unavailable(text, STATUSES["unavailable"], "EPLB_UNAVAILABLE")


def forget_windows(c_report: Any) -> None:
    """Makes a report of the sum of windows one of windows that were not kept."""
    for name in _REPORTED:
        setattr(c_report, name, 0)
