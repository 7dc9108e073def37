"""The command `eplb`: `python -m eplb` and the console script."""

from __future__ import annotations

import sys

_EXTRA = {"typer": "cli", "rich": "cli", "matplotlib": "picture"}


def main() -> None:
    """Runs the command and exits: 0, or 2 with one sentence on stderr."""
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


def _missing(module: str) -> int:
    extra = _EXTRA[module]
    print(f"eplb: the command needs {module}, which is not installed: pip install 'eplb[{extra}]'", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
