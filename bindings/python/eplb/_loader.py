"""Finds libeplb and the header that describes it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cffi

from ._header import Header

ENVIRONMENT = "EPLB_LIBRARY"
FILE = "libeplb.so.0"
# The ABI that this package was written for: another major is another contract, a lower minor lacks functions.
MAJOR, MINOR = 1, 2
# Of the auxiliary vector, see getauxval(3).
_AT_SECURE = 23
# What is called before there is a header.
_PROBE = """
int32_t eplb_abi_version(void);
typedef struct { const char *dli_fname; void *dli_fbase; const char *dli_sname; void *dli_saddr; } Dl_info;
int dladdr(const void *address, Dl_info *info);
"""


class _Refused(Exception):
    """This place has no library that can be used; the text says why."""


def _bundled_folders() -> list[Path]:
    # An editable install has two folders: the sources, and the one that CMake installed into.
    return [Path(folder) / "_native" for folder in sys.modules[__package__].__path__]


def _check_rights() -> None:
    """Who starts a program that has more rights must not choose what it runs."""
    if ENVIRONMENT in os.environ and _has_more_rights():
        raise _Refused(
            "the program has more rights than its caller (setuid, setgid or capabilities of its file), who must not "
            f"choose what it runs: unset {ENVIRONMENT}"
        )


def _has_more_rights() -> bool:
    ffi = cffi.FFI()
    ffi.cdef("unsigned long getauxval(unsigned long type);")
    try:
        return bool(ffi.dlopen(None).getauxval(_AT_SECURE))
    except AttributeError:
        return len(set(os.getresuid())) > 1 or len(set(os.getresgid())) > 1


def _libraries() -> Iterator[str]:
    """Where the library may be, best first. If the environment names a file, that is the only place."""
    named = os.environ.get(ENVIRONMENT)
    if named is not None:
        yield named
        return
    yield from (str(folder / FILE) for folder in _bundled_folders())
    yield FILE


def _headers_of(library: Path) -> Iterator[Path]:
    """Where the header of a library is: next to it, or in the include next to its lib or lib/x86_64-linux-gnu."""
    for folder in dict.fromkeys((library.parent, library.resolve().parent)):
        yield folder / "eplb.h"
        yield folder.parent / "include" / "eplb.h"
        if folder.parent.name.startswith("lib"):
            yield folder.parent.parent / "include" / "eplb.h"


def _own_headers() -> Iterator[Path]:
    """Where that of this package is: inside, or in a checkout of the sources."""
    yield from (folder / "eplb.h" for folder in _bundled_folders())
    yield Path(__file__).parents[3] / "include" / "eplb.h"


def _first(places: Iterable[Path]) -> tuple[Path, Header] | None:
    for place in places:
        try:
            return place, Header(place.read_text(encoding="utf-8"))
        except OSError:
            continue
    return None


def _read_header(library: Path, abi: tuple[int, int]) -> Header:
    """The header that belongs to a library; otherwise this package's, if the library has all that is in it.

    Any other on the machine may have the constants and structs of another version.
    """
    found = _first(_headers_of(library))
    if found is not None:
        place, header = found
        if header.abi != abi:
            raise _Refused(f"its ABI is {_dotted(abi)}, but that of {place} is {_dotted(header.abi)}")
        return header
    found = _first(_own_headers())
    if found is None:
        raise _Refused(f"no eplb.h: looked for {', '.join(map(str, (*_headers_of(library), *_own_headers())))}")
    place, header = found
    if header.abi > abi:
        raise _Refused(
            f"its ABI is {_dotted(abi)}, that of {place} is {_dotted(header.abi)}, and it has none of its own"
        )
    return header


def _dotted(abi: tuple[int, int]) -> str:
    return f"{abi[0]}.{abi[1]}"


def _identify(library: str) -> tuple[Path, tuple[int, int]]:
    """The file that a library is in, and the version of its ABI, which says what header can be read for the rest."""
    ffi = cffi.FFI()
    ffi.cdef(_PROBE)
    try:
        lib = ffi.dlopen(library, ffi.RTLD_NOW | ffi.RTLD_LOCAL)
    except OSError as error:
        raise _Refused(str(error)) from None
    try:
        version = lib.eplb_abi_version()
    except AttributeError:
        raise _Refused("it has no eplb_abi_version: this is no libeplb") from None
    major, minor = version >> 16, version & 0xFFFF
    if major != MAJOR or minor < MINOR:
        raise _Refused(f"its ABI is {major}.{minor}, but this package needs {MAJOR}.{MINOR} or a later {MAJOR}.x")
    where = ffi.new("Dl_info *")
    found = ffi.dlopen(None).dladdr(ffi.addressof(lib, "eplb_abi_version"), where)
    return Path(os.fsdecode(ffi.string(where.dli_fname)) if found else library), (major, minor)


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
    header = _read_header(*_identify(library))
    ffi = cffi.FFI()
    try:
        ffi.cdef(header.declarations)
    except cffi.CDefError as error:
        raise _Refused(f"the eplb.h found for it cannot be read: {error}") from None
    lib = ffi.dlopen(library, ffi.RTLD_NOW | ffi.RTLD_LOCAL)
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
            _check_rights()
            return (*_open(library), library)
        except _Refused as refused:
            tried.append(f"\n  {library!r}: {refused}")
    asked = f" named by {ENVIRONMENT}" if ENVIRONMENT in os.environ else ""
    hint = "" if asked else f"\nSet {ENVIRONMENT} to the path of {FILE}, or pip install ./bindings/python."
    raise ImportError(f"eplb cannot load the library{asked}. Tried:{''.join(tried)}{hint}")
