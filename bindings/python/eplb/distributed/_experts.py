"""The parameters of one rank's slots, and memory for experts on their way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from .._library import invalid_argument

# The tensors of one expert.
Rows: TypeAlias = list[torch.Tensor]
_Layout: TypeAlias = tuple[tuple[str, torch.dtype, tuple[int, ...], torch.device], ...]


class Experts:
    """Slots by layer, and spare experts of the same types and shapes.

    Args:
        parameters: for each layer a list, or a dict by name, of tensors whose first dimension is the slot.
        layers: that are asked for; those of others are not looked at.
        num_layers, places: of the moves: layers, and slots of a rank.
    """

    def __init__(self, parameters: Sequence[Any], layers: Iterable[int], num_layers: int, places: int) -> None:
        if not hasattr(parameters, "__getitem__") or not hasattr(parameters, "__len__"):
            raise invalid_argument(f"parameters is a {type(parameters).__name__}, must be a list of layers")
        if len(parameters) != num_layers:
            raise invalid_argument(f"parameters has {len(parameters)} layers, must have the {num_layers} of moves")
        self._tensors: dict[int, Rows] = {}
        self._layouts: dict[int, _Layout] = {}
        self._spare: dict[_Layout, list[Rows]] = {}
        for layer in layers:
            named = _named(layer, parameters[layer])
            for name, tensor in named:
                _check(f"parameters[{layer}][{name}]", tensor, places)
            self._tensors[layer] = [tensor.detach() for _, tensor in named]
            self._layouts[layer] = tuple((name, each.dtype, tuple(each.shape[1:]), each.device) for name, each in named)

    def layout(self) -> str:
        """What must be the same on all ranks; devices need not."""
        return repr([(layer, [part[:3] for part in layout]) for layer, layout in self._layouts.items()])

    def rows(self, layer: int, slot: int) -> Rows:
        """What the slot holds; writing to these writes to the parameters."""
        return [tensor[slot] for tensor in self._tensors[layer]]

    def reserve(self, layer: int, count: int) -> None:
        """Allocates spare experts, so that as many can be taken at once."""
        spare = self._spare.setdefault(self._layouts[layer], [])
        while len(spare) < count:
            spare.append([torch.empty_like(row) for row in self.rows(layer, 0)])

    def take(self, layer: int) -> Rows:
        return self._spare[self._layouts[layer]].pop()

    def give_back(self, layer: int, rows: Rows) -> None:
        self._spare[self._layouts[layer]].append(rows)


def copy(source: Rows, target: Rows) -> None:
    for each, into in zip(source, target, strict=True):
        into.copy_(each)


def _named(layer: int, tensors: Any) -> list[tuple[str, torch.Tensor]]:
    if isinstance(tensors, Mapping):
        # Ranks may have put them in in different orders.
        return sorted((repr(name), tensor) for name, tensor in tensors.items())
    if isinstance(tensors, torch.Tensor) or not isinstance(tensors, Iterable):
        raise invalid_argument(f"parameters[{layer}] is a {type(tensors).__name__}, must be a list or dict of tensors")
    return [(str(number), tensor) for number, tensor in enumerate(tensors)]


def _check(argument: str, tensor: Any, places: int) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise invalid_argument(f"{argument} is a {type(tensor).__name__}, must be a torch.Tensor")
    if tensor.ndim == 0 or tensor.shape[0] != places:
        raise invalid_argument(f"{argument} has the shape {list(tensor.shape)}, must begin with {places}: one per slot")
