"""Files that commands write: whole or not at all, and never over what they read."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from os import fspath
from pathlib import Path
from typing import IO, Any

from ._errors import FileError, os_error_text
from ._library import invalid_argument


def path_of(value: Any) -> Path:
    """What a caller gives as a path."""
    try:
        return Path(fspath(value))
    except TypeError:
        raise invalid_argument(f"path is {value!r}, must be a path") from None


def check_output(path: Path | None) -> None:
    """Checks, before the work and as far as possible, that a file can be written here; None: there is none."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise FileError(f"{path}: is a directory")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise FileError(f"{path}: permission denied")


def refuse_inputs(outputs: Iterable[Path | None], inputs: Iterable[Path]) -> None:
    """A wrong word on a command line must not cost the only copy of a file."""
    for output, given in product(outputs, inputs):
        if output is not None and output.exists() and given.exists() and output.samefile(given):
            raise FileError(f"{output}: is an input of this command: give the output another name")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file next to path, which takes its place once it is complete; devices and pipes are written to.

    Raises:
        FileError: it cannot be written; path is then as it was.
    """
    target = path.resolve()
    try:
        if (target.exists() and not target.is_file()) or not os.access(target.parent, os.W_OK):
            with target.open("wb") as file:
                yield file
            return
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with partial.open("xb") as file:
                yield file
            if target.exists():
                shutil.copymode(target, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None
