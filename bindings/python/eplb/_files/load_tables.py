"""Tables as text: CSV with a row per layer, and SGLang's long one with a row per layer and expert."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._errors import FileError
from .content import Content
from .load_labels import Labels, by_layer, check_header, layers_in
from .load_parts import Part, first_numbers
from .rows import Row, check_length, number_at, number_of, rows_of, separator_of, table_of
from .values import MOST_EXPERTS, MOST_LAYERS, check_made

_LONG = ("layer_id", "expert_id", "count")


def read_table(content: Content, labels: Labels) -> list[Part]:
    """A CSV of loads; one with the columns layer_id, expert_id and count may lack layers and experts.

    Raises:
        FileError: no such table, or one with labels of which the caller has not spoken.
    """
    rows, where = rows_of(content), str(content.path)
    names = [word.lower() for word in rows[0].words]
    if set(_LONG) <= set(names):
        return [_long_table(content, rows, names)]
    _refuse_other_text(content, rows)
    if all(number_of(word) is None for row in rows for word in row.words):
        raise FileError(f"{where}: has no numbers, so it is no table of loads")
    labels.refuse(where, *_worded_labels(rows))
    if labels.header:
        check_header(where, rows[0].words[1:] if labels.index else rows[0].words)
        rows = rows[1:]
    layers = first_numbers(len(rows))
    if labels.index:
        layers = layers_in(where, [row.words[0] for row in rows])
        rows = [Row(line, words[1:]) for line, words in rows]
    table = table_of(where, rows) if rows else np.empty((0, 0))
    labels.check(where, table)
    table, layers = by_layer(table, layers)
    return [Part(where, "CSV", table[np.newaxis], layers, numbered=labels.number(layers), rank=content.rank)]


def _refuse_other_text(content: Content, rows: Sequence[Row]) -> None:
    """Text that is another table or none at all, and would be taken for one with a header."""
    where, words = content.path, rows[0].words
    # With a column for each expert there are several, or there is nothing more.
    if len(words) > 2 and [word[:6].lower() for word in words].count("expert") == 1:
        names = ", ".join(_LONG)
        raise FileError(
            f"{where}: has the columns {', '.join(words)[:60]}; with a row for each expert, must have {names}"
        )
    for row in rows[:2]:
        separator = separator_of(row.words[0])
        if len(row.words) == 1 and separator:
            raise FileError(f"{where} line {row.line}: separated by {separator}, must be separated by commas")


def _worded_labels(rows: Sequence[Row]) -> tuple[bool, bool]:
    """Whether the first row looks like a header, and the first column like an index, since they are no loads."""
    head = rows[0].words
    named = [_is_name(word) for word in head]
    below = [_is_name(row.words[0]) for row in rows[1:]]
    # Of names in the first column only the first row's is one of a header.
    header = all(named[1:] or named) or (named[0] and bool(below) and not any(below))
    column = [row.words[0] for row in (rows[1:] if header else rows)]
    index = (header and not head[0]) or (bool(column) and all(word and _is_name(word) for word in column))
    return header, len(head) > 1 and index


def _is_name(word: str) -> bool:
    """No number, and no mistyped one either."""
    return number_of(word) is None and not word[:1].isdigit()


def _long_table(content: Content, rows: Sequence[Row], names: Sequence[str]) -> Part:
    where = str(content.path)
    other = next((name for name in names if name and name not in _LONG), None)
    if other is not None:
        raise FileError(f"{where}: has the columns {', '.join(_LONG)}, but also {other[:40]!r}")
    counts = _pairs(where, rows, [names.index(name) for name in _LONG])
    layers = np.unique([layer for layer, _ in counts])
    dtype = np.int64 if all(isinstance(count, int) for count in counts.values()) else np.float64
    experts = max(expert for _, expert in counts) + 1
    check_made(where, len(layers) * experts, len(counts))
    table = np.zeros((1, len(layers), experts), dtype)
    place = np.array(list(counts))
    table[0, np.searchsorted(layers, place[:, 0]), place[:, 1]] = list(counts.values())
    kind = "CSV with layer_id, expert_id, count (SGLang)"
    return Part(where, kind, table, layers, absolute=True, rank=content.rank, sparse=True)


def _pairs(where: str, rows: Sequence[Row], columns: Sequence[int]) -> dict[tuple[int, int], int | float]:
    """Counts by layer and expert, from the rows below the first one, which names the columns."""
    counts: dict[tuple[int, int], int | float] = {}
    for line, words in rows[1:]:
        check_length(where, line, words, rows[0])
        layer, expert, count = (number_at(where, line, words[column]) for column in columns)
        at = (
            _identifier(where, line, "layer", layer, MOST_LAYERS),
            _identifier(where, line, "expert", expert, MOST_EXPERTS),
        )
        if at in counts:
            raise FileError(f"{where} line {line}: expert {at[1]} of layer {at[0]} is there twice")
        counts[at] = count
    if not counts:
        raise FileError(f"{where}: there are no loads below the line of names")
    return counts


def _identifier(where: str, line: int, what: str, value: float, most: int) -> int:
    if not 0 <= value < most or value != int(value):
        raise FileError(f"{where} line {line}: {what} {value} must be an integer from 0 to {most - 1}")
    return int(value)
