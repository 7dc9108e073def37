"""The command `eplb`: `python -m eplb`, and the console script from eplb_command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_EXTRA = {"typer": "cli", "rich": "cli", "matplotlib": "picture"}
# As shells say of a program that SIGINT ended.
_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Runs the command and exits: 0, or 1 or 2 with one sentence on stderr; an interrupt ends it by its signal."""
    try:
        with _quiet_interrupts():
            _open_closed()
            code = _run()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        _die()
    sys.exit(code)


@contextmanager
def _quiet_interrupts() -> Iterator[None]:
    """Lets an interrupt end the process from now to its end: imports, and Python's exit, would show where they were."""
    _replace_handler(signal.default_int_handler, signal.SIG_DFL)
    try:
        yield
    finally:
        _replace_handler(signal.default_int_handler, signal.SIG_DFL)


def _replace_handler(former: Any, handler: Any) -> None:
    # What runs in a shell's background is started with the signal ignored, and stays so.
    if signal.getsignal(signal.SIGINT) is former:
        signal.signal(signal.SIGINT, handler)


def _run() -> int:
    try:
        from . import _command
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRA:
            raise
        return _missing(module)
    # It leaves no file half written.
    _replace_handler(signal.SIG_DFL, signal.default_int_handler)
    return _command.run(sys.argv[1:])


def _open_closed() -> None:
    """Opens what the caller has closed, as >&- does: the first file would take its place, and get what is printed.

    What is read and printed there fails as on a bad disk; what is said on stderr has no reader.
    """
    if sys.stdin is None:
        os.open(os.devnull, os.O_WRONLY)
    if sys.stdout is None:
        os.open(os.devnull, os.O_RDONLY)
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        os.open(os.devnull, os.O_WRONLY)
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _missing(module: str) -> int:
    extra = _EXTRA[module]
    print(f"eplb: the command needs {module}, which is not installed: pip install 'eplb[{extra}]'", file=sys.stderr)
    return 2


def _die() -> None:
    """By the signal itself, so that a shell ends its loop or script too. Output that is half written is given up."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with suppress(OSError):
        print("eplb: interrupted", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
