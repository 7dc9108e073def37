"""Transfers as one rank sees them, and whether they may write into slots at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._arrays import Array
from .._library import invalid_argument

STORAGE = -1


class Transfer(NamedTuple):
    """One slot gets its contents. Slots are counted from 0 on each rank."""

    round: int
    expert: int
    target: int  # a rank of the group, as source
    slot: int
    source: int  # STORAGE: it is reloaded
    source_slot: int
    cycle: int  # -1: none
    opens: bool  # in place, what the slot holds is needed later, when the cycle closes
    closes: bool  # in place, it gets what was saved


def transfers_of(table: Array, rank: int, gpus: tuple[int, ...], places: int) -> dict[int, list[Transfer]]:
    """What a rank sends and receives, by layer and round; gpus has the GPU of each rank, with places slots."""
    rank_of = {gpu: number for number, gpu in enumerate(gpus)}
    opens, closes = _ends_of_cycles(table)
    mine = (table["gpu"] == gpus[rank]) | (table["source_gpu"] == gpus[rank])
    found: dict[int, list[Transfer]] = {}
    for row, first, last in zip(table[mine].tolist(), opens[mine].tolist(), closes[mine].tolist(), strict=True):
        layer, expert, gpu, slot, source_gpu, source_slot, _, number, cycle = row
        source, source_slot = (STORAGE, -1) if source_gpu < 0 else (rank_of[source_gpu], source_slot % places)
        transfer = Transfer(number, expert, rank_of[gpu], slot % places, source, source_slot, cycle, first, last)
        found.setdefault(layer, []).append(transfer)
    return found


def check_ranks(table: Array, gpus: tuple[int, ...]) -> None:
    """Every GPU that sends or receives must be a rank."""
    known = np.isin(table["gpu"], gpus) & (np.isin(table["source_gpu"], gpus) | (table["source_gpu"] < 0))
    strangers = table[~known]
    if len(strangers):
        row = strangers[0]
        origin = "storage" if row["source_gpu"] < 0 else f"GPU {row['source_gpu']}"
        raise invalid_argument(
            f"moves of layer {row['layer']} bring expert {row['expert']} from {origin} to GPU {row['gpu']}, but the "
            f"ranks of the group are the GPUs {', '.join(map(str, gpus))}: plan with -1 in current for what cannot be "
            "read, and with a cluster that has no slots on GPUs that are gone"
        )


def check_in_place(table: Array, layers: int, slots: int) -> None:
    """No slot may be written before, or in the round of, its last reading, unless its cycle saves what it held."""
    opens, closes = _ends_of_cycles(table)
    never = np.iinfo(np.int32).max
    written = np.full((layers, slots), never)
    written[table["layer"], table["slot"]] = table["round"]
    saved = np.full((layers, slots), -1)
    saved[table["layer"][opens], table["slot"][opens]] = table["group"][opens]
    read = table["source_slot"] >= 0
    layer, source = table["layer"], np.maximum(table["source_slot"], 0)
    late = read & (table["round"] >= written[layer, source]) & ~(closes & (saved[layer, source] == table["group"]))
    if late.any():
        row = table[late][0]
        raise invalid_argument(
            f"moves cannot be carried out in place: in layer {row['layer']}, slot {row['source_slot']} is written in "
            f"round {written[row['layer'], row['source_slot']]} and read in round {row['round']}; plan them with "
            "transfer_order='in_place'"
        )


def _ends_of_cycles(table: Array) -> tuple[Any, Any]:
    """Which transfers open a cycle, being its first, and which close it, by reading the slot that was written first."""
    in_cycle = np.flatnonzero(table["group"] >= 0)
    opens, closes = np.zeros(len(table), bool), np.zeros(len(table), bool)
    # By layer and round already, so the first of each is the one that is written first.
    keys = np.stack([table["layer"][in_cycle], table["group"][in_cycle]])
    _, first, which = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    opens[in_cycle[first]] = True
    closes[in_cycle] = table["source_slot"][in_cycle] == table["slot"][in_cycle[first]][which.ravel()]
    return opens, closes
