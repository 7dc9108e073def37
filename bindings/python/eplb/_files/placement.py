"""A placement that came from a file, or goes into one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Ints, placement_to_host
from .._library import integer, invalid_argument
from .._plan import Plan
from .._shown import Showing, Shown
from .values import MOST_EXPERTS, name_layers, numbers_of


class Placement(Showing):
    """Which expert is in each slot, of which layers of a model, on how many GPUs. Fit for evaluate and rebalance.

    Args:
        physical_to_logical: [L,S], the expert in each slot, -1 where none is; or a plan.
        layers: the model's number of each layer, ascending. None: not known, 0, 1, 2, ... are taken.
        num_gpus: GPUs, of which S is a multiple; None: not known.
        num_experts: experts of a layer, E; None: not known.
        has_dense_rows: there may be rows for layers without experts, as in SGLang's files.
        problem: what else a file of ours says of what the placement was made for.

    Attributes:
        physical_to_logical: int64 [L,S]. GPU g owns slots g*S/G to (g+1)*S/G - 1.
        layers: int64 [L].
        numbered: whether layers are the model's numbers, so that a layer can be found by its number.
        num_gpus, num_experts, has_dense_rows, problem: as above.

    Raises:
        InvalidArgument: values that do not fit each other.
    """

    physical_to_logical: Ints
    layers: Ints
    numbered: bool
    num_gpus: int | None
    num_experts: int | None
    has_dense_rows: bool
    problem: dict[str, Any]

    def __init__(
        self,
        physical_to_logical: Any,
        layers: Iterable[int] | None = None,
        num_gpus: int | None = None,
        num_experts: int | None = None,
        *,
        has_dense_rows: bool = False,
        problem: dict[str, Any] | None = None,
    ) -> None:
        slots = placement_to_host(physical_to_logical)
        if slots.size == 0:
            raise invalid_argument(f"physical_to_logical is {list(slots.shape)}, must have a layer and a slot at least")
        if num_gpus is not None and slots.shape[1] % integer("num_gpus", num_gpus, 1):
            raise invalid_argument(f"{slots.shape[1]} slots of a layer are no multiple of {num_gpus} GPUs")
        experts = MOST_EXPERTS if num_experts is None else integer("num_experts", num_experts, 1, MOST_EXPERTS)
        if num_experts is not None and len(above := np.argwhere(slots >= experts)):
            layer, slot = above[0].tolist()
            text = f"is {slots[layer, slot]}, but there are {num_experts} experts"
            raise invalid_argument(f"placement[layer {layer}, slot {slot}] {text}")
        self.physical_to_logical = slots
        self.numbered = layers is not None
        self.layers = np.arange(len(slots)) if layers is None else _numbers(layers, len(slots))
        self.num_gpus, self.num_experts = num_gpus, num_experts
        self.has_dense_rows, self.problem = has_dense_rows, dict(problem or {})

    @property
    def least_experts(self) -> int:
        """num_experts where that is known, else one more than the largest in a slot."""
        return int(self.physical_to_logical.max()) + 1 if self.num_experts is None else self.num_experts

    def select(self, layers: Iterable[int]) -> Placement:
        """The placement of the layers with these numbers, ascending.

        Raises:
            InvalidArgument: some are missing; they are named.
        """
        numbers = _numbers(layers)
        missing = np.setdiff1d(numbers, self.layers)
        if len(missing):
            raise invalid_argument(f"has no {name_layers(missing)}")
        rows = np.searchsorted(self.layers, numbers)
        return self._with(self.physical_to_logical[rows], numbers)

    def number(self, first_layer: int | None = None, layers: Iterable[int] | None = None) -> Placement:
        """The placement with the model's numbers for its layers.

        Args:
            first_layer: the number of the first layer with experts. Layers that are numbered keep their numbers;
                where there may be dense rows, those below it are left out.
            layers: the numbers of all layers instead; of layers that are numbered, those that are wanted.

        Raises:
            InvalidArgument: numbers that do not fit.
        """
        if layers is not None:
            if first_layer is not None:
                raise invalid_argument("first_layer and layers say the same: give one of them")
            return self.select(layers) if self.numbered else self._with(self.physical_to_logical, _numbers(layers))
        if first_layer is None:
            return self
        first = integer("first_layer", first_layer, 0, 2**31 - 1)
        if not self.numbered:
            return self._with(self.physical_to_logical, first + self.layers)
        kept = self.layers >= first
        if not kept.any() or not (kept.all() or self.has_dense_rows):
            found = name_layers(self.layers)
            raise invalid_argument(f"first_layer is {first}, but the placement is of {found}")
        return self._with(self.physical_to_logical[kept], self.layers[kept])

    def _with(self, slots: Ints, layers: Iterable[int]) -> Placement:
        return Placement(slots, layers, self.num_gpus, self.num_experts, problem=self.problem)

    def __repr__(self) -> str:
        count, slots = self.physical_to_logical.shape
        gpus = "?" if self.num_gpus is None else self.num_gpus
        return f"Placement({count} layers, {self.least_experts} experts on {slots} slots of {gpus} GPUs)"

    def _show(self) -> Shown:
        layers, slots = self.physical_to_logical.shape
        replicas = max(int(np.bincount(row[row >= 0], minlength=1).max()) for row in self.physical_to_logical)
        facts = {
            "layers": f"{layers}: {numbers_of(self.layers)}" if self.numbered else f"{layers}, without numbers",
            "experts": f"{self.least_experts}{' or more' if self.num_experts is None else ''}",
            "slots of a layer": str(slots),
            "GPUs": "not known" if self.num_gpus is None else str(self.num_gpus),
            "most replicas of an expert": str(replicas),
            "empty slots": str((self.physical_to_logical < 0).sum()),
            **{name: str(value) for name, value in self.problem.items()},
        }
        return Shown("Placement", rows=list(facts.items()))


@dataclass(frozen=True)
class Known:
    """What a reader may need where its file does not say it."""

    num_gpus: int | None = None
    num_experts: int | None = None
    layers: Sequence[int] | None = None


@dataclass(frozen=True)
class Wishes:
    """What a writer may need and the placement does not say."""

    num_hidden_layers: int | None = None
    layer_updates_per_iter: int = 0
    plan: Plan | None = None


def _numbers(layers: Iterable[int], count: int | None = None) -> Ints:
    numbers = np.array([integer(f"layers[{row}]", each, 0, 2**31 - 1) for row, each in enumerate(layers)], np.int64)
    if count is not None and len(numbers) != count:
        raise invalid_argument(f"layers has {len(numbers)} numbers, but the placement has {count} layers")
    falls = np.nonzero(np.diff(numbers) <= 0)[0]
    if len(falls):
        at = int(falls[0])
        raise invalid_argument(f"layers must ascend, but {numbers[at + 1]} comes after {numbers[at]}")
    return numbers
