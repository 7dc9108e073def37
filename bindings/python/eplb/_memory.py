"""Memory that the experts of a GPU take."""

from __future__ import annotations

from collections.abc import Sequence

from ._files.values import counted

COLUMN = "GiB per GPU"


def gib_of(slots: int, expert_mib: float) -> float:
    """GiB of that many slots, of all layers together."""
    return slots * expert_mib / 1024


def memory_cells(gib: float | None) -> list[str]:
    """Below COLUMN; nothing where the memory is not known."""
    return [] if gib is None else [f"{gib:.2f}"]


def memory_columns(expert_mib: float | None) -> Sequence[str]:
    return () if expert_mib is None else (COLUMN,)


def memory_sentences(layers: int, expert_mib: float | None) -> list[str]:
    """What GiB per GPU are."""
    if expert_mib is None:
        return []
    return [f"{COLUMN}: all slots of {counted(layers, 'layer')}, {expert_mib:g} MiB each."]
