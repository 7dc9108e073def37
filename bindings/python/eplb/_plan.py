"""A solved placement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ._arrays import Floats, Ints
from ._report import Report
from ._uncopyable import Uncopyable


@dataclass(frozen=True, eq=False)
class Plan:
    """A solved placement; it stays as it is when its context solves again or is closed.

    Attributes:
        physical_to_logical: int64 [L,S], the expert in each slot. GPU g owns slots g*S/G to (g+1)*S/G - 1.
        replica_count: int64 [L,E].
        replica_slots: int64 [L,S], the slots of expert 0 in replica order, then those of expert 1, and so on.
        gpu_load: float64 [L,G], in the weights' unit.
        report: how good it is.
        max_replicas: the width of logical_to_physical: the cap that was given, else S - E + 1.
    """

    physical_to_logical: Ints = field(repr=False)
    replica_count: Ints = field(repr=False)
    replica_slots: Ints = field(repr=False)
    gpu_load: Floats = field(repr=False)
    report: Report
    max_replicas: int

    @cached_property
    def logical_to_physical(self) -> Ints:
        """int64 [L,E,X]: the slots of each expert in replica order, the original first, then -1. Built when read."""
        return expand_replica_slots(self.replica_slots, self.replica_count, self.max_replicas)

    @property
    def imbalance(self) -> Floats:
        """float64 [L]: largest over mean GPU load."""
        return self.report.imbalance

    @property
    def bound(self) -> Floats:
        """float64 [L]: no placement has a largest GPU load below this, in the weights' unit."""
        return self.report.bound

    @property
    def duplicates(self) -> Ints:
        """int64 [L]: slots whose expert already sits in a lower slot of the same GPU."""
        return self.report.layer_duplicates


class DevicePlan(Uncopyable, Plan):
    """A placement that was solved on a device: a Plan whose maps are arrays of that device.

    physical_to_logical, logical_to_physical and replica_count are there at once, in the order of the stream of the
    solve, and stay as they are; but what was captured in a graph is written anew by every replay.

    replica_slots, gpu_load, imbalance, bound and duplicates, on the device too, are fetched when they are first read,
    on the stream that is then current. So is report, which comes to the host and waits for the device: it raises
    InvalidWeight if the device found a bad weight, whose layer was placed as a layer of zeros. These need the context
    as the solve left it: when that is closed, has taken other weights or has solved again, they raise InvalidState. Of
    a graph they tell about the last replay.
    """

    instead = "its context fetches what was not read yet; copy the maps that you need with the library of the arrays"

    def __init__(self, maps: dict[str, Any], max_replicas: int, fetch: Callable[[str], Any], replayed: bool) -> None:
        # Frozen classes fill themselves so; what is missing comes from __getattr__.
        vars(self).update(maps, max_replicas=max_replicas, _fetch=fetch, _fetched={}, _replayed=replayed)

    def __getattr__(self, name: str) -> Any:
        if name not in ("replica_slots", "gpu_load", "report"):
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return self._later(name)

    def __copy__(self) -> DevicePlan:
        # As tuples do: it cannot change.
        return self

    def _later(self, name: str) -> Any:
        """Fetched once; what replays write anew each time it is asked for."""
        if name in self._fetched:
            return self._fetched[name]
        value = self._fetch(name)
        if not self._replayed:
            self._fetched[name] = value
        return value

    @property
    def imbalance(self) -> Any:
        """float64 [L]: largest over mean GPU load."""
        return self._later("imbalance")

    @property
    def bound(self) -> Any:
        """float64 [L]: no placement has a largest GPU load below this, in the weights' unit."""
        return self._later("bound")

    @property
    def duplicates(self) -> Any:
        """int64 [L]: slots whose expert already sits in a lower slot of the same GPU."""
        return self._later("duplicates")

    def __repr__(self) -> str:
        # Not the report, which would wait.
        return f"DevicePlan(max_replicas={self.max_replicas})"


def expand_replica_slots(replica_slots: Ints, replica_count: Ints, width: int) -> Ints:
    """logical_to_physical [L,E,width] from the slots of all experts one after the other."""
    expanded = np.full((*replica_count.shape, width), -1, np.int64)
    # True where a replica is; in C order these places are those of replica_slots.
    expanded[np.arange(width) < replica_count[..., np.newaxis]] = replica_slots.ravel()
    return expanded
