"""Arrays of numpy: .npy and .npz. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np

from .._arrays import Array
from .._errors import FileError
from .load_content import Content
from .load_formats_named import NAMES, PLACEMENTS, read_bare, read_named
from .load_labels import Labels
from .load_parts import Part


def read_npy(content: Content, labels: Labels) -> list[Part]:
    """An array [L,E] or [T,L,E].

    Raises:
        FileError: it is something else.
    """
    return [replace(read_bare(str(content.path), "array", open_numpy(content), labels), rank=content.rank)]


def read_npz(content: Content, labels: Labels) -> list[Part]:
    """Arrays by name, or the only one whatever its name. Others are not looked at.

    Raises:
        FileError: none is there, or it is something else.
    """
    arrays = _Arrays(content, open_numpy(content))
    if len(arrays) == 1 and not any(name in arrays for name in NAMES + PLACEMENTS):
        bare = read_bare(str(content.path), "array", next(iter(arrays.values())), labels)
        return [replace(bare, rank=content.rank)]
    return [read_named(str(content.path), arrays, content.rank, labels)]


def open_numpy(content: Content) -> Any:
    """An .npy as an array, an .npz as numpy's mapping, which reads its arrays when they are asked for.

    Raises:
        FileError: it is neither.
    """
    try:
        return np.load(BytesIO(content.data), allow_pickle=False)
    except Exception as error:  # numpy lets through what its parts raise, down to Python's tokenizer
        raise FileError(f"{content.path}: no numpy file that can be read: {_reason(error)}") from None


def read_arrays(content: Content) -> Array | dict[str, Array]:
    """An .npy as an array, an .npz as a dictionary of all its arrays.

    Raises:
        FileError: it is neither, or one of them cannot be read.
    """
    loaded = open_numpy(content)
    return loaded if isinstance(loaded, np.ndarray) else dict(_Arrays(content, loaded))


def _reason(error: Exception) -> str:
    # numpy treats any unknown format as a pickle, and advises to load that unsafely.
    if "pickle" in str(error):
        return "pickled objects, or something else entirely"
    return " ".join(str(error).split()) or type(error).__name__


class _Arrays(Mapping[str, Array]):
    """The arrays of an .npz by name. Only those that are asked for are read."""

    def __init__(self, content: Content, arrays: Any) -> None:
        self._path, self._arrays = content.path, arrays

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays.files:
            raise KeyError(name)
        try:
            array: Array = self._arrays[name]
        except Exception as error:
            raise FileError(f"{self._path}: no numpy file that can be read: {name}: {_reason(error)}") from None
        return array

    def __contains__(self, name: object) -> bool:
        return name in self._arrays.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays.files)

    def __len__(self) -> int:
        return len(self._arrays.files)
