"""GPU loads of any placement, and the placement without a balancer, which is called "before"."""

from __future__ import annotations

import numpy as np

from ._arrays import Array, Floats, Ints


def placement_before(num_layers: int, num_experts: int, num_slots: int) -> Ints:
    """The placement without a balancer [L,S]: slot s holds expert s mod E."""
    return np.tile(np.arange(num_slots) % num_experts, (num_layers, 1))


def count_windows(weights: Array) -> int:
    """Of weights [L,E] or [T,L,E]."""
    return len(weights) if weights.ndim == 3 else 1


def sum_windows(weights: Array) -> Floats:
    """Weights [L,E] in float64, from [L,E] or [T,L,E]."""
    table: Floats = weights.astype(np.float64)
    return np.asarray(table.sum(axis=0)) if table.ndim == 3 else table


def gpu_loads(weights: Floats, placement: Array, num_gpus: int) -> Floats:
    """Loads [L,G] of a placement [L,S] under weights [L,E]; replicas share their expert's weight evenly.

    Slots of -1 hold nothing. An expert without a replica is nobody's load.
    """
    layers = np.arange(len(weights))[:, np.newaxis]
    # An expert of weight 0 for empty slots.
    weights = np.pad(weights, ((0, 0), (0, 1)))
    count = np.zeros(weights.shape, np.int64)
    np.add.at(count, (layers, placement), 1)
    per_slot = (weights / np.maximum(count, 1))[layers, placement]
    return np.asarray(per_slot.reshape(len(weights), num_gpus, -1).sum(axis=2), np.float64)


def relative_loads(loads: Floats) -> Floats:
    """Loads over the mean load of their layer; 1 where a layer has no load at all."""
    return relative_times(loads, loads.sum(axis=1), np.ones(loads.shape[1]))


def relative_times(loads: Floats, total: Floats, speed: Floats) -> Floats:
    """Times of GPUs [L,G], loads over speeds, relative to those that GPUs would have if all shared the total load [L].

    They are 1 where there is no load at all, and 0 for a GPU of speed 0, which serves nothing.
    """
    fair = total[:, np.newaxis] / speed.sum()
    times = np.divide(loads, speed, out=np.zeros_like(loads), where=speed > 0)
    relative: Floats = np.divide(times, fair, out=np.ones_like(loads), where=fair > 0)
    return relative
