"""What the loaded library has: its version, backends, devices, strategies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _library
from ._context import Context
from ._errors import Error, Unavailable
from ._library import BOUNDS_TO_ASK_FOR, DEVICE_KINDS, EFFORTS, POLICIES, STRATEGIES, check, ffi, lib


def strategies() -> tuple[str, ...]:
    """Names of the strategies in the library's header; one that this build lacks raises Unavailable."""
    return tuple(STRATEGIES)


def efforts() -> tuple[str, ...]:
    """Names of the efforts, least first."""
    return tuple(EFFORTS)


def policies() -> tuple[str, ...]:
    """Names of the policies."""
    return tuple(POLICIES)


def bounds() -> tuple[str, ...]:
    """Names of the kinds of lower bound that a report can be over."""
    return tuple(BOUNDS_TO_ASK_FOR)


def library_version() -> str:
    """Version of the loaded library, like "0.1.0". Its ABI has been checked when it was loaded."""
    return _library.version()


@dataclass(frozen=True)
class Backend:
    """What a backend is and can do on this machine.

    Attributes:
        built: the library has code for it.
        usable: a context can be created on it.
        status: "EPLB_OK", or why it is not usable: "EPLB_NOT_BUILT", "EPLB_NO_DRIVER", "EPLB_NO_DEVICE".
        text: one sentence: why or why not; for the CPU, the instruction set in use.
        num_devices: devices that there are.
        device_names: their names.
        driver_version, driver_needed: found, and the least that the library works with, as CUDA counts:
            1000 * major + 10 * minor; 0 for none.
        runtime_version: of the CUDA runtime inside the library; 0 for none.
    """

    built: bool
    usable: bool
    status: str
    text: str
    num_devices: int
    device_names: tuple[str, ...]
    driver_version: int
    driver_needed: int
    runtime_version: int


def backends() -> dict[str, Backend]:
    """Every backend in the header, by name: "cpu", "cuda". The first call looks for a driver."""
    return {name: _backend(kind) for name, kind in DEVICE_KINDS.items()}


def _backend(kind: int) -> Backend:
    error, found = ffi.new("eplb_error *"), ffi.new("eplb_backend *")
    check(lib.eplb_backend_init(found, ffi.sizeof("eplb_backend"), error), error)
    text = ffi.new("char[256]")
    check(lib.eplb_backend_info(kind, found, text, 256, error), error)
    return Backend(
        built=bool(found.built),
        usable=found.status == 0,
        status=_library.status_name(found.status),
        text=_text(text),
        num_devices=found.num_devices,
        device_names=tuple(_device_name(kind, index) for index in range(found.num_devices)),
        driver_version=found.driver_version,
        driver_needed=found.driver_needed,
        runtime_version=found.runtime_version,
    )


def _device_name(kind: int, index: int) -> str:
    error, name = ffi.new("eplb_error *"), ffi.new("char[128]")
    check(lib.eplb_device_name(kind, index, name, 128, error), error)
    return _text(name)


def _text(characters: Any) -> str:
    text: str = ffi.string(characters).decode("utf-8", "replace")
    return text


def describe_library() -> dict[str, Any]:
    """All of it as plain Python objects, ready for JSON."""
    abi = lib.eplb_abi_version()
    return {
        "version": library_version(),
        "abi": f"{abi >> 16}.{abi & 0xFFFF}",
        "library": _library.path,
        "backends": {name: _describe_backend(backend) for name, backend in backends().items()},
        "strategies": {name: _has_strategy(name) for name in STRATEGIES},
        "default_strategy": _default_strategy(),
    }


def _describe_backend(backend: Backend) -> dict[str, Any]:
    return {
        "usable": backend.usable,
        "status": backend.status,
        "why": backend.text,
        "devices": list(backend.device_names),
        "driver_version": backend.driver_version,
        "driver_needed": backend.driver_needed,
        "runtime_version": backend.runtime_version,
    }


def _has_strategy(name: str) -> bool:
    """Tries the smallest problem, since the library has no query for this."""
    with Context() as context:
        try:
            context.solve([[1.0]], num_slots=1, num_gpus=1, strategy=name)
        except Unavailable:
            return False
        except Error:
            # Rejected for another reason, so it exists.
            return True
    return True


def _default_strategy() -> str | None:
    with Context() as context:
        return context.solve([[1.0]], num_slots=1, num_gpus=1).report.strategy
