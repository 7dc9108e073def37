"""Loads under names, as engines write them: in JSON, JSON lines, .npz and .pt files all the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Array
from .._errors import FileError
from .load_labels import Labels
from .load_parts import Part, check_sums, experts_from_slots, first_numbers, numbers_of, windows_of


class _Field(NamedTuple):
    """A name of loads; its shapes are [L,E] and [T,L,E], or [L,P] and [T,L,P] where it counts slots.

    per_slot: of each slot, not of each expert.
    absolute, ring: as in Part.
    """

    name: str
    kind: str
    per_slot: bool = False
    absolute: bool = False
    ring: bool = False


_FIELDS = (
    _Field("logical_count", "SGLang's logical_count", absolute=True, ring=True),
    _Field("logical_expert_load", "vLLM's logical_expert_load"),
    _Field("logical_load", "vLLM's logical_load"),
    _Field("global_physical_count", "SGLang's global_physical_count", per_slot=True, absolute=True),
    _Field("expert_load_pass", "vLLM's expert_load_pass", per_slot=True),
    _Field("counts", "counts"),
    _Field("weights", "weights"),
)
NAMES = tuple(field.name for field in _FIELDS)
_OURS = ("counts", "weights")
PLACEMENTS = ("physical_to_logical_map", "last_physical_to_logical_map", "physical_to_logical")
# And others by which placements alone are recognised.
_OF_PLACEMENTS = (*PLACEMENTS, "layer_list", "initial_global_assignments", "num_redundant_experts_per_rank")


def read_named(where: str, content: Mapping[str, Any], rank: int | None, labels: Labels) -> Part:
    """Loads of the first known name.

    Raises:
        FileError: none is there, or it is not what its name says.
    """
    if "records" in content:
        return _records(where, content)
    field = next((field for field in _FIELDS if field.name in content), None)
    if field is None:
        raise FileError(f"{where}: {_what_it_holds(content)}")
    place = f"{where}: {field.name}"
    value = _unwrapped(place, content[field.name])
    if field.per_slot:
        experts = _integer(where, content, "num_logical_experts")
        value = experts_from_slots(place, windows_of(place, value), _placement(where, content), experts)
    if str(content.get("logical_count_layout")) == "rank_layer_expert":
        # Three dimensions may mean ranks, which are shares of one window.
        value = _sum_of_ranks(place, value)
    part = read_bare(place, field.kind, value, labels if field.name in _OURS else Labels(False, False))
    step = _integer(where, content, "step_idx")
    moments = () if step is None else (step,)
    ring = field.ring and len(part.counts) > 1
    return replace(part, where=where, absolute=field.absolute, rank=rank, moments=moments, ring=ring)


def read_bare(where: str, kind: str, value: Any, labels: Labels) -> Part:
    """Loads [L,E] or [T,L,E] without a name.

    Raises:
        FileError: another shape, no numbers, or what looks like labels.
    """
    array = numbers_of(where, value)
    if array.ndim == 2 and array.size:
        array, layers = labels.of_array(where, array)
        return Part(where, kind, array[np.newaxis], layers, numbered=labels.number(layers))
    counts = windows_of(where, array)
    return Part(where, kind, counts, first_numbers(counts.shape[1]))


def _what_it_holds(content: Mapping[str, Any]) -> str:
    names = ", ".join(str(name)[:40] for name in list(content)[:6]) or "none"
    if any(name in content for name in _OF_PLACEMENTS):
        return f"holds a placement, not loads: {names}"
    return f"must hold loads called {', '.join(NAMES[:-1])} or {NAMES[-1]}, but holds: {names}"


def _unwrapped(place: str, value: Any) -> Any:
    """An array that is written as its shape and a flat list of values is given its shape."""
    if not isinstance(value, dict):
        return value
    shape, array = (numbers_of(place, value.get(name, [])) for name in ("shape", "value"))
    if shape.ndim != 1 or shape.dtype != np.int64 or (shape < 0).any() or math.prod(shape.tolist()) != array.size:
        raise FileError(f"{place}: is a mapping, must be an array, or have a shape and a value of that shape")
    return array.reshape(shape)


def _integer(where: str, content: Mapping[str, Any], name: str) -> int | None:
    if content.get(name) is None:
        return None
    value = numbers_of(f"{where}: {name}", content[name])
    if value.size != 1 or value.dtype != np.int64:
        raise FileError(f"{where}: {name} must be an integer")
    return int(value.item())


def _placement(where: str, content: Mapping[str, Any]) -> Any:
    name = next((name for name in PLACEMENTS if name in content), None)
    if name is None:
        raise FileError(f"{where}: has loads of slots, but no {PLACEMENTS[0]} that says which expert is in a slot")
    return _unwrapped(f"{where}: {name}", content[name])


def _sum_of_ranks(place: str, value: Any) -> Array:
    shares = windows_of(place, value)
    check_sums(place, list(shares))
    total: Array = shares.sum(axis=0)
    return total


def _records(where: str, content: Mapping[str, Any]) -> Part:
    """SGLang's per_pass and per_token: what one rank did in each pass, by slots."""
    records = content["records"]
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise FileError(f"{where}: records must be a list of mappings that is not empty")
    placement = numbers_of(f"{where}: placement", _placement(where, content))
    passes: dict[int, Array] = {}
    ranks = set()
    for index, record in enumerate(records):
        place = f"{where}: record {index}"
        number = _integer(place, record, "forward_pass_id")
        slots = _slots_of_record(place, record, placement.shape)
        # A pass may be recorded in parts, one for each half of a batch.
        at = index if number is None else number
        passes[at] = passes[at] + slots if at in passes else slots
        ranks.add(_integer(place, record, "rank"))
    if len(ranks) > 1:
        raise FileError(f"{where}: has records of several ranks, must have those of one")
    counts = experts_from_slots(where, np.array(list(passes.values())), placement)
    layers = first_numbers(counts.shape[1])
    kind, rank, moments = "SGLang's records of passes", ranks.pop(), tuple(passes)
    if rank is not None and rank < 0:
        raise FileError(f"{where}: rank is {rank}, must be at least 0")
    return Part(where, kind, counts, layers, absolute=True, rank=rank, moments=moments)


def _slots_of_record(place: str, record: Mapping[str, Any], shape: tuple[int, ...]) -> Array:
    """Tokens of each slot [L,P], counted if the record has the slots of each token."""
    if "global_physical_count" in record:
        counts = numbers_of(f"{place}: global_physical_count", record["global_physical_count"])
        if counts.shape != shape:
            raise FileError(f"{place}: global_physical_count is {list(counts.shape)}, must be {list(shape)}")
        return counts
    if "topk_ids_of_layer" not in record:
        raise FileError(f"{place}: has neither global_physical_count nor topk_ids_of_layer")
    slots = numbers_of(f"{place}: topk_ids_of_layer", record["topk_ids_of_layer"])
    layers, width = shape if len(shape) == 2 else (-1, 0)
    if slots.dtype != np.int64 or slots.ndim != 3 or len(slots) != layers or (slots.size and slots.max() >= width):
        raise FileError(f"{place}: topk_ids_of_layer must be slots below {width} [{layers} layers, tokens, choices]")
    counted = [np.bincount(layer[layer >= 0], minlength=width) for layer in slots]
    return np.array(counted, np.int64)
