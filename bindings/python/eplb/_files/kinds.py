"""The kinds of files that are read, whatever is in them: how each is recognised by its content."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from io import BytesIO, StringIO
from typing import NamedTuple

from .._errors import FileError
from .content import Content

# How files of torch.save begin that were written before they were zip archives.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_YAML = re.compile(r"[A-Za-z_]\w*:(\s|$)")


class Kind(NamedTuple):
    """What it is called, the endings of names that promise it, and how its content shows it."""

    name: str
    suffixes: tuple[str, ...]
    fits: Callable[[Content], bool]


def _is_npy(content: Content) -> bool:
    return content.data.startswith(b"\x93NUMPY")


def _is_npz(content: Content) -> bool:
    names = _names_in_zip(content.data)
    return names is not None and all(name.endswith(".npy") for name in names)


def _is_torch(content: Content) -> bool:
    names = _names_in_zip(content.data) or []
    return content.data.startswith(_OLD_TORCH) or any(name.endswith("/data.pkl") for name in names)


def _is_safetensors(content: Content) -> bool:
    """They begin with the length of a JSON object, and that object."""
    length = int.from_bytes(content.data[:8], "little")
    return content.data[8:9] == b"{" and 1 < length <= len(content.data) - 8


def _is_yaml(content: Content) -> bool:
    if content.suffix in _YAML_SUFFIXES + _JSON_SUFFIXES:
        return content.suffix in _YAML_SUFFIXES
    # No table begins with a name and a colon. Marks of documents and comments may come before.
    lines = (line for line in StringIO(content.text) if line.strip() and not line.startswith(("#", "%", "---")))
    return _YAML.match(next(lines, "")) is not None


def _is_json(content: Content) -> bool:
    # No table of numbers begins so. What is called JSON and is none gets JSON's own error.
    return content.text.lstrip().startswith(("{", "[")) or content.suffix in _JSON_SUFFIXES


def _names_in_zip(data: bytes) -> list[str] | None:
    if not data.startswith(b"PK"):
        return None
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return archive.namelist()
    except Exception:  # zipfile lets through what it meets in damaged ones
        return None


_JSON_SUFFIXES, _YAML_SUFFIXES = (".json", ".jsonl"), (".yaml", ".yml")
NPY = Kind("a numpy array", (".npy",), _is_npy)
NPZ = Kind("a numpy archive", (".npz",), _is_npz)
TORCH = Kind("a file of torch.save", (".pt", ".pth"), _is_torch)
SAFETENSORS = Kind("a safetensors file", (".safetensors",), _is_safetensors)
YAML = Kind("YAML", _YAML_SUFFIXES, _is_yaml)
JSON = Kind("JSON", _JSON_SUFFIXES, _is_json)
TABLE = Kind("a table", (".csv", ".txt"), lambda content: True)
# Of bytes; a name that promises one of them is kept to it.
_BINARY = (NPY, NPZ, TORCH, SAFETENSORS)
# Of text, whatever their names; the first that fits.
_TEXT = (YAML, JSON, TABLE)


def kind_of(content: Content) -> Kind:
    """The kind that the content of a file shows.

    Raises:
        FileError: it is not what its name promises, or bytes of no kind that is read.
    """
    found = next((kind for kind in _BINARY if kind.fits(content)), None)
    if found is not None:
        return found
    promised = next((kind for kind in _BINARY if content.suffix in kind.suffixes), None)
    if promised is not None:
        raise FileError(f"{content.path}: is not {promised.name}, as its name says")
    return next(kind for kind in _TEXT if kind.fits(content))
