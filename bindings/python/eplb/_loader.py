"""Finds libeplb and the header that describes it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cffi

from ._header import Header

ENVIRONMENT = "EPLB_LIBRARY"
FILE = "libeplb.so.0"
# The ABI that this package was written for: another major is another contract, a lower minor lacks functions.
MAJOR, MINOR = 1, 1


class _Refused(Exception):
    """This place has no library that can be used; the text says why."""


def _bundled_folders() -> list[Path]:
    # An editable install has two folders: the sources, and the one that CMake installed into.
    return [Path(folder) / "_native" for folder in sys.modules[__package__].__path__]


def _libraries() -> Iterator[str]:
    """Where the library may be, best first. If the environment names a file, that is the only place."""
    named = os.environ.get(ENVIRONMENT)
    if named is not None:
        yield named
        return
    yield from (str(folder / FILE) for folder in _bundled_folders())
    yield FILE


def _headers(library: str) -> Iterator[Path]:
    """Where the header may be: next to the library, in this package, or in a checkout of the sources."""
    if os.sep in library:
        folder = Path(library).parent
        yield folder / "eplb.h"
        yield folder.parent / "include" / "eplb.h"
    yield from (folder / "eplb.h" for folder in _bundled_folders())
    yield Path(__file__).parents[3] / "include" / "eplb.h"
    yield Path("/usr/local/include/eplb.h")
    yield Path("/usr/include/eplb.h")


def _read_header(library: str) -> Header:
    places = list(_headers(library))
    for place in places:
        try:
            return Header(place.read_text(encoding="utf-8"))
        except OSError:
            continue
    raise _Refused(f"no eplb.h: looked for {', '.join(map(str, places))}")


def _check_version(lib: Any) -> None:
    try:
        version = lib.eplb_abi_version()
    except AttributeError:
        raise _Refused("it has no eplb_abi_version: this is no libeplb") from None
    major, minor = version >> 16, version & 0xFFFF
    if major != MAJOR or minor < MINOR:
        raise _Refused(f"its ABI is {major}.{minor}, but this package needs {MAJOR}.{MINOR} or a later {MAJOR}.x")


def _check_functions(lib: Any, header: Header) -> None:
    """cffi looks a function up at its first call, which is too late to reject the library."""
    for name in header.functions:
        if not hasattr(lib, name):
            raise _Refused(f"it has no {name}, which the eplb.h found for it declares")


def _check_structs(ffi: Any, lib: Any, header: Header) -> None:
    """With the header of another library, struct fields would be read at the wrong offsets."""
    error = ffi.new("eplb_error *")
    for name in header.structs:
        init = getattr(lib, f"{name}_init")
        # The type by its name would be parsed in C, which takes milliseconds.
        pointer = ffi.typeof(init).args[0]
        size = ffi.sizeof(pointer.item)
        status = init(ffi.new(pointer), size, error)
        if status:
            text = ffi.string(error.text).decode("utf-8", "replace")
            raise _Refused(f"the eplb.h found for it has {name} of {size} bytes: {text}")


def _open(library: str) -> tuple[Any, Any, Header]:
    if not library:
        raise _Refused("it is empty")
    if os.sep in library and not Path(library).is_file():
        raise _Refused("there is no such file")
    header = _read_header(library)
    ffi = cffi.FFI()
    try:
        ffi.cdef(header.declarations)
    except cffi.CDefError as error:
        raise _Refused(f"the eplb.h found for it cannot be read: {error}") from None
    try:
        lib = ffi.dlopen(library, ffi.RTLD_NOW | ffi.RTLD_LOCAL)
    except OSError as error:
        raise _Refused(str(error)) from None
    _check_version(lib)
    _check_functions(lib, header)
    _check_structs(ffi, lib, header)
    return ffi, lib, header


def load() -> tuple[Any, Any, Header, str]:
    """Returns cffi's ffi and lib, the header, and the path of the library.

    Raises:
        ImportError: no usable library; the text lists every place that was tried and what was wrong there.
    """
    tried = []
    for library in _libraries():
        try:
            return (*_open(library), library)
        except _Refused as refused:
            tried.append(f"\n  {library!r}: {refused}")
    asked = f" named by {ENVIRONMENT}" if ENVIRONMENT in os.environ else ""
    hint = "" if asked else f"\nSet {ENVIRONMENT} to the path of {FILE}, or pip install ./bindings/python."
    raise ImportError(f"eplb cannot load the library{asked}. Tried:{''.join(tried)}{hint}")
