"""Files of numpy, read without unpickling. What they claim to hold is compared with what is there first."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array
from .._errors import FileError
from .content import Content
from .packing import most_unpacked

_ENDING = ".npy"
_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_UNPACKED_BY = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def read_numpy(content: Content) -> Any:
    """An .npy as an array; an .npz as a mapping, which reads its arrays when they are asked for.

    Raises:
        FileError: it is something else.
    """
    where = str(content.path)
    return Arrays(where, content.data) if content.data.startswith(b"PK") else _array(where, content.data)


def zip_members(where: str | Path, data: bytes) -> zipfile.ZipFile:
    """An archive that has each name once, and nothing that is encrypted.

    Raises:
        FileError: another one, or no archive.
    """
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except Exception as error:  # zipfile lets through what it meets in damaged ones
        raise FileError(f"{where}: no archive that can be read: {_reason(error)}") from None
    names = set()
    for member in archive.infolist():
        if member.filename in names:
            raise FileError(f"{where}: {member.filename[:40]!r} is there twice")
        if member.flag_bits & 1:
            raise FileError(f"{where}: {member.filename[:40]!r} is encrypted")
        names.add(member.filename)
    return archive


class Arrays(Mapping[str, Any]):
    """The arrays of an .npz by name. Only those that are asked for are read, scalars as such."""

    def __init__(self, where: str, data: bytes) -> None:
        self._where, self._archive = where, zip_members(where, data)
        self._members = {each.filename.removesuffix(_ENDING): each for each in self._archive.infolist()}
        self._room, self._counted = most_unpacked(len(data)), set[str]()

    def __getitem__(self, name: str) -> Any:
        array = _array(f"{self._where}: {name[:40]}", self._unpacked(name, self._members[name]))
        return array.item() if array.ndim == 0 else array

    def _unpacked(self, name: str, member: zipfile.ZipInfo) -> bytes:
        where = f"{self._where}: {name[:40]}"
        if member.compress_type not in _UNPACKED_BY:
            text = f"is packed by method {member.compress_type} of zip, must be stored or deflated, as numpy does it"
            raise FileError(f"{where}: {text}")
        # A few kilobytes may claim to be any number of bytes, and may be.
        if name not in self._counted:
            self._counted.add(name)
            self._room -= member.file_size
        if self._room < 0:
            raise FileError(f"{where}: would be {member.file_size} bytes, too many for a file of this size")
        try:
            return self._archive.read(member)
        except Exception as error:  # as in zip_members
            raise FileError(f"{where}: cannot be unpacked: {_reason(error)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _array(where: str, data: bytes) -> Array:
    file = BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"its version is {version[0]}.{version[1]}, which no plain array needs")
        with warnings.catch_warnings():
            # Python's own about what it reads, with the names of its files.
            warnings.simplefilter("ignore")
            shape, is_fortran, dtype = _HEADERS[version](file)
    except Exception as error:  # numpy lets through what its parts raise, down to Python's tokenizer
        raise FileError(f"{where}: no numpy file that can be read: {_reason(error)}") from None
    if dtype.hasobject:
        raise FileError(f"{where}: holds pickled objects, which are never unpickled")
    if dtype.kind == "V" or not dtype.itemsize:
        raise FileError(f"{where}: holds values of the type {str(dtype)[:40]}, must hold numbers")
    return _values(where, data, file.tell(), tuple(shape), is_fortran, dtype)


def _values(where: str, data: bytes, start: int, shape: tuple[int, ...], is_fortran: bool, dtype: Any) -> Array:
    count, there = math.prod(shape), len(data) - start
    if any(length < 0 for length in shape) or count * dtype.itemsize > there:
        shown = str([min(length, 2**63) for length in shape])[:80]
        raise FileError(f"{where}: claims to hold {shown} values of {dtype.name}, but has {there} bytes of them")
    values = np.frombuffer(data, dtype, count, start) if count else np.empty(0, dtype)
    try:
        # A copy, which can be written to, and does not keep the file.
        return np.array(values.reshape(shape, order="F" if is_fortran else "C"))
    except ValueError as error:
        raise FileError(f"{where}: no numpy file that can be read: {error}") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
