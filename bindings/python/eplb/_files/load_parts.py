"""What one file says of loads, before files are put together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Array, Ints, to_host
from .._errors import Error, FileError
from .._maps import loads_of
from .values import MOST_EXPERTS, check_made, counted


@dataclass(frozen=True)
class Part:
    """Windows from one file, of all ranks or of one.

    Attributes:
        where: the file, for sentences.
        kind: the name of the format.
        counts: int64 or float64 [T,L,E].
        layers: int64 [L], ascending.
        numbered: whether these are the model's numbers.
        absolute: whether all layers of a model may be there, so that those without load are dense ones.
        rank: the rank whose tokens were counted; None: all ranks.
        moments: what the windows of all ranks have in common, such as the numbers of their passes; () for nothing.
        sparse: whether zeros are left out, so that layers and experts may be missing.
        ring: whether windows that are all zero are room that was not used.
    """

    where: str
    kind: str
    counts: Array
    layers: Ints
    numbered: bool = False
    absolute: bool = False
    rank: int | None = None
    moments: tuple[Hashable, ...] = ()
    sparse: bool = False
    ring: bool = False


def windows_of(where: str, value: Any) -> Array:
    """Loads [L,E] or [T,L,E] as int64 or float64 [T,L,E].

    Raises:
        FileError: other shapes, and values that are no numbers.
    """
    array = numbers_of(where, value)
    if array.size == 0:
        raise FileError(f"{where}: the array is empty, its shape is {list(array.shape)}")
    if array.ndim not in (2, 3):
        what = "[layers, experts] or [windows, layers, experts]"
        raise FileError(f"{where}: the array has the shape {list(array.shape)}, must be {what}")
    return array if array.ndim == 3 else array[np.newaxis]


def numbers_of(where: str, value: Any) -> Array:
    """An array of int64 or float64.

    Raises:
        FileError: text, objects, true and false, lists of unequal lengths, integers above 2^63 - 1.
    """
    try:
        array, _ = to_host(where, value)
    except Error as error:
        raise FileError(f"{where}: {_unequal(value)}" if isinstance(value, list) else str(error)) from None
    fault = _hidden_fault(value) if isinstance(value, list) else None
    if fault is not None:
        raise FileError(f"{where}: {fault}")
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    if array.dtype.kind not in "iu":
        found = {"b": "true and false", "U": "text", "S": "text", "c": "complex numbers"}.get(
            array.dtype.kind, "objects"
        )
        raise FileError(f"{where}: holds {found}, must hold numbers")
    if array.dtype.kind == "u" and array.size and int(array.max()) >= 2**63:
        raise FileError(f"{where}: {array.max()} is an integer above 2^63 - 1")
    return array.astype(np.int64)


def _hidden_fault(value: list[Any]) -> str | None:
    """What numpy makes numbers of without a word: true is 1 next to others, and large integers are rounded."""
    for each in value:
        if isinstance(each, list):
            fault = _hidden_fault(each)
            if fault is not None:
                return fault
        elif isinstance(each, bool):
            return "holds true or false, must hold numbers"
        elif isinstance(each, int) and not -(2**63) <= each < 2**63:
            return f"{each} is an integer above 2^63 - 1"
    return None


def _unequal(value: list[Any]) -> str:
    """What is wrong with nested lists that are no array."""
    lists = [each for each in value if isinstance(each, list)]
    for each in value if lists else []:
        if not isinstance(each, list):
            return f"{str(each)[:40]!r} stands next to a list of {len(lists[0])}"
        if len(each) != len(lists[0]):
            return f"a list has {counted(len(each), 'value')}, but one before it has {len(lists[0])}"
    return _unequal([each for row in lists for each in row]) if lists else "the lists are no array of numbers"


def first_numbers(count: int) -> Ints:
    """0, 1, 2, ..."""
    return np.arange(count, dtype=np.int64)


def experts_from_slots(where: str, slot_counts: Array, placement: Any, num_experts: int | None = None) -> Array:
    """Loads of experts [T,L,E] from those of slots [T,L,P] and the expert in each slot [L,P], -1: none.

    Raises:
        FileError: a placement that is none, or not of these slots.
    """
    experts = numbers_of(where, placement)
    experts = experts.reshape(len(experts), -1) if experts.ndim == 3 else experts
    _, layers, slots = slot_counts.shape
    if experts.dtype != np.int64 or experts.shape != (layers, slots):
        found = f"{list(experts.shape)} of {experts.dtype}"
        raise FileError(f"{where}: the placement is {found}, must be integers [{layers}, {slots}] as its loads")
    count = int(experts.max()) + 1 if num_experts is None else num_experts
    if experts.min() < -1 or not 0 < experts.max() + 1 <= count <= MOST_EXPERTS:
        raise FileError(f"{where}: the placement holds experts {experts.min()} to {experts.max()} of {count}")
    check_made(where, slot_counts.size // slots * count, slot_counts.size)
    check_sums(where, [slot_counts], slots)
    totals: Array = loads_of(slot_counts, experts, count)
    return totals


def check_sums(where: str, arrays: Sequence[Array], times: int = 1) -> None:
    """Refuses integers so large that sums of them could wrap around, and what is negative, which a sum would hide."""
    for array in arrays:
        if array.min() < 0:
            raise FileError(f"{where}: holds {array.min():g}, must be at least 0")
    if sum(int(array.max()) for array in arrays if array.dtype == np.int64) * times >= 2**63:
        raise FileError(f"{where}: the sums are above 2^63 - 1")
