"""What a replay would have had with tokens split over the replicas, by what is known when they are."""

from __future__ import annotations

import numpy as np

from ._arrays import Array, Floats
from ._cluster import Cluster
from ._context import Context
from ._loads import relative_times, speeds_of
from ._tables import MOST_WINDOWS
from .dispatch import SHARES

# Fields of an outcome, and columns of its table.
SPLITS = {
    "split_in_step": "split in step",
    "split_last_window": "by last window",
    "split_decayed": "by decayed",
}
# By how much a window matters less than the next one; of more windows than a rule may remember, 2 % are left out.
_DECAY = 1 - 1 / 16


def imbalance_with_splits(
    context: Context, windows: Array, number: int, placement: Array, cluster: Cluster
) -> dict[str, Floats]:
    """The imbalance [L] of a placement in a window, by the fields of an outcome.

    Tokens are split as is best for the window itself, for the one before it, and for a fading sum of those before it.
    """
    window = windows[number]
    before = {"split_last_window": windows[number - 1], "split_decayed": _fading(windows[:number])}
    found = {"split_in_step": context.split(window, placement, cluster=cluster).imbalance}
    for name, known in before.items():
        share = context.split(known, placement, cluster=cluster).share
        found[name] = _with_shares(window, placement, share, cluster)
    return found


def _fading(windows: Array) -> Floats:
    recent = windows[-MOST_WINDOWS:]
    faded: Floats = np.tensordot(_DECAY ** np.arange(len(recent))[::-1], recent, 1)
    return faded


def _with_shares(window: Array, placement: Array, share: Array, cluster: Cluster) -> Floats:
    tokens = np.pad(window.astype(np.float64), ((0, 0), (0, 1)))  # -1 is an expert without any
    parts = np.take_along_axis(tokens, placement, axis=1) * share / SHARES
    loads = parts.reshape(len(window), cluster.num_gpus, -1).sum(axis=2)
    most: Floats = relative_times(loads, loads.sum(axis=1), speeds_of(cluster)).max(axis=1)
    return most
