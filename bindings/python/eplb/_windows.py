"""Weights with their windows, as plans and evaluations keep them, and figures of every window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array, Flags, Floats, Ints
from ._cluster import Cluster
from ._errors import Unavailable
from ._lazy import lazy
from ._library import STATUSES
from ._loads import mean_with_load
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

    def to_upload(self) -> Array:
        """What lets the library know as much as of what was uploaded first; it sums windows above a number of them."""
        if self.num_windows:
            return self.windows
        return np.concatenate([self.windows, np.zeros((MOST_WINDOWS, *self.shape[1:]), self.windows.dtype)])

    @lazy
    def sums(self) -> Array:
        """[L,E], with windows summed as the library sums them."""
        first: Array = self.windows[0]
        return first if len(self.windows) == 1 else _sum(self.windows)


class Alone(NamedTuple):
    """What a placement gets in single windows: the mean over layers and windows that have load, and of the worst one.

    A window's figure is the mean over its layers, as an imbalance of the model is.
    """

    mean: float
    worst: float
    worst_window: int
    num_empty: int


def alone_of(imbalance: Floats, loaded: Flags) -> Alone:
    """From the imbalance of each layer in each window [L,T], and whether there is load."""
    # A window is the mean over its layers as a layer is over its windows.
    of_windows = mean_of_windows(imbalance.T, loaded.T)
    worst = int(np.argmax(of_windows))
    num_empty = int((~loaded.any(axis=0)).sum())
    return Alone(mean_with_load(imbalance, loaded), float(of_windows[worst]), worst, num_empty)


def imbalance_alone(weights: Array, evaluate: Callable[[Array], Any]) -> Alone:
    """Of any number of windows [T,L,E]. evaluate: the placement under some of them."""
    parts = [weights[first : first + MOST_WINDOWS] for first in range(0, len(weights), MOST_WINDOWS)]
    imbalance = np.concatenate([evaluate(part).window_imbalance for part in parts], axis=1)
    return alone_of(imbalance, has_load(weights))


def has_load(weights: Array) -> Flags:
    """Bool [L,T] of weights [T,L,E], or [L,1] of [L,E]."""
    windows = weights if weights.ndim == 3 else weights[np.newaxis]
    loaded: Flags = (windows > 0).any(axis=2).T
    return loaded


def mean_of_windows(imbalance: Floats, loaded: Flags) -> Floats:
    """The mean [L] of figures [L,T] over the windows in which a layer has load; 1 where it has none."""
    count = loaded.sum(axis=1)
    mean: Floats = np.divide((imbalance * loaded).sum(axis=1), count, out=np.ones(len(count)), where=count > 0)
    return mean


def balances_windows(objective: Any, windows: int) -> bool:
    """Whether each of several windows is balanced, and not their sum."""
    return windows > 1 and str(objective).lower() == "windows"


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
