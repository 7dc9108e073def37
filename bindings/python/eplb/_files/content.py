"""The bytes of a file, unpacked, and what they are where nothing here reads them."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePath

from .._errors import FileError, os_error_text
from .._lazy import lazy
from .packing import PACKINGS, packing_of, unpack
from .values import bounded

# Read from where it is open already: a socket cannot be opened by this name.
STDIN = Path("/dev/stdin")
# Bytes that are read from what is no file.
_MOST_OF_PIPE = 2**30


@dataclass(frozen=True)
class Content:
    """A file: its path, its name without the ending of a compression, and its bytes, unpacked."""

    path: Path
    name: str
    data: bytes

    @property
    def suffix(self) -> str:
        """In lower case, like .csv."""
        return PurePath(self.name).suffix.lower()

    @property
    def rank(self) -> int | None:
        """The rank whose share of the tokens the file holds, if its name says so."""
        found = re.search(r"(?<![a-z])rank[_-]?(\d{1,5})(?!\d)", self.name, re.I)
        return int(found[1]) if found else None

    @lazy
    def text(self) -> str:
        """In UTF-8, with or without a byte order mark.

        Raises:
            FileError: something else, which is named if it is known; or nothing.
        """
        text = _text_of(self.path, self.data)
        if not text.strip():
            raise FileError(f"{self.path}: the file is empty")
        return text


# How files begin that are not read.
_FOREIGN = {
    **{packing.magic: packing.name for packing in PACKINGS},
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x89HDF": "HDF5",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"PK\x03\x04": "a zip archive of something else",
    b"\x89PNG": "a picture",
    b"%PDF": "PDF",
    b"SQLite format 3": "a database",
    **{bytes([0x80, protocol]): "a pickle" for protocol in range(2, 6)},
}


def read_content(path: Path) -> Content:
    """Reads a file; gzip, xz, bzip2 and zstd are unpacked.

    Raises:
        FileError: it cannot be read or unpacked, or there is nothing in it.
    """
    name, data = path.name, _bytes_of(path)
    packing = packing_of(data)
    if packing is not None:
        data = unpack(path, data, packing)
        name = path.stem if path.suffix.lower() == packing.suffix else name
    if not data.strip():
        raise FileError(f"{path}: the file is empty")
    return Content(path, name, data)


def _bytes_of(path: Path) -> bytes:
    try:
        with bounded(path), open(0, "rb", closefd=False) if path == STDIN else path.open("rb") as file:
            if stat.S_ISREG(os.stat(file.fileno()).st_mode):
                return file.read()
            # Some devices never end.
            data = file.read(_MOST_OF_PIPE + 1)
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None
    except ValueError as error:
        raise FileError(f"{path}: is no name of a file: {error}") from None
    if len(data) > _MOST_OF_PIPE:
        raise FileError(f"{path}: is no file, and has more than {_MOST_OF_PIPE >> 20} MiB: write it to a file first")
    return data


def _text_of(path: Path, data: bytes) -> str:
    for magic, name in _FOREIGN.items():
        if data.startswith(magic):
            what = "must be UTF-8" if name.startswith("UTF") else "which is not read"
            raise FileError(f"{path}: is {name}, {what}")
    if b"\0" in data[:1000]:
        # Half of the bytes of digits are zero in UTF-16, even without its mark.
        halves = [half.count(0) * 2 > len(half) for half in (data[:1000:2], data[1:1000:2])]
        raise FileError(f"{path}: is {'UTF-16, must be UTF-8' if sum(halves) == 1 else 'no text'}")
    try:
        # Spreadsheets begin their UTF-8 with a byte order mark.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is no text in UTF-8, by its byte {error.start}") from None
