"""What a file holds, read strictly: whatever cannot be read is said in one sentence that begins with its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .._weight_file import FileError, load_numpy, os_error_text, read_csv

_BEGINNINGS = {
    b"PK\x03\x04": "a zip archive",
    b"\x93NUMPY": "an .npy file",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x89HDF": "an HDF5 file",
    b"\x80": "a pickle",
}
# Enough for any 64-bit integer; Python takes long for very long ones.
_MOST_DIGITS = 20


def read_content(path: Path) -> Any:
    """A mapping, a list or an array, by the file's suffix; without a known one, by how it begins.

    Raises:
        FileError: no such file, or its contents are not what the suffix says.
    """
    head = _head_of(path)
    found = next((kind for magic, kind in _BEGINNINGS.items() if head.startswith(magic)), None)
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        suffix = _likely_suffix(head, found)
    expected, read = _READERS[suffix]
    if found is not None and found != expected:
        kind = {"a zip archive": "a zip archive, such as .npz or .pt"}.get(found, found)
        wanted = expected or f"{_TEXTS.get(suffix, 'CSV')} in UTF-8"
        raise FileError(f"{path}: is {kind}, must be {wanted}")
    return read(path)


def _head_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None


def _likely_suffix(head: bytes, found: str | None) -> str:
    if found is not None:
        return {"a zip archive": ".npz", "an .npy file": ".npy"}.get(found, ".csv")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"{", b"[")):
        return ".json"
    # No CSV of numbers has a colon.
    return ".yaml" if b":" in text else ".csv"


def _read_text(path: Path) -> str:
    try:
        # Editors and spreadsheets begin their UTF-8 with a byte order mark.
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None
    except UnicodeDecodeError:
        raise FileError(f"{path}: no text in UTF-8") from None


def read_json(path: Path) -> Any:
    """JSON without what its parsers disagree about: a name twice in an object, NaN, integers of any length."""
    text = _read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: no JSON that can be read: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object has {next(name for name in names if names.count(name) > 1)[:40]!r} twice")
    return content


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"the integer {digits[:_MOST_DIGITS]}... has {len(digits)} digits")
    return int(digits)


def read_yaml(path: Path) -> Any:
    """YAML of plain data, without a name twice in a mapping."""
    text = _read_text(path)
    try:
        import yaml
    except ModuleNotFoundError:
        raise FileError(f"{path}: needs PyYAML, which is not installed: pip install 'eplb[files]'") from None
    try:
        return yaml.load(text, Loader=_yaml_loader(yaml))
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise FileError(f"{path}{line}: no YAML that can be read: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(f"{path}: no YAML that can be read: {' '.join(str(error).split())}") from None


def _yaml_loader(yaml: Any) -> Any:
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            known = set()
            for key, _ in node.value:
                name = self.construct_object(key) if isinstance(key, yaml.ScalarNode) else None
                if name is not None and name in known:
                    raise yaml.constructor.ConstructorError(None, None, f"{name!r} is there twice", key.start_mark)
                known.add(name)
            return super().construct_mapping(node, deep)

    return Loader


def import_torch(path: Path) -> Any:
    """The module, for a file that cannot be read or written without it."""
    try:
        import torch
    except ModuleNotFoundError:
        raise FileError(f"{path}: needs torch, which is not installed: pip install torch, or use .json") from None
    return torch


def read_torch(path: Path) -> Any:
    """A mapping or a tensor of a .pt file, tensors as numpy arrays. Never unpickles anything but plain data."""
    torch = import_torch(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(content, dict):
            return {name: value.numpy() if torch.is_tensor(value) else value for name, value in content.items()}
        return content.numpy() if torch.is_tensor(content) else content
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None
    except Exception as error:  # torch lets through what its unpickler and its zip reader raise
        reason = str(error).strip().split("\n")[0][:200]
        raise FileError(f"{path}: no torch file of plain data: {reason}") from None


def _read_numpy(path: Path) -> Any:
    loaded = load_numpy(path)
    # An .npz has scalars as arrays without dimensions.
    if isinstance(loaded, np.ndarray):
        return loaded
    return {name: array.item() if array.ndim == 0 else array for name, array in loaded.items()}


_TEXTS = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML"}
# How a file of that suffix begins, None for text, and who reads it.
_READERS: dict[str, tuple[str | None, Callable[[Path], Any]]] = {
    ".npy": ("an .npy file", _read_numpy),
    ".npz": ("a zip archive", _read_numpy),
    ".pt": ("a zip archive", read_torch),
    ".json": (None, read_json),
    ".yaml": (None, read_yaml),
    ".yml": (None, read_yaml),
    ".csv": (None, read_csv),
}
