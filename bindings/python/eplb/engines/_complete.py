"""Engines want an expert in every slot, and none twice on a GPU."""

from __future__ import annotations

import numpy as np

from .._arrays import Array, Flags, Ints
from ._current import holdings


def complete(placement: Ints, loads: Array, wanted: Flags, num_gpus: int, num_nodes: int) -> None:
    """Puts an expert in each slot [L,S] that is wanted, which is empty or holds a double.

    It is the expert of the largest load for each of its copies (ties: lowest) that the GPU does not hold, so the
    further copy helps most. With nodes, it is one that the node has: groups stay on theirs. A GPU that holds all of
    these already gets or keeps a double.
    """
    for layer in np.flatnonzero(wanted.any(axis=1)):
        _complete_layer(placement[layer], np.asarray(loads[layer], np.float64), wanted[layer], num_gpus, num_nodes)


def _complete_layer(row: Ints, load: Array, wanted: Flags, num_gpus: int, num_nodes: int) -> None:
    places = len(row) // num_gpus
    held = holdings(row[np.newaxis], len(load), num_gpus)[0]
    of_node = held.reshape(num_nodes, -1, len(load)).any(axis=1)
    count = np.bincount(row[row >= 0], minlength=len(load))
    for slot in np.flatnonzero(wanted):
        gpu = slot // places
        fits = of_node[gpu * num_nodes // num_gpus]
        new = fits & ~held[gpu]
        if not new.any():
            if row[slot] >= 0:  # a double that cannot be avoided
                continue
            new = fits
        share = np.where(new, load / np.maximum(count, 1), -1)
        expert = int(share.argmax())
        if row[slot] >= 0:
            count[row[slot]] -= 1
        row[slot] = expert
        count[expert] += 1
        held[gpu, expert] = True
