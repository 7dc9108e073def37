"""A replay as JSON lines: what it was asked for in the first, then one for each rule and window. It can be resumed."""

from __future__ import annotations

import base64
import binascii
import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import Array, Ints
from ._errors import FileError
from ._files.values import bounded, is_number
from ._output_file import naming_file

_VERSION = 1
_MARK = "eplb_replay"
_BY_LAYER = ("imbalance", "predicted", "off_home")
# Of a figure: what is above fits into no array of integers.
_MOST = 2**53
_FIGURES = ("moves", "moves_between_nodes", "layers_changed", "received", "gain_predicted", "gain_came")


class ReplayLog:
    """Rows of a replay, in memory, and in a file if there is one.

    Args:
        path: of the file; None: no file. If it is there, its rows are read, and what is missing is added to it.
        settings: what the rows depend on, plain values; a file with others is refused.
        rules: the texts of the rules.
        first: the first window of each rule.

    Raises:
        FileError: the file cannot be written, or is that of another replay, or of none.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any], rules: Sequence[str], first: int) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {rule: [] for rule in rules}
        self.path, self._first = path, first
        self._layers: int = settings["layers"]
        self._by_layer = (*_BY_LAYER, *settings.get("splits", ()))
        if path is not None and not self._resume(path, settings):
            self._write(json.dumps({_MARK: _VERSION, **settings}), "w")

    def add(self, row: dict[str, Any]) -> None:
        """Adds the next row of its rule."""
        self.rows[row["rule"]].append(row)
        if self.path is not None:
            self._write(json.dumps(row, allow_nan=False), "a")

    def _write(self, line: str, mode: str) -> None:
        assert self.path is not None
        with naming_file(self.path), self.path.open(mode, encoding="ascii") as file:
            file.write(line + "\n")

    def _resume(self, path: Path, settings: dict[str, Any]) -> bool:
        """Reads the rows of the file. False if there is nothing yet."""
        with naming_file(path), bounded(path):
            if path.exists() and not path.is_file():
                raise FileError(f"{path}: is no file, in which a replay can go on")
            data = path.read_bytes() if path.exists() else b""
        # A line that was being written when the program ended has no end.
        whole, _, rest = data.rpartition(b"\n")
        if not data.startswith(f'{{"{_MARK}"'.encode()[: len(data)]):
            raise FileError(f"{path}: is not what a replay has written: give the output another name")
        if not whole:
            return False
        header, *lines = whole.split(b"\n")
        self._check_settings(path, _parsed(path, 1, header), settings)
        for number, line in enumerate(lines, start=2):
            self._take(path, number, _parsed(path, number, line))
        if rest:
            with naming_file(path):
                os.truncate(path, len(data) - len(rest))
        return True

    def _check_settings(self, path: Path, found: dict[str, Any], settings: dict[str, Any]) -> None:
        for name, value in {_MARK: _VERSION, "splits": None, **settings}.items():
            # As JSON has it.
            wanted = json.loads(json.dumps(value))
            if found.get(name) != wanted:
                was = f"was written with {name} {_shown(found.get(name))}, which is now {_shown(wanted)}"
                raise FileError(f"{path}: {was}: give the output another name")

    def _take(self, path: Path, number: int, row: dict[str, Any]) -> None:
        rows = self.rows.get(str(row.get("rule")))
        if rows is None or row.get("window") != self._first + len(rows) or not self._is_complete(row):
            raise FileError(f"{path}: line {number} is not the next window of a rule: give the output another name")
        rows.append(row)

    def _is_complete(self, row: dict[str, Any]) -> bool:
        by_layer: list[Any] = [row.get(name) for name in self._by_layer]
        if not all(isinstance(each, list) and len(each) == self._layers for each in by_layer):
            return False
        # Of layers without load, there is none.
        known = [value for each in by_layer for value in each if value is not None]
        return isinstance(row.get("change", ""), str) and all(
            is_number(each) and abs(each) < _MOST for each in [*known, *map(row.get, _FIGURES)]
        )


def encode_change(before: Array, after: Array) -> str:
    """The way from one placement to another, as text: short if few slots change."""
    changes = np.bitwise_xor(before.astype("<i4"), after.astype("<i4"))
    return base64.b64encode(zlib.compress(changes.tobytes(), 9)).decode("ascii")


def apply_change(before: Array, text: str) -> Ints:
    """The placement after a change.

    Raises:
        ValueError: no change of such a placement.
    """
    try:
        packed = base64.b64decode(text, validate=True)
        changes = np.frombuffer(zlib.decompressobj().decompress(packed, 4 * before.size + 1), "<i4")
    except (binascii.Error, zlib.error) as error:
        raise ValueError(str(error)) from None
    after: Ints = np.bitwise_xor(before.astype("<i4"), changes.reshape(before.shape)).astype(np.int64)
    return after


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FileError(f"{path}: line {number} is no JSON object: give the output another name")
    return content


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
