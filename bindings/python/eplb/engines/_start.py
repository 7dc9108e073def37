"""How a plug-in begins: inert unless EPLB_ENGINE is set, and with a line that says what is active."""

from __future__ import annotations

import importlib.metadata
import logging

from .._library import version as library_version
from ._counters import say
from ._options import Options, from_environment

# Versions whose own planner paths were run with this package, see docs/engines.md.
TRIED: dict[str, tuple[str, ...]] = {"vllm": ("0.33.0",), "sglang": ("0.5.23",)}
_said: set[str] = set()


def version_of(engine: str) -> str:
    """The installed version of an engine, without what a build adds to it; "" if it is not installed."""
    try:
        return importlib.metadata.version(engine).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def options_or_default(options: Options | None) -> Options:
    """Those of a call, else those of EPLB_ENGINE, else the defaults: a patch need not name any."""
    return options or from_environment() or Options()


def announce(engine: str, options: Options) -> None:
    """Says once in a process that this package plans for the engine, and whether that version was tried."""
    if engine in _said:
        return
    _said.add(engine)
    found = version_of(engine)
    say(engine, f"eplb {library_version()} plans for {engine} {found or 'of unknown version'}: {options}")
    tried = TRIED.get(engine, ())
    if tried and found not in tried:
        say(engine, f"eplb was tried with {engine} {', '.join(tried)}, this is {found or 'unknown'}", logging.WARNING)
