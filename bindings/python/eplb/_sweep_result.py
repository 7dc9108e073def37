"""What a sweep finds: a row for each size, the smallest that is enough, and sentences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from ._files.values import counted
from ._memory import memory_cells, memory_columns, memory_sentences
from ._shown import Drawing, Shown
from ._tables import MOST_WINDOWS

# Within this of the best of its GPUs, nodes and groups, a size is enough.
_ENOUGH = 1.01
_COLUMNS = ("", "redundant", "slots per GPU", "imbalance: mean", "worst layer", "bound")
_COLUMNS_OF_WINDOWS = ("in a window: mean", "worst")


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
        enough: whether it is the smallest size within 1 % of the best imbalance of the same GPUs, nodes and groups.
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
    enough: bool = False

    @property
    def where(self) -> tuple[int, int, int]:
        """What sizes are compared on: GPUs, nodes and groups."""
        return self.num_gpus, self.num_nodes, self.num_groups


class Sweep(Drawing, Sequence[SweepRow]):
    """Rows by GPUs, nodes, groups and size, all ascending. It is printed, and shown in a notebook, as a table of them;
    its picture has the imbalance by slots per GPU, and the bound.

    Attributes:
        num_layers, num_experts, num_windows: of the weights.
        figure: the field of a row that was balanced and that says what is enough: "imbalance_mean", or "windows_mean"
            for the objective windows.
        expert_mib: memory of an expert in one layer, in MiB, as it was given.
        left_out: why combinations are not legal, and how many for each reason.
    """

    def __init__(
        self,
        rows: Iterable[SweepRow],
        *,
        num_layers: int,
        num_experts: int,
        num_windows: int = 1,
        figure: str = "imbalance_mean",
        expert_mib: float | None = None,
        left_out: dict[str, int] | None = None,
    ) -> None:
        self.num_layers, self.num_experts, self.num_windows = num_layers, num_experts, num_windows
        self.figure, self.expert_mib, self.left_out = figure, expert_mib, left_out or {}
        self._rows = tuple(_with_enough(list(rows), figure))

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
    def enough(self) -> list[SweepRow]:
        """The smallest size that is enough, for each GPUs, nodes and groups."""
        return [row for row in self if row.enough]

    def table(self) -> list[tuple[str, ...]]:
        """The names of the columns, then the rows, as they are shown."""
        # Of more windows, only their sum is known.
        in_windows = 1 < self.num_windows <= MOST_WINDOWS
        columns = (*_COLUMNS, *(_COLUMNS_OF_WINDOWS if in_windows else ()), *memory_columns(self.expert_mib), "")
        return [columns, *(_cells(row, in_windows) for row in self)]

    def sentences(self) -> list[str]:
        """What it comes to for each GPUs, nodes and groups, what was left out, and what the memory is of."""
        found = [_verdict(rows, self.figure) for rows in self.by_place()]
        left_out = [_left_out(self.left_out, len(self))] if self.left_out else []
        return [*found, *left_out, *memory_sentences(self.num_layers, self.expert_mib)]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, strings and lists, ready for JSON."""
        rows = [dataclasses.asdict(row) for row in self]
        names = ("num_layers", "num_experts", "num_windows", "figure", "expert_mib")
        return {**{name: getattr(self, name) for name in names}, "rows": rows, "left_out": dict(self.left_out)}

    def __repr__(self) -> str:
        sizes = "; ".join(f"{row.num_slots} slots on {place_name(row.where)}" for row in self.enough)
        return f"Sweep({counted(len(self), 'size')}; the smallest that are enough: {sizes})"

    def _about(self) -> str:
        windows = f", {self.num_windows} windows" if self.num_windows > 1 else ""
        weights = f"{counted(self.num_layers, 'layer')}, {self.num_experts} experts{windows}"
        return f"{weights}; {counted(len(self), 'size')}"

    def _show(self) -> Shown:
        columns, *rows = self.table()
        return Shown(self._title(), columns, rows, self.sentences())


def _with_enough(rows: list[SweepRow], figure: str) -> list[SweepRow]:
    best: dict[tuple[int, ...], float] = {}
    for row in rows:
        best[row.where] = min(best.get(row.where, math.inf), getattr(row, figure))
    found: dict[tuple[int, ...], SweepRow] = {}
    for row in rows:
        if getattr(row, figure) <= _ENOUGH * best[row.where]:
            found.setdefault(row.where, row)
    return [dataclasses.replace(row, enough=row is found[row.where]) for row in rows]


def _cells(row: SweepRow, in_windows: bool) -> tuple[str, ...]:
    windows = (row.windows_mean, row.windows_worst) if in_windows else ()
    figures = [f"{figure:.4f}" for figure in (row.imbalance_mean, row.imbalance_worst, row.bound_mean, *windows)]
    sizes = place_name(row.where), str(row.redundant), str(row.slots_per_gpu)
    return (*sizes, *figures, *memory_cells(row.gib_per_gpu), "<- enough" if row.enough else "")


def place_name(where: tuple[int, int, int]) -> str:
    """GPUs, nodes and groups in words."""
    parts = [(where[0], "GPU"), *(pair for pair in zip(where[1:], ("node", "group"), strict=True) if pair[0] > 1)]
    return ", ".join(counted(*part) for part in parts)


def _verdict(rows: list[SweepRow], figure: str) -> str:
    first, enough = rows[0], next(row for row in rows if row.enough)
    best = min(rows, key=lambda row: float(getattr(row, figure)))
    was, now, lowest = (f"{getattr(row, figure):.3f}" for row in (first, enough, best))
    head = f"{place_name(enough.where)}: {enough.slots_per_gpu} slots per GPU ({enough.redundant} redundant) "
    more = f"; {best.redundant} redundant reach {lowest}" if lowest != now else ""
    if enough is first:
        return f"{head}are as good as more, with an imbalance of {now}{more}{_of_homes(rows)}."
    cost = ""
    if enough.gib_per_gpu is not None and first.gib_per_gpu is not None:
        cost = f" for {enough.gib_per_gpu - first.gib_per_gpu:.2f} GiB more per GPU"
    return f"{head}take the imbalance from {was} with {first.redundant} to {now}{cost}{more}{_of_homes(rows)}."


def _of_homes(rows: list[SweepRow]) -> str:
    """What no number of slots can mend: the heaviest node, where whole groups stay on nodes."""
    limit = min(row.bound_mean for row in rows)
    if rows[0].policy != "hierarchical" or min(rows[0].where[1:]) == 1 or limit <= _ENOUGH:
        return ""
    return f"; with whole groups on nodes no size gets below {limit:.3f}, with the policies soft and global they do"


def _left_out(reasons: dict[str, int], kept: int) -> str:
    count = sum(reasons.values())
    why = "; ".join(f"{reason} ({number})" if len(reasons) > 1 else reason for reason, number in reasons.items())
    return f"{count} of {count + kept} combinations are left out: {why}."
