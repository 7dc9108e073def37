"""What a total of slots comes to, shared out over the layers by what each gains: a placement and its figures."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._arrays import Floats, Ints
from ._files.placement import Placement
from ._files.values import counted
from ._memory import gib_of, memory_cells, memory_columns, memory_sentences
from ._shown import Drawing, Shown


class EqualSlots(NamedTuple):
    """As many slots in each layer: their number, the imbalance [L], and its mean over layers with load."""

    num_slots: int
    imbalance: Floats
    imbalance_mean: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers and lists, ready for JSON."""
        return {**self._asdict(), "imbalance": self.imbalance.tolist()}


class Budget(Drawing, Placement):
    """A placement whose layers have different numbers of slots; the others are -1.

    Its table has it next to equal layers, its picture the slots and the imbalance of each layer.

    Attributes:
        total_slots: of all layers, that there might be.
        in_windows: whether each of several windows was balanced.
        expert_mib: memory of an expert in one layer, in MiB, as it was given.
        layer_slots: int64 [L], slots of each layer.
        gpu_totals: int64 [G], slots of each GPU over all layers; they differ by one at most.
        imbalance: float64 [L]; for the objective windows the mean over windows with load.
        imbalance_mean: over layers with load.
        layers_equal: what as many slots in each layer reach, as the total allows.
        all_equal: the same with as many on each GPU, too, as engines have it; None where the total does not allow it.
    """

    num_gpus: int
    num_experts: int
    total_slots: int
    in_windows: bool
    expert_mib: float | None
    layer_slots: Ints
    gpu_totals: Ints
    imbalance: Floats
    imbalance_mean: float
    layers_equal: EqualSlots
    all_equal: EqualSlots | None

    @property
    def used_slots(self) -> int:
        """Of all layers."""
        return int(self.layer_slots.sum())

    @property
    def gib_per_gpu(self) -> float | None:
        """Memory of the experts of all layers on the GPU that has most; None if expert_mib was not given."""
        return self._gib(int(self.gpu_totals.max()))

    def table(self) -> list[tuple[str, ...]]:
        """The names of the columns, then the rows, as they are shown."""
        figure = "in a window: mean" if self.in_windows else "imbalance: mean"
        columns = ("", "slots of a layer", "of all layers", figure, "worst layer", *memory_columns(self.expert_mib))
        layers, rows = len(self.layer_slots), [columns]
        placed = [("by gain", _range(self.layer_slots), self.used_slots, self.imbalance_mean, self.imbalance)]
        for name, equal in {"layers equal": self.layers_equal, "layers and GPUs equal": self.all_equal}.items():
            if equal is not None:
                total = equal.num_slots * layers
                placed.append((name, str(equal.num_slots), total, equal.imbalance_mean, equal.imbalance))
        for name, slots, total, mean, each in placed:
            memory = memory_cells(self._gib(-(-total // self.num_gpus)))
            rows.append((name, slots, str(total), f"{mean:.4f}", f"{each.max():.4f}", *memory))
        return rows

    def sentences(self) -> list[str]:
        """How many slots are used, and what the memory is of."""
        used, layers = self.used_slots, len(self.layer_slots)
        left = self.total_slots - used
        rest = f"; no size that was tried gains by the other {left}" if left else ""
        on_each = _range(self.gpu_totals, "or")
        said = f"{used} slots, {used / layers:.1f} in a layer on average, {on_each} on a GPU{rest}."
        return [said, *memory_sentences(layers, self.expert_mib)]

    def to_dict(self) -> dict[str, Any]:
        """All but the placement as plain Python numbers, strings and lists, ready for JSON."""
        return {
            **{name: getattr(self, name) for name in ("total_slots", "used_slots", "num_gpus", "num_experts")},
            **self.problem,
            "layer_slots": self.layer_slots.tolist(),
            "gpu_totals": self.gpu_totals.tolist(),
            "expert_mib": self.expert_mib,
            "gib_per_gpu": self.gib_per_gpu,
            "imbalance": self.imbalance.tolist(),
            "imbalance_mean": self.imbalance_mean,
            "layers_equal": self.layers_equal.to_dict(),
            "all_equal": None if self.all_equal is None else self.all_equal.to_dict(),
        }

    def __repr__(self) -> str:
        equal = self.layers_equal
        return (
            f"Budget({self._about()}, {_range(self.layer_slots)} slots of a layer; imbalance "
            f"{self.imbalance_mean:.4f}, {equal.imbalance_mean:.4f} with {equal.num_slots} in each)"
        )

    def _about(self) -> str:
        layers, gpus = counted(len(self.layer_slots), "layer"), counted(self.num_gpus, "GPU")
        return f"{layers}, {self.num_experts} experts on {gpus}"

    def _show(self) -> Shown:
        columns, *rows = self.table()
        return Shown(self._title(), columns, rows, self.sentences())

    def _gib(self, slots: int) -> float | None:
        return None if self.expert_mib is None else gib_of(slots, self.expert_mib)


def _range(counts: Ints, between: str = "to") -> str:
    least, most = counts.min(), counts.max()
    return f"{least}" if least == most else f"{least} {between} {most}"
