"""Maps that engines make of a placement, and loads that they count by slot."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import Array, Ints, current_to_host, placement_to_host, to_host
from ._errors import InvalidPlacement
from ._library import STATUSES, integer, invalid_argument, value_of

_ORDERS = {"ascending": 0, "rank": 1}


def maps_of(
    physical_to_logical: Any, num_experts: int, *, order: str = "ascending", num_gpus: int | None = None
) -> tuple[Any, Any, Any]:
    """What follows from a placement: the slots of each expert, how many they are, and each slot's number among them.

    Args:
        physical_to_logical: integers [L,S], the expert in each slot, -1 in those that are empty; or a plan.
        num_experts: E.
        order: how an expert's slots are ordered: "ascending", by number, which is GPU by GPU; or "rank", by place on
            the GPU first and by GPU then.
        num_gpus: GPUs that the slots are on; only order="rank" needs it.

    Returns:
        slots int64 [L,E,X]: those of each expert, then -1, where X is the largest count; counts int64 [L,E]; and rank
        int64 [L,S]: slots[layer, expert, rank[layer, slot]] is slot, and -1 in empty slots. All of the kind of
        physical_to_logical.

    Raises:
        InvalidPlacement: an id that is no expert, naming layer and slot.
        InvalidArgument: an order that there is not; num_gpus missing, or no divisor of the slots.
    """
    _, deliver = to_host(
        "physical_to_logical", getattr(physical_to_logical, "physical_to_logical", physical_to_logical)
    )
    placement, experts = placement_to_host(physical_to_logical), integer("num_experts", num_experts, 1)
    check_experts(placement, experts, "physical_to_logical")
    by_rank = value_of(_ORDERS, "order", order) == _ORDERS["rank"]
    listed = _slots_by_place(placement.shape[1], num_gpus) if by_rank else np.arange(placement.shape[1])
    return tuple(deliver(each) for each in _maps(placement, experts, listed))


def loads_of(slot_loads: Any, placement: Any, num_experts: int) -> Any:
    """Loads of experts, from loads that were counted by slot.

    Args:
        slot_loads: numbers [..., L, S], what each slot has served; leading dimensions are windows, ranks, or both.
        placement: integers [L,S] or [S], under which that was counted, -1 in empty slots, whose loads are left out; or
            a plan.
        num_experts: E.

    Returns:
        [..., L, E], the sum over the slots of each expert: int64 for integers, float64 for others, of the kind of
        slot_loads and on its device.

    Raises:
        InvalidPlacement: an id that is no expert, naming layer and slot.
        InvalidArgument: shapes that do not fit each other; loads that are no numbers.
    """
    loads, deliver = to_host("slot_loads", slot_loads)
    if loads.ndim < 2 or loads.dtype.kind not in "iuf":
        found = f"{loads.dtype.name} of {loads.ndim} dimensions"
        raise invalid_argument(f"slot_loads is {found}, must be numbers [..., layers, slots]")
    experts = integer("num_experts", num_experts, 1)
    measured_under = current_to_host(placement, loads.shape[-2], "placement")
    if measured_under.shape != loads.shape[-2:]:
        shapes = f"slot_loads is {list(loads.shape)} and placement is {list(measured_under.shape)}"
        raise invalid_argument(f"{shapes}: they must have the same layers and slots")
    check_experts(measured_under, experts, "placement")
    return deliver(_sum_by_expert(loads, measured_under, experts))


def check_experts(placement: Array, num_experts: int, argument: str) -> None:
    """Raises InvalidPlacement if an id is neither -1 nor an expert."""
    wrong = np.argwhere((placement < -1) | (placement >= num_experts))
    if len(wrong):
        layer, slot = wrong[0]
        found = f"{argument}[{layer}, {slot}] is {placement[layer, slot]}"
        text = f"{found}, must be an expert, 0 to {num_experts - 1}, or -1"
        raise InvalidPlacement(text, STATUSES["invalid_placement"], "EPLB_INVALID_PLACEMENT")


def _slots_by_place(num_slots: int, num_gpus: Any) -> Ints:
    if num_gpus is None:
        raise invalid_argument("num_gpus is missing: order 'rank' goes by the place of a slot on its GPU")
    gpus = integer("num_gpus", num_gpus, 1)
    if num_slots % gpus:
        raise invalid_argument(f"num_gpus is {gpus}, must divide the {num_slots} slots")
    ordered: Ints = np.arange(num_slots).reshape(gpus, -1).T.ravel()
    return ordered


def _maps(placement: Array, experts: int, listed: Ints) -> tuple[Ints, Ints, Ints]:
    """slots, counts and rank, where slots are taken in the order in which they are listed."""
    layers, num_slots = placement.shape
    rows = np.arange(layers)[:, np.newaxis]
    # Empty slots are the last expert's, which is then cut off.
    expert = np.where(placement >= 0, placement, experts)[:, listed]
    order = np.argsort(expert, axis=1, kind="stable")
    count = np.zeros((layers, experts + 1), np.int64)
    np.add.at(count, (rows, expert), 1)
    expert_in_order = np.take_along_axis(expert, order, axis=1)
    first = np.cumsum(count, axis=1) - count
    rank_in_order = np.arange(num_slots) - np.take_along_axis(first, expert_in_order, axis=1)
    slot_in_order = listed[order]
    slots = np.full((layers, experts + 1, max(1, count[:, :-1].max(initial=0), count[:, -1].max(initial=0))), -1)
    slots[rows, expert_in_order, rank_in_order] = slot_in_order
    rank = np.empty((layers, num_slots), np.int64)
    rank[rows, slot_in_order] = np.where(expert_in_order < experts, rank_in_order, -1)
    counts = np.ascontiguousarray(count[:, :-1])
    width = max(1, counts.max(initial=0))
    return np.ascontiguousarray(slots[:, :-1, :width]), counts, rank


def _sum_by_expert(loads: Array, placement: Array, experts: int) -> Array:
    layers, num_slots = placement.shape
    kind = np.float64 if loads.dtype.kind == "f" else np.int64
    flat = loads.reshape(-1, layers, num_slots)
    # A column more, for what empty slots count.
    sums = np.zeros((len(flat), layers, experts + 1), kind)
    rows, column = np.arange(layers)[:, np.newaxis], np.where(placement >= 0, placement, experts)
    for window, each in zip(sums, flat, strict=True):
        np.add.at(window, (rows, column), each)
    return np.ascontiguousarray(sums[..., :-1]).reshape(*loads.shape[:-1], experts)
