"""What the loaded library has: its version, backends, devices, strategies."""

from __future__ import annotations

from typing import Any

from . import _library
from ._context import Context
from ._errors import Error, Unavailable
from ._library import DEVICE_KINDS, STRATEGIES, check, ffi, lib


def describe_library() -> dict[str, Any]:
    """Version, ABI and path of the library; its backends with devices, or why there are none; its strategies."""
    abi = lib.eplb_abi_version()
    return {
        "version": _library.version(),
        "abi": f"{abi >> 16}.{abi & 0xFFFF}",
        "library": _library.path,
        "backends": {name: _describe_backend(kind) for name, kind in DEVICE_KINDS.items()},
        "strategies": {name: _has_strategy(name) for name in STRATEGIES},
        "default_strategy": _default_strategy(),
    }


def _describe_backend(kind: int) -> dict[str, Any]:
    error, backend = ffi.new("eplb_error *"), ffi.new("eplb_backend *")
    check(lib.eplb_backend_init(backend, ffi.sizeof("eplb_backend"), error), error)
    text = ffi.new("char[256]")
    check(lib.eplb_backend_info(kind, backend, text, 256, error), error)
    return {
        "usable": backend.status == 0,
        "status": _library.status_name(backend.status),
        "why": ffi.string(text).decode("utf-8", "replace"),
        "devices": [_device_name(kind, index) for index in range(backend.num_devices)],
        "driver_version": backend.driver_version,
        "driver_needed": backend.driver_needed,
        "runtime_version": backend.runtime_version,
    }


def _device_name(kind: int, index: int) -> str:
    error, name = ffi.new("eplb_error *"), ffi.new("char[128]")
    check(lib.eplb_device_name(kind, index, name, 128, error), error)
    text: str = ffi.string(name).decode("utf-8", "replace")
    return text


def _has_strategy(name: str) -> bool:
    """The smallest problem tells: there is no other way to ask."""
    with Context() as context:
        try:
            context.solve([[1.0]], num_slots=1, num_gpus=1, strategy=name)
        except Unavailable:
            return False
        except Error:
            # Refused for another reason, so it is there.
            return True
    return True


def _default_strategy() -> str | None:
    with Context() as context:
        return context.solve([[1.0]], num_slots=1, num_gpus=1).report.strategy
