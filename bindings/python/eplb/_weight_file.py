"""Tables of numbers from files: CSV, .npy and .npz."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import Array

_INTEGER = re.compile(r"[+-]?\d+")
_NPZ_KEYS = ("counts", "weights")


class FileError(Exception):
    """A file is missing or not what it should be; the text is one sentence that begins with its name."""


def os_error_text(path: Path, error: OSError) -> str:
    return f"{path}: {(error.strerror or str(error)).lower()}"


def read_weights(path: Path) -> Array:
    """Reads weights: a CSV with a row per layer, or an array [L,E] or [T,L,E] from .npy or .npz.

    An .npz must hold one array, or one named counts or weights.

    Raises:
        FileError: no such file, or one with something else in it; for CSV with the line.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz"):
        return read_csv(path)
    loaded = load_numpy(path)
    array = loaded if isinstance(loaded, np.ndarray) else _only_array(path, loaded)
    if array.size == 0:
        raise FileError(f"{path}: the array is empty, its shape is {array.shape}")
    if array.ndim not in (2, 3):
        what = "[layers, experts] or [windows, layers, experts]"
        raise FileError(f"{path}: the array has the shape {array.shape}, must be {what}")
    return array


def load_numpy(path: Path) -> Array | dict[str, Array]:
    """Reads an .npy as an array, an .npz as a dictionary. Never unpickles anything."""
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        # numpy treats any unknown format as a pickle, and advises to load that unsafely.
        reason = "pickled objects, or something else entirely" if "pickle" in str(error) else str(error)
        raise FileError(f"{path}: no numpy file that can be read: {reason}") from None


def _only_array(path: Path, arrays: dict[str, Array]) -> Array:
    names = [name for name in _NPZ_KEYS if name in arrays] or list(arrays)
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise FileError(f"{path}: must hold one array, or one called {' or '.join(_NPZ_KEYS)}, but holds: {found}")
    return arrays[names[0]]


def read_csv(path: Path) -> Array:
    """Reads a table: int64 if all its values are integers, else float64. Blank lines are skipped."""
    rows: list[list[int | float]] = []
    first_line = 0
    for line, words in _csv_rows(path):
        row = [_number(path, line, word) for word in words]
        first_line = first_line or line
        if rows and len(row) != len(rows[0]):
            count = f"{len(row)} value{'' if len(row) == 1 else 's'}"
            raise FileError(f"{path} line {line}: {count}, but line {first_line} has {len(rows[0])}")
        rows.append(row)
    if not rows:
        raise FileError(f"{path}: the file is empty")
    if all(isinstance(value, int) for row in rows for value in row):
        return np.array(rows, np.int64)
    return np.array(rows, np.float64)


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        # Spreadsheets begin their UTF-8 with a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            for words in reader:
                if any(word.strip() for word in words):
                    yield reader.line_num, words
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None
    except UnicodeDecodeError:
        raise FileError(f"{path}: no text, so no CSV") from None
    except csv.Error as error:
        raise FileError(f"{path} line {reader.line_num}: {error}") from None


def _number(path: Path, line: int, word: str) -> int | float:
    word = word.strip()
    if _INTEGER.fullmatch(word):
        if len(word) > 20 or not -(2**63) <= int(word) < 2**63:
            raise FileError(f"{path} line {line}: {word[:40]} is an integer above 2^63 - 1")
        return int(word)
    try:
        # float() also accepts 1_000, which is not a number anywhere else.
        return float(word.replace("_", "?"))
    except ValueError:
        shown = repr(word[:40]) if word else "an empty value"
        raise FileError(f"{path} line {line}: {shown} is no number") from None
