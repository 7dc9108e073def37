"""Tables as text: CSV, of which every value is a number, or what stands in its place is named."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from io import StringIO
from typing import NamedTuple

import numpy as np

from .._arrays import Array
from .._errors import FileError
from .content import Content
from .values import MOST_VALUES, counted

_INTEGER = re.compile(r"[+-]?\d+")
_SEPARATORS = {";": ";", "\t": "tabs", "|": "|", " ": "spaces"}


class Row(NamedTuple):
    """The number of its line, from 1, and what stands between its commas."""

    line: int
    words: list[str]


def read_csv(content: Content) -> Array:
    """A table of numbers: int64 if all are integers, else float64. Blank lines are skipped.

    Raises:
        FileError: there is something else in it; with the line.
    """
    return table_of(str(content.path), rows_of(content))


def rows_of(content: Content) -> list[Row]:
    """The rows that are not blank.

    Raises:
        FileError: there are none, or no CSV.
    """
    reader = csv.reader(StringIO(content.text, newline=""), skipinitialspace=True)
    rows: list[Row] = []
    values = 0
    try:
        for words in reader:
            row = Row(reader.line_num, [word.strip() for word in words])
            if any(row.words):
                rows.append(row)
                values += len(row.words)
            if values > MOST_VALUES:
                raise FileError(f"{content.path}: has more than {MOST_VALUES} values: write it as .npy")
    except csv.Error as error:
        raise FileError(f"{content.path} line {reader.line_num}: {error}") from None
    if not rows:
        raise FileError(f"{content.path}: the file is empty")
    return rows


def table_of(where: str, rows: Sequence[Row]) -> Array:
    """Numbers [rows,columns]: int64 if all are integers, else float64.

    Raises:
        FileError: something else is there, or rows differ in length.
    """
    table: list[list[int | float]] = []
    for line, words in rows:
        table.append([number_at(where, line, word) for word in words])
        check_length(where, line, words, rows[0])
    integers = all(isinstance(value, int) for row in table for value in row)
    return np.array(table, np.int64 if integers else np.float64)


def check_length(where: str, line: int, words: Sequence[str], first: Row) -> None:
    """Refuses a row that is not as long as the first one."""
    if len(words) != len(first.words):
        raise FileError(
            f"{where} line {line}: {counted(len(words), 'value')}, but line {first.line} has {len(first.words)}"
        )


def number_at(where: str, line: int, word: str) -> int | float:
    """What a word stands for, with its line where it is no number."""
    if _INTEGER.fullmatch(word):
        if len(word) > 20 or not -(2**63) <= int(word) < 2**63:
            raise FileError(f"{where} line {line}: {word[:40]} is an integer above 2^63 - 1")
        return int(word)
    value = number_of(word)
    if value is None:
        shown = repr(word[:40]) if word else "an empty value"
        separator = separator_of(word)
        fault = f"separated by {separator}, must be separated by commas" if separator else f"{shown} is no number"
        raise FileError(f"{where} line {line}: {fault}")
    return value


def separator_of(word: str) -> str | None:
    """What separates the numbers of a value, if it is several."""
    for separator, name in _SEPARATORS.items():
        parts = word.split(separator)
        if len(parts) > 1 and all(number_of(part.replace(",", ".")) is not None for part in parts if part.strip()):
            return name
    return None


def number_of(word: str) -> float | None:
    """What a word of a table stands for; None if it is no number."""
    try:
        # float() also accepts 1_000, which is not a number anywhere else.
        return float(word.replace("_", "?"))
    except ValueError:
        return None
