"""Numbers of experts and layers next to the loads, as programs for tables write them. They look like loads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._arrays import Array, Ints
from .._errors import FileError
from .load_parts import first_numbers
from .rows import number_of

# That many numbers in a row are no chance, wherever they begin.
_SURELY = 4
_NUMBER_AT_END = re.compile(r"(\d{1,9})\s*$")


@dataclass(frozen=True)
class Labels:
    """What a caller says about the first row and the first column of tables.

    Attributes:
        header: the first row names experts; None: not said, so what looks like one is refused.
        index: the first column has the layers' numbers; None: as above.
    """

    header: bool | None = None
    index: bool | None = None

    def refuse(self, where: str, header: bool, index: bool) -> None:
        """Refuses what looks like a header or an index if the caller has not said what it is."""
        found = {}
        if header and self.header is None:
            found["header"] = "the first row looks like a header"
        if index and self.index is None:
            found["index"] = "the first column looks like an index"
        if found:
            looks = " and ".join(found.values())
            options = " and ".join(f"{name}=True (--{name})" for name in found)
            denials = " and ".join(f"{name}=False (--no-{name})" for name in found)
            raise FileError(f"{where}: {looks}, so give {options}, or {denials} if these are loads")

    def number(self, layers: Ints) -> bool:
        """Whether layers are the model's numbers. Programs for tables count 0, 1, 2, ... whatever the rows are."""
        return bool(self.index) and (layers != first_numbers(len(layers))).any().item()

    def of_array(self, where: str, table: Array) -> tuple[Array, Ints]:
        """Loads [L,E] and the numbers of their layers, from an array that may have labels.

        Raises:
            FileError: it looks as if it had labels, and the caller has not said so; or there is nothing but labels.
        """
        if self.header:
            table = table[1:]
        layers = first_numbers(len(table))
        if self.index and table.size:
            layers, table = check_layers(where, table[:, 0].tolist()), table[:, 1:]
        self.check(where, table)
        return by_layer(table, layers)

    def check(self, where: str, table: Array) -> None:
        """Refuses what is left if it looks as if it had labels still, or if it is nothing."""
        if table.size == 0:
            raise FileError(f"{where}: there are no loads next to the labels")
        index = table.shape[1] > 1 and counts_up(table[:, 0].tolist(), None)
        self.refuse(where, counts_up(table[0].tolist(), 1), index)
        if self.index is None and _are_pairs(table):
            text = "looks like layer, expert and count without their line, layer_id,expert_id,count"
            raise FileError(f"{where}: {text}: add it, or give index=False (--no-index) if these are loads")


def by_layer(table: Array, layers: Ints) -> tuple[Array, Ints]:
    """Both, sorted by the numbers of layers."""
    order = np.argsort(layers)
    return table[order], layers[order]


def counts_up(values: Sequence[float], most_first: int | None) -> bool:
    """Whether values are 0, 1, 2, ..., or count up from a number up to most_first (None: any) for some steps."""
    if len(values) < 2 or any(after - before != 1 for before, after in zip(values, values[1:], strict=False)):
        return False
    first = values[0]
    elsewhere = len(values) >= _SURELY and first == int(first) >= 0 and (most_first is None or first <= most_first)
    return first == 0 or elsewhere


def numbers_in(words: Sequence[str]) -> list[float] | None:
    """Numbers, also those at the ends of words, as in expert_12; None if a word has none."""
    numbers: list[float] = []
    for word in words:
        number, at_end = number_of(word), _NUMBER_AT_END.search(word)
        if number is None and at_end is None:
            return None
        numbers.append(int(at_end[1]) if number is None and at_end is not None else number or 0.0)
    return numbers


def layers_in(where: str, words: Sequence[str]) -> Ints:
    """The layers that the words of an index name.

    Raises:
        FileError: words without numbers, and numbers that are there twice.
    """
    numbers = numbers_in(words)
    if numbers is None:
        wrong = next(word for word in words if not numbers_in([word]))
        raise FileError(f"{where}: {wrong[:40]!r} in the first column is no layer's number")
    return check_layers(where, numbers)


def check_header(where: str, words: Sequence[str]) -> None:
    """Refuses a header that names experts in another order, as sorting by name makes it."""
    numbers = numbers_in(words)
    if numbers is not None and any(after != before + 1 for before, after in zip(numbers, numbers[1:], strict=False)):
        raise FileError(f"{where}: the header does not name the experts in order: {', '.join(words)[:60]}")


def check_layers(where: str, values: Sequence[float]) -> Ints:
    """The numbers of layers.

    Raises:
        FileError: values that are none, and numbers that are there twice.
    """
    wrong = next((value for value in values if not (0 <= value < 2**31 and value == int(value))), None)
    if wrong is not None:
        raise FileError(f"{where}: {wrong} in the first column is no layer's number")
    numbers = np.array(values, np.int64)
    known, times = np.unique(numbers, return_counts=True)
    if len(known) != len(numbers):
        raise FileError(f"{where}: layer {known[times > 1][0]} is there twice in the first column")
    return numbers


def _are_pairs(table: Array) -> bool:
    """Whether three columns are a layer, an expert and a count in each row, in order."""
    if table.shape[1] != 3 or len(table) < _SURELY or (table[:, :2] != np.floor(table[:, :2])).any():
        return False
    layer, expert = np.diff(table[:, 0]), np.diff(table[:, 1])
    same = layer == 0
    return bool(same.any() and (same | (layer == 1)).all() and (expert[same] > 0).all())
