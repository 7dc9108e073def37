"""Tables of numbers from files, for plans: loads are read by eplb._files.loads."""

from __future__ import annotations

from pathlib import Path

from ._arrays import Array
from ._errors import FileError
from ._files.load_content import os_error_text, read_content
from ._files.load_formats_numpy import read_arrays
from ._files.load_formats_table import read_csv

__all__ = ["FileError", "load_numpy", "os_error_text", "read_csv"]


def load_numpy(path: Path) -> Array | dict[str, Array]:
    """Reads an .npy as an array, an .npz as a dictionary. Never unpickles anything."""
    return read_arrays(read_content(path))
