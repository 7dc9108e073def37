"""Loads from files of any format, one or several, and from folders of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeAlias

from .._errors import FileError, os_error_text
from .._library import integer
from .content import read_content
from .load_labels import Labels
from .load_merge import Loads, Sizes, merge
from .load_parts import Part
from .load_readers import SUFFIXES, read_parts
from .load_tensorrt import META, experts_of_folder, files_of_ranks
from .packing import unpacked_name
from .values import bounded

Paths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

# Seconds since 1970 with their fraction, as programs put them into names, are one number; 1.10 is two.
_NUMBERS = re.compile(r"(\d{9,}\.\d+|\d+)")


class Source(NamedTuple):
    """A file of loads, and how many experts a file next to it says there are."""

    path: Path
    experts: int | None = None

    @property
    def files(self) -> list[Path]:
        """All that is read."""
        return [self.path] if self.experts is None else [self.path, self.path.with_name(META)]


def read_loads(
    paths: Paths,
    *,
    experts: int | None = None,
    layers: int | None = None,
    header: bool | None = None,
    index: bool | None = None,
) -> Loads:
    """Reads loads of experts in any format that docs/files.md lists, recognised by content.

    Several files, and files of folders, are windows in order of time: folders in natural order of names, in which
    numbers count as numbers; several paths in the order given, but if that is the order of the alphabet, as a shell
    makes of `*`, in natural order. Files that hold the shares of ranks are summed. Layers without any load in formats
    that number all layers of a model are dense layers, and are left out.

    Args:
        paths: a file, a folder, or several of them.
        experts, layers: how many there must be; None: any. A table that leaves out zeros is filled up to experts.
        header: whether the first row of a table names experts. None: what looks like that is refused.
        index: whether the first column of a table has the numbers of layers. None: as above.

    Raises:
        FileError: a file is not there, or not what it should be; a sentence that begins with its name.
    """
    if not isinstance(paths, (str, os.PathLike)):
        paths = list(paths)
    for name, size in (("experts", experts), ("layers", layers)):
        if size is not None:
            integer(name, size, 1)
    sources, order, notes = find_sources(paths)
    parts = [part for source in sources for part in _parts_of(source, Labels(header, index))]
    files = tuple(source.path for source in sources)
    with bounded(files[0] if len(files) == 1 else f"{len(files)} files"):
        return merge(parts, files, order, Sizes(experts, layers), notes)


def find_sources(paths: Paths) -> tuple[list[Source], str, list[str]]:
    """The files to be read in order, the words for that order, and what is to be said of others.

    Raises:
        FileError: none are there.
    """
    given = [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(path) for path in paths]
    if not given:
        raise FileError("no file of loads was given")
    natural = list(map(str, given)) == sorted(map(str, given))
    notes: list[str] = []
    with bounded(given[0]):
        sources = [source for path in (_in_order(given) if natural else given) for source in _sources_of(path, notes)]
    order = ", in natural order of names" if natural else ", in the order given"
    return sources, order if len(sources) > 1 else "", notes


def _sources_of(path: Path, notes: list[str]) -> Iterator[Source]:
    try:
        if not path.is_dir():
            yield Source(path)
            return
        entries = _in_order(entry for entry in path.iterdir() if not entry.name.startswith("."))
        if any(entry.name == META for entry in entries):
            experts = experts_of_folder(path)
            yield from (Source(file, experts) for file in _in_order(files_of_ranks(path)))
            return
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None
    wanted = [
        entry
        for entry in entries
        if unpacked_name(entry).suffix.lower() in SUFFIXES or (entry.is_dir() and not entry.is_symlink())
    ]
    if not wanted:
        raise FileError(f"{path}: is a directory without files of loads: {', '.join(SUFFIXES)}")
    ignored = [entry.name for entry in entries if entry not in wanted]
    if ignored:
        notes.append(f"{path}: not read: {', '.join(ignored[:5])}{' and more' if len(ignored) > 5 else ''}")
    for entry in wanted:
        yield from _sources_of(entry, notes)


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """In natural order of names: numbers as numbers."""
    return sorted(paths, key=lambda path: [_part_key(part) for part in (*path.parts[:-1], unpacked_name(path).stem)])


def _part_key(name: str) -> list[tuple[Decimal, str]]:
    # Every second piece is a number; text and numbers are never compared with each other.
    pieces = _NUMBERS.split(name)
    return [(Decimal(piece), "") if index % 2 else (Decimal(0), piece) for index, piece in enumerate(pieces)]


def _parts_of(source: Source, labels: Labels) -> Sequence[Part]:
    with bounded(source.path):
        parts = read_parts(read_content(source.path), labels)
    for part in parts:
        found = part.counts.shape[2]
        if source.experts not in (None, found):
            raise FileError(f"{part.where}: has {found} experts, but {META} says {source.experts}")
    return parts
