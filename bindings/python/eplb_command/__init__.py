"""The console script `eplb`: the same as `python -m eplb`, but that an interrupt ends it quietly from its start.

This is no part of the package eplb, whose import takes most of the start.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Runs the command and exits."""
    # What runs in a shell's background is started with the signal ignored, and stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from eplb.__main__ import main as run

    run()
