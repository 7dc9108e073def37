"""Compressed files: how they are recognised and unpacked, and how much may come out of them."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path, PurePath
from typing import IO, Any, NamedTuple

from .._errors import FileError

# A small file can hold any number of zeros. Counts are packed to a fifth, tables of few of them to a thirtieth.
_MOST_UNPACKED = 2**28
_MOST_RATIO = 64
# What is unpacked at once, and what is given to zstd at once, which makes up to 2^15 times as much of it.
_PIECE, _ZSTD_PIECE = 2**20, 2**10


class Packing(NamedTuple):
    """What it is called, how its files begin and their names end, and how they are unpacked, piece by piece."""

    name: str
    magic: bytes
    suffix: str
    unpack: Callable[[bytes], Iterator[bytes]]


def most_unpacked(packed: int) -> int:
    """Bytes that may come out of a file of this size."""
    return max(_MOST_UNPACKED, _MOST_RATIO * packed)


def packing_of(data: bytes) -> Packing | None:
    return next((packing for packing in PACKINGS if data.startswith(packing.magic)), None)


def unpacked_name(path: Path) -> PurePath:
    """Without the ending of a compression."""
    packed = path.suffix.lower() in {packing.suffix for packing in PACKINGS}
    return PurePath(path.stem if packed else path.name)


def unpack(path: Path, data: bytes, packing: Packing) -> bytes:
    """
    Raises:
        FileError: it is damaged, or more comes out of it than is allowed.
    """
    most = most_unpacked(len(data))
    pieces, size = [], 0
    try:
        for piece in packing.unpack(data):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                break
    except ModuleNotFoundError as error:
        text = f"{path}: is {packing.name}, which needs {error.name}: pip install {error.name}, or unpack it first"
        raise FileError(text) from None
    except Exception as error:  # each of these modules has exceptions of its own
        fault = str(error) if isinstance(error, (OSError, EOFError, ValueError, zlib.error)) else type(error).__name__
        raise FileError(f"{path}: is {packing.name} that cannot be unpacked: {fault}") from None
    if size > most:
        raise FileError(f"{path}: is {packing.name} of more than {most >> 20} MiB: unpack it first")
    return b"".join(pieces)


def _by_module(name: str) -> Callable[[bytes], Iterator[bytes]]:
    # Python can be built without these.
    return lambda data: _pieces(importlib.import_module(name).open(BytesIO(data)))


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(_PIECE), b"")


def _unpack_zstd(data: bytes) -> Iterator[bytes]:
    try:
        return _by_module("compression.zstd")(data)
    except ModuleNotFoundError:
        return _frames(importlib.import_module("zstandard").ZstdDecompressor(), data)


def _frames(decompressor: Any, data: bytes) -> Iterator[bytes]:
    """Of one frame after another. Its reader of streams takes one that is cut off for a whole one."""
    frame = decompressor.decompressobj()
    for start in range(0, len(data), _ZSTD_PIECE):
        rest = data[start : start + _ZSTD_PIECE]
        while rest:
            if frame.eof:
                frame = decompressor.decompressobj()
            yield frame.decompress(rest)
            rest = frame.unused_data
    if not frame.eof:
        raise EOFError("it ends within a frame")


PACKINGS = (
    Packing("gzip", b"\x1f\x8b", ".gz", _by_module("gzip")),
    Packing("xz", b"\xfd7zXZ\0", ".xz", _by_module("lzma")),
    Packing("bzip2", b"BZh", ".bz2", _by_module("bz2")),
    Packing("zstd", b"\x28\xb5\x2f\xfd", ".zst", _unpack_zstd),
)
