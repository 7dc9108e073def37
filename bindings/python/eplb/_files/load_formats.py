"""The formats of loads: how each is recognised, and what reads it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

from .._errors import FileError
from .load_content import Content
from .load_formats_json import read_json
from .load_formats_numpy import read_npy, read_npz
from .load_formats_table import read_table
from .load_formats_tensorrt import is_safetensors, read_statistics
from .load_formats_torch import read_torch
from .load_labels import Labels
from .load_parts import Part

# How files of torch.save begin that were written before they were zip archives.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


class Format(NamedTuple):
    """What a file is: the endings of names that promise it, how its content shows it, and what reads it."""

    name: str
    suffixes: tuple[str, ...]
    fits: Callable[[Content], bool]
    read: Callable[[Content, Labels], list[Part]]


def _is_npy(content: Content) -> bool:
    return content.data.startswith(b"\x93NUMPY")


def _is_npz(content: Content) -> bool:
    names = _names_in_zip(content.data)
    return names is not None and all(name.endswith(".npy") for name in names)


def _is_torch(content: Content) -> bool:
    names = _names_in_zip(content.data) or []
    return content.data.startswith(_OLD_TORCH) or any(name.endswith("/data.pkl") for name in names)


def _is_safetensors(content: Content) -> bool:
    return is_safetensors(content.data)


def _is_json(content: Content) -> bool:
    # No table of numbers begins so. What is called JSON and is none gets JSON's own error.
    return content.text.lstrip().startswith(("{", "[")) or content.suffix in (".json", ".jsonl")


# Of bytes; a name that promises one of them is kept to it.
_BINARY = (
    Format("a numpy array", (".npy",), _is_npy, read_npy),
    Format("a numpy archive", (".npz",), _is_npz, read_npz),
    Format("a file of torch.save", (".pt", ".pth"), _is_torch, read_torch),
    Format("a safetensors file", (".safetensors",), _is_safetensors, read_statistics),
)
# Of text, whatever their names; the first that fits.
_TEXT = (
    Format("JSON", (".json", ".jsonl"), _is_json, read_json),
    Format("a table", (".csv", ".txt"), lambda content: True, read_table),
)
SUFFIXES = tuple(suffix for each in _BINARY + _TEXT for suffix in each.suffixes)


def read_parts(content: Content, labels: Labels) -> list[Part]:
    """What a file says of loads, in the format that its content shows.

    Raises:
        FileError: it is of no format here, or not what its name says.
    """
    if not content.data.strip():
        raise FileError(f"{content.path}: the file is empty")
    found = next((each for each in _BINARY if each.fits(content)), None)
    if found is None:
        promised = next((each for each in _BINARY if content.suffix in each.suffixes), None)
        if promised is not None:
            raise FileError(f"{content.path}: is not {promised.name}, as its name says")
        found = next(each for each in _TEXT if each.fits(content))
    return found.read(content, labels)


def _names_in_zip(data: bytes) -> list[str] | None:
    if not data.startswith(b"PK"):
        return None
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return archive.namelist()
    except Exception:  # zipfile lets through what it meets in damaged ones
        return None
