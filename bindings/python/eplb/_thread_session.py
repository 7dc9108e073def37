"""A session of each thread, for calls that leave nothing behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ._cluster import Cluster
from ._interrupts import Stop
from ._library import ffi
from ._session import Session
from ._tables import Prices, Tables

_local = threading.local()


def take_session(stop: Stop | None = None) -> Session:
    """This thread's session. It is taken away while in use: a signal handler that calls in between gets another.

    Args:
        stop: that of the context whose call this is part of.
    """
    kept: tuple[int, Session] | None = _local.__dict__.pop("kept", None)
    # The parent's context is useless in a child.
    session = kept[1] if kept is not None and kept[0] == os.getpid() else Session()
    session.handle.stop = stop or Stop()
    return session


def keep_session(session: Session) -> None:
    """Gives it back, for the next call."""
    _local.kept = (os.getpid(), session)


@contextmanager
def session_for(problem: bytes, cluster: Cluster | None, prices: Prices | None = None) -> Iterator[Session]:
    """It, with the C struct of a problem, a cluster, and prices."""
    session = take_session()
    try:
        ffi.memmove(session.problem, problem, len(problem))
        session.set_tables(Tables(cluster, prices))
        yield session
    finally:
        keep_session(session)
