"""Loads of GPUs and nodes of any placement, and placements without a balancer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._arrays import Array, Flags, Floats, Ints
from ._cluster import Cluster


def placement_without_redundancy(num_layers: int, num_experts: int, num_gpus: int) -> Ints:
    """Each expert once, in order [L,S], with -1 where a GPU has one less than others; as engines do it."""
    counts = np.full(num_gpus, num_experts // num_gpus)
    counts[: num_experts % num_gpus] += 1
    held = np.arange(counts.max()) < counts[:, np.newaxis]
    row = np.full(held.shape, -1)
    row[held] = np.arange(num_experts)
    return np.tile(row.ravel(), (num_layers, 1))


def placement_in_order(num_layers: int, num_experts: int, num_slots: int) -> Ints:
    """All slots filled without a balancer [L,S]: slot s holds expert s mod E, as in engines that start."""
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


def mean_with_load(values: Floats, loaded: Flags) -> float:
    """The mean of the layers' values where a layer has load; 1, which is balanced, where none has."""
    return float(values[loaded].mean()) if loaded.any() else 1.0


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


def gone_gpus(cluster: Cluster) -> Array:
    """Bool [G]: which have no slots."""
    return np.array([slots == 0 for slots in cluster.slots or [1] * cluster.num_gpus])


def speeds_of(cluster: Cluster) -> Floats:
    """Speeds [G], 0 for GPUs without slots."""
    return np.where(gone_gpus(cluster), 0.0, cluster.speed or [1.0] * cluster.num_gpus)


def without_gpus(loads: Floats, gone: Array) -> Array:
    """Loads [L,G] without those of GPUs that are gone [G], which are white in a picture."""
    return np.ma.array(loads, mask=np.broadcast_to(gone, loads.shape))


def nodes_of_gpus(num_gpus: int, num_nodes: int, cluster: Cluster | None = None) -> Ints:
    """The node of each GPU."""
    if cluster is not None and cluster.node is not None:
        return np.array(cluster.node, np.int64)
    return np.arange(num_gpus) * num_nodes // num_gpus


def groups_of_experts(num_experts: int, num_groups: int) -> Ints:
    """The group of each expert."""
    return np.arange(num_experts) * num_groups // num_experts


def node_shares(placement: Array, num_experts: int, node_of_slot: Ints, num_nodes: int) -> Floats:
    """Which part of each expert's replicas is on each node [L,E,N], of a placement [L,S]."""
    layers, _ = placement.shape
    count = np.zeros((layers, num_experts, num_nodes))
    layer, slot = np.nonzero(placement >= 0)
    np.add.at(count, (layer, placement[layer, slot], node_of_slot[slot]), 1)
    shares: Floats = count / np.maximum(count.sum(axis=2, keepdims=True), 1)
    return shares


class NodeLoads(NamedTuple):
    """Float64 [L,N]: what a node serves of the groups whose home it is, and of others; and the load of its groups."""

    at_home: Floats
    away: Floats
    of_groups: Floats


def node_loads(weights: Floats, placement: Array, cluster: Cluster, num_groups: int) -> NodeLoads:
    """Of weights [L,E] and a placement [L,S]; a group's home is the node that serves most of it."""
    layers, experts = weights.shape
    num_gpus, num_nodes = cluster.num_gpus, cluster.num_nodes
    node_of_slot = np.repeat(nodes_of_gpus(num_gpus, num_nodes, cluster), placement.shape[1] // num_gpus)
    served = weights[..., np.newaxis] * node_shares(placement, experts, node_of_slot, num_nodes)
    by_group = np.zeros((layers, num_groups, num_nodes))
    np.add.at(by_group, (np.arange(layers)[:, np.newaxis], groups_of_experts(experts, num_groups)), served)
    at_its_home = by_group == by_group.max(axis=2, keepdims=True)
    # Of equal nodes, the lowest one.
    at_its_home &= np.cumsum(at_its_home, axis=2) == 1
    at_home, away = (np.where(where, by_group, 0).sum(axis=1) for where in (at_its_home, ~at_its_home))
    of_groups = (at_its_home * by_group.sum(axis=2, keepdims=True)).sum(axis=1)
    return NodeLoads(at_home, away, of_groups)
