"""Exceptions: one for each kind of status, each also a subclass of the built-in exception for such a fault."""

from __future__ import annotations

from pathlib import Path

from ._printable import printable


class Error(Exception):
    """A call failed. str() is one sentence that names the argument and the numbers.

    Attributes:
        text: that sentence.
        code: the eplb_status.
        status: its name, like "EPLB_INVALID_WEIGHT".
    """

    def __init__(self, text: str, code: int = 0, status: str = "") -> None:
        # All three, so that errors can be pickled: they cross process pools.
        super().__init__(text, code, status)
        self.text = text
        self.code = code
        self.status = status

    def __str__(self) -> str:
        return printable(self.text)


class InvalidArgument(Error, ValueError):
    """A shape, size, type or name that is not allowed."""


class InvalidState(Error, RuntimeError):
    """The wrong order of calls, a context used by two threads at once, or after close or fork."""


class InvalidWeight(Error, ValueError):
    """A weight is NaN, infinite or negative, or a sum is out of range."""


class InvalidPlacement(Error, ValueError):
    """The argument of evaluate is not a valid placement; the text names the rule and where it is broken."""


class Unavailable(Error, RuntimeError):
    """This version, this build or this machine does not have it: a strategy, a backend, a driver, a device."""


class OutOfMemory(Error, MemoryError):
    """Host or device memory ran out."""


class DeviceError(Error, RuntimeError):
    """The device or its driver failed; the text includes its message."""


class Interrupted(Error, RuntimeError):
    """Context.interrupt was called during the call. The context and its plans are as they were before the call."""


class FileError(Error, ValueError):
    """A file is missing or not what it should be; the text is one sentence that begins with its name."""


class InternalError(Error, RuntimeError):
    """A bug in libeplb: please report it with the text."""


_CLASSES: dict[str, type[Error]] = {
    "EPLB_INVALID_ARGUMENT": InvalidArgument,
    "EPLB_INVALID_STATE": InvalidState,
    "EPLB_INVALID_WEIGHT": InvalidWeight,
    "EPLB_INVALID_PLACEMENT": InvalidPlacement,
    "EPLB_UNAVAILABLE": Unavailable,
    "EPLB_NOT_BUILT": Unavailable,
    "EPLB_NO_DRIVER": Unavailable,
    "EPLB_NO_DEVICE": Unavailable,
    "EPLB_OUT_OF_MEMORY": OutOfMemory,
    "EPLB_DEVICE_OUT_OF_MEMORY": OutOfMemory,
    "EPLB_DEVICE_ERROR": DeviceError,
    "EPLB_INTERRUPTED": Interrupted,
    "EPLB_INTERNAL_ERROR": InternalError,
}


def error_for(code: int, status: str, text: str) -> Error:
    """The exception for a status; a plain Error for a status of a later library."""
    return _CLASSES.get(status, Error)(text, code, status)


def os_error_text(path: Path, error: OSError) -> str:
    """A sentence that begins with the path."""
    return f"{path}: {(error.strerror or str(error)).lower()}"
