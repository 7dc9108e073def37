"""What eplb sweep --total-slots does: one total of slots for all layers, next to what equal layers would reach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _terminal
from ._budget import Budget, EqualSlots, plan_budget
from ._errors import FileError
from ._files.values import counted
from ._given_loads import GivenLoads
from ._loads import count_windows
from ._options import naming, print_json
from ._output_file import replacing
from ._sweep import gib_per_gpu

_COLUMNS = ("", "slots of a layer", "of all layers")


@dataclass(frozen=True)
class SharedSlots:
    """A budget of given loads, of at most total slots."""

    given: GivenLoads
    total: int
    budget: Budget

    def draw(self, path: Path) -> None:
        from .picture_of_sweep import draw_budget

        with replacing(path) as file:
            draw_budget(file, path.suffix.lower().lstrip("."), self.budget, self.given.layers, self.given.title)

    def show(self, expert_mib: float | None) -> None:
        """As a table and sentences, or as JSON."""
        if self.given.quiet:
            print_json({**self.given.to_dict(), **self._to_dict(expert_mib)})
            return
        layers, experts = self.given.weights.shape[-2:]
        where = counted(len(self.budget.gpu_totals), "GPU")
        _terminal.say(f"{self.given.short}: {counted(layers, 'layer')}, {experts} experts on {where}")
        rows = list(self._rows(expert_mib))
        in_windows = count_windows(self.given.weights) > 1 and self.budget.problem["objective"] == "windows"
        figures = ["in a window: mean" if in_windows else "imbalance: mean", "worst layer"]
        _terminal.show_table([*_COLUMNS, *figures, *(["GiB per GPU"] if expert_mib else [])], rows)
        _terminal.say(self._sentence())
        if expert_mib:
            _terminal.say(memory_counts(layers, expert_mib))

    def _rows(self, expert_mib: float | None) -> list[list[str]]:
        budget, layers, gpus = self.budget, len(self.budget.layer_slots), len(self.budget.gpu_totals)
        fewest, most = budget.layer_slots.min(), budget.layer_slots.max()
        slots = str(fewest) if fewest == most else f"{fewest} to {most}"
        placed = [("by gain", slots, int(budget.layer_slots.sum()), budget.imbalance_mean, budget.imbalance)]
        names = {"layers equal": budget.layers_equal, "layers and GPUs equal": budget.all_equal}
        for name, equal in names.items():
            if equal is not None:
                figures = equal.imbalance_mean, equal.imbalance
                placed.append((name, str(equal.num_slots), equal.num_slots * layers, *figures))
        return [
            [name, slots, str(total), f"{mean:.4f}", f"{each.max():.4f}", *_memory(-(-total // gpus), expert_mib)]
            for name, slots, total, mean, each in placed
        ]

    def _sentence(self) -> str:
        used, totals = int(self.budget.layer_slots.sum()), self.budget.gpu_totals
        on_each = str(totals.min()) if totals.min() == totals.max() else f"{totals.min()} or {totals.max()}"
        rest = f"; no size that was tried gains by the other {self.total - used}" if used < self.total else ""
        return (
            f"{used} slots, {used / len(self.budget.layer_slots):.1f} in a layer on average, {on_each} on a GPU{rest}."
        )

    def _to_dict(self, expert_mib: float | None) -> dict[str, Any]:
        budget = self.budget
        memory = {} if expert_mib is None else {"gib_per_gpu": _gib(int(budget.gpu_totals.max()), expert_mib)}
        return {
            "total_slots": self.total,
            "used_slots": int(budget.layer_slots.sum()),
            "num_gpus": budget.num_gpus,
            "num_experts": budget.num_experts,
            **budget.problem,
            "layer_slots": budget.layer_slots.tolist(),
            "gpu_totals": budget.gpu_totals.tolist(),
            **memory,
            "imbalance": budget.imbalance.tolist(),
            "imbalance_mean": budget.imbalance_mean,
            "layers_equal": _plain(budget.layers_equal),
            "all_equal": None if budget.all_equal is None else _plain(budget.all_equal),
        }


def check_budget(places: dict[str, list[int]], others: dict[str, Any]) -> None:
    """One number of GPUs, of nodes and of groups, and no option that is for a sweep."""
    for name, numbers in places.items():
        if len(numbers) > 1:
            raise FileError(f"--{name}: must be one number with --total-slots, is {', '.join(map(str, numbers))}")
    for option, value in others.items():
        if value is not None:
            raise FileError(f"{option} {value}: is not for --total-slots: leave out one of them")


def share_out_slots(
    given: GivenLoads, total: int, places: dict[str, int], options: dict[str, Any], slot_step: int | None
) -> SharedSlots:
    """Shares out a total of slots on the places: GPUs, nodes and groups."""
    asked: dict[str, Any] = {f"num_{name}": number for name, number in places.items()} | options
    with naming(given.name), _terminal.progress("solving", 1) as move:
        budget = plan_budget(
            given.weights,
            total,
            **asked,
            slot_step=slot_step,
            progress=lambda done, most: move(f"{done} of {most}", 1, most),
        )
    return SharedSlots(given, total, budget)


def memory_counts(layers: int, expert_mib: float) -> str:
    """What GiB per GPU are."""
    return f"GiB per GPU: all slots of {counted(layers, 'layer')}, {expert_mib:g} MiB each."


def _gib(slots: int, expert_mib: float) -> float:
    return gib_per_gpu(slots, 1, expert_mib)


def _memory(slots: int, expert_mib: float | None) -> list[str]:
    return [f"{_gib(slots, expert_mib):.2f}"] if expert_mib else []


def _plain(equal: EqualSlots) -> dict[str, Any]:
    return {**equal._asdict(), "imbalance": equal.imbalance.tolist()}
