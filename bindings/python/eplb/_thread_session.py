"""A session of each thread, for calls that leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ._cluster import Cluster
from ._interrupts import Stop
from ._session import Session
from ._tables import Prices, Tables

_local = threading.local()


def take_session(stop: Stop | None = None) -> Session:
    """This thread's session. It is taken away while in use: a signal handler that calls in between gets another.

    Args:
        stop: that of the context whose call this is part of.
    """
    kept: Session | None = _local.__dict__.pop("kept", None)
    session = Session() if kept is None or kept.handle.is_of_parent else kept
    session.handle.stop = stop or Stop()
    return session


def keep_session(session: Session) -> None:
    """Gives it back, for the next call."""
    _local.kept = session


@contextmanager
def session_for(problem: bytes, cluster: Cluster | None, prices: Prices | None = None) -> Iterator[Session]:
    """It, with the C struct of a problem, a cluster, and prices."""
    session = take_session()
    try:
        session.copy_problem(problem)
        session.set_tables(Tables(cluster, prices))
        yield session
    finally:
        keep_session(session)
