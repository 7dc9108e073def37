"""Loads from files of every kind: an array, or names and arrays, in one or several documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .._errors import FileError
from . import kinds
from .content import Content
from .load_labels import Labels
from .load_named import NAMES, PLACEMENTS, read_bare, read_named
from .load_parts import Part
from .load_tables import read_table
from .load_tensorrt import read_statistics
from .numpy_files import read_numpy
from .parsed import parse_json, read_torch

Reader = Callable[[Content, Labels], list[Part]]


def read_parts(content: Content, labels: Labels) -> list[Part]:
    """What a file says of loads.

    Raises:
        FileError: it holds something else, or is not what its name says.
    """
    kind = kinds.kind_of(content)
    if kind not in _READERS:
        raise FileError(f"{content.path}: is {kind.name}, in which no loads are known")
    return _READERS[kind](content, labels)


def _read_numpy(content: Content, labels: Labels) -> list[Part]:
    """An array [L,E] or [T,L,E]; or arrays by name, or the only one whatever its name. Others are not looked at."""
    value = read_numpy(content)
    if isinstance(value, Mapping) and len(value) == 1 and not any(name in value for name in NAMES + PLACEMENTS):
        value = next(iter(value.values()))
    return [_read_value(content, str(content.path), "array", value, labels)]


def _read_torch(content: Content, labels: Labels) -> list[Part]:
    """A dict with loads under names, as SGLang and vLLM write it, or a bare tensor, as vllm-ascend reads it."""
    value = read_torch(content)
    if not isinstance(value, (dict, np.ndarray)):
        text = f"holds a {type(value).__name__}, must hold a tensor, or a dict with loads"
        raise FileError(f"{content.path}: {text}")
    return [_read_value(content, str(content.path), "tensor", value, labels)]


def _read_value(content: Content, where: str, kind: str, value: Any, labels: Labels) -> Part:
    if isinstance(value, Mapping):
        return read_named(where, value, content.rank, labels)
    return replace(read_bare(where, kind, value, labels), rank=content.rank)


def _read_json(content: Content, labels: Labels) -> list[Part]:
    """An object is one or more windows; so is each line, or each object of a list. lmdeploy reads a bare list."""
    parts = []
    for where, value in _documents(content):
        if not isinstance(value, (dict, list)):
            raise FileError(f"{where}: must be an object or a list")
        part = _read_value(content, where, "JSON list of layers (lmdeploy)", value, labels)
        parts.append(replace(part, absolute=True) if isinstance(value, list) else part)
    return parts


def _documents(content: Content) -> Iterator[tuple[str, Any]]:
    """What the file holds, and where."""
    path = str(content.path)
    try:
        value = parse_json(content.text)
    except (ValueError, RecursionError) as error:
        yield from _lines(path, content.text, error)
        return
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        yield from ((f"{path}: object {index}", each) for index, each in enumerate(value))
        return
    yield path, value


def _lines(path: str, text: str, whole: Exception) -> Iterator[tuple[str, Any]]:
    """Each line is a document, if the first one is."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for index, (number, line) in enumerate(lines):
        try:
            value = parse_json(line)
        except (ValueError, RecursionError) as error:
            fault = f" line {number}: no JSON that can be read: {error}" if index else ""
            raise FileError(f"{path}{fault or f': no JSON that can be read: {whole}'}") from None
        if not isinstance(value, dict):
            raise FileError(f"{path} line {number}: must be an object, as in all files with an object on each line")
        yield f"{path} line {number}", value


_READERS: dict[kinds.Kind, Reader] = {
    kinds.NPY: _read_numpy,
    kinds.NPZ: _read_numpy,
    kinds.TORCH: _read_torch,
    kinds.SAFETENSORS: read_statistics,
    kinds.JSON: _read_json,
    kinds.TABLE: read_table,
}
SUFFIXES = tuple(suffix for kind in _READERS for suffix in kind.suffixes)
