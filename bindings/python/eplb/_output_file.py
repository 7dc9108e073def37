"""Files that commands write: whole or not at all, and never over what they read."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations, product
from pathlib import Path
from typing import Any

from ._errors import Error, FileError, os_error_text
from ._library import invalid_argument

# A file that this process has open, such as what /dev/stdout stands for.
_OWN = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_MOST_LINKS = 40


def path_of(value: Any) -> Path:
    """What a caller gives as a path."""
    try:
        return Path(os.fspath(value))
    except TypeError:
        raise invalid_argument(f"path is {value!r}, must be a path") from None


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Faults of the system become sentences that begin with the path."""
    try:
        yield
    except Error:
        raise
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None
    except ValueError as error:
        raise FileError(f"{path}: is no name of a file: {error}") from None


def check_output(path: Path | None) -> None:
    """Checks, before the work and as far as possible, that a file can be written here; None: there is none."""
    if path is None:
        return
    with naming_file(path):
        if not path.parent.is_dir():
            raise FileError(f"{path}: there is no folder {path.parent}")
        if path.is_dir():
            raise FileError(f"{path}: is a directory")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise FileError(f"{path}: permission denied")


def refuse_inputs(outputs: Iterable[Path | None], inputs: Iterable[Path]) -> None:
    """A wrong word on a command line must not cost the only copy of a file."""
    wanted = [output for output in outputs if output is not None]
    for output, given in product(wanted, inputs):
        if _is_same(output, given):
            raise FileError(f"{output}: is an input of this command: give the output another name")
    for first, second in combinations(wanted, 2):
        if _is_same(first, second):
            raise FileError(f"{second}: would be written twice: give one output another name")


def _is_same(first: Path, second: Path) -> bool:
    with suppress(OSError, ValueError):
        return first.samefile(second)
    # Not both are there.
    with suppress(OSError, ValueError):
        return os.path.realpath(first) == os.path.realpath(second)
    return False


def write_file(path: Path, content: bytes) -> None:
    """Writes a file next to path, which takes its place once it is complete. Devices and pipes are written to.

    Raises:
        FileError: it cannot be written; what was there is then as it was.
    """
    with naming_file(path):
        own = _own_descriptor(path)
        if own is not None:
            _write_to_own(own, content)
            return
        # The file that a link leads to, so that the link stays.
        target = Path(os.path.realpath(path))
        before = _status(target)
        if before is not None and not stat.S_ISREG(before.st_mode):
            target.write_bytes(content)
        elif before is None or os.access(target.parent, os.W_OK):
            _replace(target, content, before)
        else:
            _overwrite(target, content)


def _status(target: Path) -> os.stat_result | None:
    try:
        return target.stat()
    except FileNotFoundError:
        return None


def _own_descriptor(path: Path) -> int | None:
    """The number of a file that is open already: opened again it would start over, and may have no name."""
    name = os.path.abspath(path)
    for _ in range(_MOST_LINKS):
        own = _OWN.fullmatch(name)
        if own is not None:
            return int(own[1])
        if not os.path.islink(name):
            return None
        name = os.path.normpath(os.path.join(os.path.dirname(name), os.readlink(name)))
    return None


def _write_to_own(number: int, content: bytes) -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # What was printed comes first.
        stream.flush()
    with open(number, "wb", closefd=False) as file:
        file.write(content)


def _replace(target: Path, content: bytes, before: os.stat_result | None) -> None:
    partial = target.with_name(f".{secrets.token_hex(8)}.eplb")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            # Else a machine that loses its power may have the new name, and nothing in it.
            os.fsync(file.fileno())
        if before is not None:
            with suppress(PermissionError):
                os.chown(partial, before.st_uid, before.st_gid)
            partial.chmod(before.st_mode & 0o777)
        try:
            partial.replace(target)
        except OSError:
            # Such as a file that a container has been given, whose name is not to be changed.
            if before is None:
                raise
            _overwrite(target, content)
    finally:
        partial.unlink(missing_ok=True)


def _overwrite(target: Path, content: bytes) -> None:
    """Where the folder takes no other file. The room is taken first, so that a full disk costs nothing."""
    with target.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if len(content) > size:
                os.posix_fallocate(file.fileno(), 0, len(content))
        except OSError:
            file.truncate(size)
            raise
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
