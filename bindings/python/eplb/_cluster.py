"""The GPUs of a problem, where they are not all equal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ._by_name import sizes_by_name
from ._library import MOST_SLOTS, integer, invalid_argument


@dataclass(frozen=True, init=False, repr=False)
class Cluster:
    """GPUs with their slots, speeds and nodes. It cannot change; equal ones are equal, and it can be a key.

    Every GPU has num_slots / num_gpus places, of which the first ones are its slots; the others are closed, and -1 in
    all maps. A GPU without slots holds nothing: it is dead, or being drained. The *time* of a GPU is its load over its
    speed, where speeds are scaled to mean 1; imbalance is over times.

        Cluster(num_gpus=32, num_nodes=4)                      # equal GPUs, consecutive ones on a node
        Cluster(slots=[9] * 31 + [0], node=[0] * 16 + [1] * 16)  # GPU by GPU

    Args:
        num_gpus: how many there are; may be left out where an array says it.
        num_nodes: nodes that they are on; None: one more than the largest in node, and 1 without that.
        slots: by GPU, 0 to num_slots / num_gpus; None: all places.
        speed: by GPU, positive; only ratios matter. None: all the same.
        node: by GPU, from 0; None: consecutive GPUs, as equally many on each node as can be.

    Raises:
        InvalidArgument: values that are not allowed, and arrays of different lengths. What does not fit the problem is
            found when it is solved.
    """

    num_gpus: int
    num_nodes: int
    slots: tuple[int, ...] | None
    speed: tuple[float, ...] | None
    node: tuple[int, ...] | None

    @sizes_by_name
    def __init__(
        self,
        num_gpus: int | None = None,
        *,
        num_nodes: int | None = None,
        slots: Iterable[int] | None = None,
        speed: Iterable[float] | None = None,
        node: Iterable[int] | None = None,
    ) -> None:
        arrays: dict[str, Any] = {
            "slots": _values("slots", slots, _whole),
            "speed": _values("speed", speed, _speed),
            "node": _values("node", node, _whole),
        }
        gpus = None if num_gpus is None else integer("num_gpus", num_gpus, 1)
        for name, values in arrays.items():
            gpus = _agreed(name, values, gpus)
        if gpus is None:
            raise invalid_argument("a Cluster needs num_gpus, or one of slots, speed and node, which have one per GPU")
        vars(self).update(arrays, num_gpus=gpus, num_nodes=_count_nodes(num_nodes, arrays["node"]))

    @property
    def num_open_gpus(self) -> int:
        """GPUs that have slots."""
        return self.num_gpus if self.slots is None else sum(count > 0 for count in self.slots)

    def __repr__(self) -> str:
        given = [f"num_gpus={self.num_gpus}", f"num_nodes={self.num_nodes}"]
        given += [f"{name}={list(values)}" for name, values in self._arrays() if values is not None]
        return f"Cluster({', '.join(given)})"

    def _arrays(self) -> list[tuple[str, tuple[Any, ...] | None]]:
        return [("slots", self.slots), ("speed", self.speed), ("node", self.node)]


def cluster_for(current: Any, num_gpus: Any, num_nodes: Any, cluster: Cluster | None) -> Cluster:
    """The GPUs of a call that begins with a placement, which may know how many there are."""
    if num_gpus is None and cluster is None:
        num_gpus = getattr(current, "num_gpus", None)
    gpus, nodes = sizes_with(cluster, num_gpus, num_nodes)
    return Cluster(gpus, num_nodes=nodes) if cluster is None else cluster


def sizes_with(cluster: Any, num_gpus: Any, num_nodes: Any) -> tuple[Any, Any]:
    """num_gpus and num_nodes of a call, which a cluster may give; num_nodes None is 1 without one."""
    if cluster is None:
        if num_gpus is None:
            raise invalid_argument("num_gpus is missing: give it, or a cluster")
        return num_gpus, 1 if num_nodes is None else num_nodes
    if not isinstance(cluster, Cluster):
        raise invalid_argument(f"cluster is a {type(cluster).__name__}, must be an eplb.Cluster or None")
    for name, value, own in (
        ("num_gpus", num_gpus, cluster.num_gpus),
        ("num_nodes", num_nodes, cluster.num_nodes),
    ):
        if value is not None and integer(name, value) != own:
            raise invalid_argument(f"{name} is {value}, but the cluster has {own}: leave it out, or give {own}")
    return cluster.num_gpus, cluster.num_nodes


def _values(name: str, values: Any, check: Any) -> tuple[Any, ...] | None:
    if values is None:
        return None
    try:
        listed = list(values)
    except TypeError:
        raise invalid_argument(f"{name} is {values!r}, must have one value per GPU, or be None") from None
    if not listed:
        raise invalid_argument(f"{name} is empty, must have one value per GPU: at least 1")
    return tuple(check(f"{name}[{gpu}]", value) for gpu, value in enumerate(listed))


def _whole(argument: str, value: Any) -> int:
    return integer(argument, value, 0, MOST_SLOTS)


def _speed(argument: str, value: Any) -> float:
    try:
        speed = float("true" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise invalid_argument(f"{argument} is {value!r}, must be a number") from None
    if not (speed > 0 and math.isfinite(speed)):
        raise invalid_argument(f"{argument} is {speed}, must be positive and finite: a GPU that is gone has 0 slots")
    return speed


def _agreed(name: str, values: tuple[Any, ...] | None, gpus: int | None) -> int | None:
    if values is None or gpus is None or len(values) == gpus:
        return gpus if values is None else len(values)
    raise invalid_argument(f"{name} has {len(values)} values, must have one for each of {gpus} GPUs")


def _count_nodes(num_nodes: int | None, node: tuple[int, ...] | None) -> int:
    least = 1 if node is None else max(node) + 1
    count = least if num_nodes is None else integer("num_nodes", num_nodes, 1)
    if count < least:
        raise invalid_argument(f"num_nodes is {count}, but a GPU is on node {least - 1}: must be at least {least}")
    return count
