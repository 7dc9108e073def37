"""JSON: loads under names, a bare list as lmdeploy reads it, and lines of which each is an object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .._errors import FileError
from .load_content import Content
from .load_formats_named import read_bare, read_named
from .load_labels import Labels
from .load_parts import Part

_MOST_DIGITS = 21


def read_json(content: Content, labels: Labels) -> list[Part]:
    """An object is one or more windows; so is each line, or each object of a list.

    Raises:
        FileError: no JSON, or one without loads.
    """
    parts = []
    for where, value in _documents(content):
        if isinstance(value, dict):
            parts.append(read_named(where, value, content.rank, labels))
        elif isinstance(value, list):
            bare = read_bare(where, "JSON list of layers (lmdeploy)", value, labels)
            parts.append(replace(bare, absolute=True, rank=content.rank))
        else:
            raise FileError(f"{where}: must be an object or a list")
    return parts


def _documents(content: Content) -> Iterator[tuple[str, Any]]:
    """What the file holds, and where."""
    text, path = content.text, str(content.path)
    if not text.strip():
        raise FileError(f"{path}: the file is empty")
    try:
        value = _parse(text)
    except (ValueError, RecursionError) as error:
        yield from _lines(path, text, error)
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
            value = _parse(line)
        except (ValueError, RecursionError) as error:
            fault = f" line {number}: no JSON that can be read: {error}" if index else ""
            raise FileError(f"{path}{fault or f': no JSON that can be read: {whole}'}") from None
        if not isinstance(value, dict):
            raise FileError(f"{path} line {number}: must be an object, as in all files with an object on each line")
        yield f"{path} line {number}", value


def _parse(text: str) -> Any:
    return json.loads(text, parse_int=_integer, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)[:40]!r} is there twice")
    return content


def _integer(digits: str) -> int:
    # Python takes long for very long ones. What is left of these is too large for loads still.
    return int(digits[:_MOST_DIGITS])
