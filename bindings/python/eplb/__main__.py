"""The command `eplb`: `python -m eplb` and the console script."""

from __future__ import annotations

import os
import sys

_EXTRA = {"typer": "cli", "rich": "cli", "matplotlib": "picture"}


def main() -> None:
    """Runs the command and exits: 0, or 2 with one sentence on stderr."""
    _open_closed()
    try:
        from . import _command
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRA:
            raise
        sys.exit(_missing(module))
    except KeyboardInterrupt:
        # Imports take longer than small solves.
        sys.exit(130)
    sys.exit(_command.run(sys.argv[1:]))


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


if __name__ == "__main__":
    main()
