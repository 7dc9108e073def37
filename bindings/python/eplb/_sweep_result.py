"""What a sweep finds: a row for each size, the smallest that is good enough, and sentences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from ._files.values import counted

# Within this of the best of its GPUs, nodes and groups, a size is good enough.
_GOOD_ENOUGH = 1.01


@dataclass(frozen=True)
class SweepRow:
    """A size and how good its placement is. "Mean" and "worst" are over layers.

    Attributes:
        num_gpus, num_nodes, num_groups: what the slots are on, and groups of experts.
        redundant: slots of a layer beyond one for each expert.
        num_slots, slots_per_gpu: of a layer.
        gib_per_gpu: memory of the experts of all layers on a GPU; None if expert_mib was not given.
        imbalance_mean, imbalance_worst, worst_layer, bound_mean: as in a Report.
        windows_mean, windows_worst: of the imbalance in single windows, as in a Report.
        policy: what was used, never "auto".
        knee: whether it is the smallest size within 1 % of the best imbalance of the same GPUs, nodes and groups.
    """

    num_gpus: int
    num_nodes: int
    num_groups: int
    redundant: int
    num_slots: int
    slots_per_gpu: int
    gib_per_gpu: float | None
    imbalance_mean: float
    imbalance_worst: float
    worst_layer: int
    bound_mean: float
    windows_mean: float
    windows_worst: float
    policy: str
    knee: bool = False

    @property
    def where(self) -> tuple[int, int, int]:
        """What sizes are compared on: GPUs, nodes and groups."""
        return self.num_gpus, self.num_nodes, self.num_groups


class Sweep(Sequence[SweepRow]):
    """Rows by GPUs, nodes, groups and size, all ascending.

    Attributes:
        num_layers: of the weights.
        figure: the field of a row that was balanced and that knees are found by: "imbalance_mean", or "windows_mean"
            for the objective windows.
        left_out: how often which rule makes a combination illegal.
    """

    def __init__(self, rows: Iterable[SweepRow], num_layers: int, figure: str, left_out: dict[str, int]) -> None:
        self.num_layers, self.figure, self.left_out = num_layers, figure, left_out
        self._rows = tuple(_with_knees(list(rows), figure))

    @overload
    def __getitem__(self, index: int) -> SweepRow: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SweepRow, ...]: ...
    def __getitem__(self, index: int | slice) -> SweepRow | tuple[SweepRow, ...]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def by_place(self) -> Iterator[list[SweepRow]]:
        """The rows of the same GPUs, nodes and groups."""
        for where in dict.fromkeys(row.where for row in self):
            yield [row for row in self if row.where == where]

    @property
    def knees(self) -> list[SweepRow]:
        """The smallest good size for each GPUs, nodes and groups."""
        return [row for row in self if row.knee]

    def sentences(self) -> list[str]:
        """What it comes to, one for each GPUs, nodes and groups, and one of what was left out."""
        found = [_verdict(rows, self.figure) for rows in self.by_place()]
        return [*found, _left_out(self.left_out, len(self))] if self.left_out else found

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, strings and lists, ready for JSON."""
        rows = [dataclasses.asdict(row) for row in self]
        return {"num_layers": self.num_layers, "figure": self.figure, "rows": rows, "left_out": dict(self.left_out)}

    def __repr__(self) -> str:
        good = "; ".join(f"{row.num_slots} slots on {place_name(row.where)}" for row in self.knees)
        return f"Sweep({len(self)} sizes; the smallest that are good enough: {good})"


def _with_knees(rows: list[SweepRow], figure: str) -> list[SweepRow]:
    best: dict[tuple[int, ...], float] = {}
    for row in rows:
        best[row.where] = min(best.get(row.where, math.inf), getattr(row, figure))
    found: dict[tuple[int, ...], SweepRow] = {}
    for row in rows:
        if getattr(row, figure) <= _GOOD_ENOUGH * best[row.where]:
            found.setdefault(row.where, row)
    return [dataclasses.replace(row, knee=row is found[row.where]) for row in rows]


def place_name(where: tuple[int, int, int]) -> str:
    """GPUs, nodes and groups in words."""
    parts = [(where[0], "GPU"), *(pair for pair in zip(where[1:], ("node", "group"), strict=True) if pair[0] > 1)]
    return ", ".join(counted(*part) for part in parts)


def _verdict(rows: list[SweepRow], figure: str) -> str:
    first, knee = rows[0], next(row for row in rows if row.knee)
    best = min(rows, key=lambda row: float(getattr(row, figure)))
    was, now, lowest = (f"{getattr(row, figure):.3f}" for row in (first, knee, best))
    head = f"{place_name(knee.where)}: {knee.slots_per_gpu} slots per GPU ({knee.redundant} redundant) "
    more = f"; {best.redundant} redundant reach {lowest}" if lowest != now else ""
    if knee is first:
        return f"{head}are as good as more, with an imbalance of {now}{more}{_of_homes(rows)}."
    cost = ""
    if knee.gib_per_gpu is not None and first.gib_per_gpu is not None:
        cost = f" for {knee.gib_per_gpu - first.gib_per_gpu:.2f} GiB more per GPU"
    return f"{head}take the imbalance from {was} with {first.redundant} to {now}{cost}{more}{_of_homes(rows)}."


def _of_homes(rows: list[SweepRow]) -> str:
    """What no number of slots can mend: the heaviest node, where whole groups stay on nodes."""
    limit = min(row.bound_mean for row in rows)
    if rows[0].policy != "hierarchical" or min(rows[0].where[1:]) == 1 or limit <= _GOOD_ENOUGH:
        return ""
    return f"; with whole groups on nodes no size gets below {limit:.3f}, with the policies soft and global they do"


def _left_out(rules: dict[str, int], kept: int) -> str:
    count = sum(rules.values())
    why = "; ".join(f"{rule} ({number})" if len(rules) > 1 else rule for rule, number in rules.items())
    return f"{count} of {count + kept} combinations are left out: {why}."
