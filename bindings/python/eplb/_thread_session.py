"""A session of each thread, for calls that leave nothing behind."""

from __future__ import annotations

import os
import threading

from ._session import Session

_local = threading.local()


def take_session() -> Session:
    """This thread's session. It is taken away while in use: a signal handler that calls in between gets another."""
    kept: tuple[int, Session] | None = _local.__dict__.pop("kept", None)
    # The parent's context is useless in a child.
    return kept[1] if kept is not None and kept[0] == os.getpid() else Session()


def keep_session(session: Session) -> None:
    """Gives it back, for the next call."""
    _local.kept = (os.getpid(), session)
