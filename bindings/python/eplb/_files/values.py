"""Values of files that anyone may have written: a wrong one is refused with the place where it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, Ints
from .._errors import FileError

# As in the library, which allows no more experts.
MOST_EXPERTS = 2**18
# Far above any model, far below what fills a machine's memory.
MOST_LAYERS = 2**14
# Of a table in text, and of what is made of a few values.
MOST_VALUES = 2**24
_MOST_PER_VALUE = 64


@contextmanager
def bounded(where: Path | str) -> Iterator[None]:
    """What Python runs out of while a file is read is the fault of the file."""
    try:
        yield
    except MemoryError:
        raise FileError(f"{where}: needs more memory than there is") from None
    except RecursionError:
        raise FileError(f"{where}: is nested too deeply") from None


def check_made(where: Path | str, made: int, given: int) -> None:
    """Refuses a few values that stand for a great many."""
    if made > max(MOST_VALUES, _MOST_PER_VALUE * given):
        raise FileError(f"{where}: has {given} values, which would make a table of {made}")


def counted(number: int, what: str) -> str:
    """For sentences: 1 layer, 2 layers."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def name_layers(layers: Iterable[int]) -> str:
    """Numbers for a sentence: runs of them, the first four runs."""
    numbers = np.unique(np.asarray(list(layers)))
    return f"layer{'' if len(numbers) == 1 else 's'} {numbers_of(numbers)}"


def numbers_of(layers: Iterable[int]) -> str:
    """The same without their name; of no layers, nothing."""
    numbers = np.unique(np.asarray(list(layers), np.int64))
    runs = [run.tolist() for run in np.split(numbers, np.nonzero(np.diff(numbers) > 1)[0] + 1) if len(run)]
    words = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return ", ".join(words[:4]) + ("" if len(words) <= 4 else f" and {sum(map(len, runs[4:]))} more")


def shown(value: Any) -> str:
    """A value as its file has it, short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple, dict, np.ndarray)):
        return "a list" if not isinstance(value, dict) else "a mapping"
    return repr(value)[:40]


def is_number(value: Any) -> bool:
    """True is none, and NaN and infinity are none in JSON, to which it may be written."""
    return type(value) in (int, float) and -math.inf < value < math.inf


def whole(path: Path, content: Mapping[str, Any], name: str, least: int = 0, most: int = 2**31 - 1) -> int:
    """An integer of a mapping; true is none."""
    if name not in content:
        raise FileError(f"{path}: has no {name}")
    value = content[name]
    if type(value) is not int or not least <= value <= most:
        raise FileError(f"{path}: {name} must be an integer from {least} to {most}, is {shown(value)}")
    return value


def listed(path: Path | str, name: str, value: Any) -> list[Any]:
    """A list that is not empty."""
    if not isinstance(value, list) or not value:
        raise FileError(f"{path}: {name} must be a list that is not empty")
    return value


def mapping(path: Path, name: str, value: Any) -> dict[Any, Any]:
    """A mapping that is not empty."""
    if not isinstance(value, dict) or not value:
        raise FileError(f"{path}: {name} must be a mapping that is not empty")
    return value


def layer_keys(path: Path, name: str, value: Any, kind: type) -> dict[int, Any]:
    """A mapping whose keys are layer numbers, as integers or as their digits; sorted."""
    layers: dict[int, Any] = {}
    for key, each in mapping(path, name, value).items():
        number = int(key) if type(key) is str and key.isascii() and key.isdigit() and len(key) < 10 else key
        if type(key) is not kind or type(number) is not int or not 0 <= number < 2**31 or str(number) != str(key):
            form = "an integer" if kind is int else 'an integer in quotes, like "3"'
            raise FileError(f"{path}: the layer {shown(key)} of {name} must be {form}")
        layers[number] = each
    return dict(sorted(layers.items()))


def experts_in(path: Path | str, where: str, value: Any) -> list[int]:
    """A list of experts, -1 where a slot holds none."""
    for slot, expert in enumerate(listed(path, where, value)):
        if type(expert) is not int or not -1 <= expert < MOST_EXPERTS:
            raise FileError(f"{path}: {where}, slot {slot} is {shown(expert)}, which is no expert")
    row: list[int] = value
    return row


def stacked(path: Path | str, rows: dict[str, list[Any]], what: str = "slot") -> list[list[Any]]:
    """Rows of equal length, by where they are in the file."""
    first = next(iter(rows))
    for where, row in rows.items():
        if len(row) != len(rows[first]):
            raise FileError(f"{path}: {where} has {counted(len(row), what)}, but {first} has {len(rows[first])}")
    return list(rows.values())


def table(path: Path, name: str, value: Any) -> Ints:
    """A placement [L,S] that is one list of lists, or an array."""
    rule = f"{path}: {name} must be a table of integers"
    if isinstance(value, np.ndarray):
        return _table_of_array(rule, value)
    if not isinstance(value, list) or not value:
        raise FileError(f"{rule}, is {shown(value)}")
    return np.array(
        stacked(rule, {f"row {layer}": experts_in(rule, f"row {layer}", row) for layer, row in enumerate(value)}),
        np.int64,
    )


def _table_of_array(rule: str, array: Array) -> Ints:
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iu":
        found = f"{array.dtype.name} {list(array.shape)}"
        raise FileError(f"{rule}, a row per layer, a column per slot, is {found}")
    wrong = np.argwhere((array < -1) | (array >= MOST_EXPERTS))
    if len(wrong):
        layer, slot = map(int, wrong[0])
        raise FileError(f"{rule}: row {layer}, slot {slot} is {array[layer, slot]}, which is no expert")
    return array.astype(np.int64)
