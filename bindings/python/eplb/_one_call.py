"""A solve that leaves nothing behind: what rebalance_experts and place share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._arrays import Array
from ._cluster import Cluster
from ._device_arrays import cuda_index, device_weights
from ._device_pool import solve_on_device
from ._library import invalid_argument
from ._move_limits import MoveLimits
from ._request import Request
from ._session import Session
from ._tables import Tables
from ._thread_session import keep_session, take_session


def call_options(strategy: Any, effort: Any, seed: Any, has_current: bool, limits: MoveLimits) -> tuple[Any, ...]:
    """The options of a call in the order of Request.set_options; only calls with a current placement know limits."""
    if has_current:
        if strategy not in (None, "rebalance"):
            text = f"strategy is {strategy!r}, but current is given, which only 'rebalance' starts from"
            raise invalid_argument(text)
        return "rebalance", effort, seed, "buffered", limits
    for name, value in limits._asdict().items():
        if value is not None:
            raise invalid_argument(f"{name} is {value}, but current is not given: there are no moves to limit")
    return strategy, effort, seed


def try_on_device(weight: Any, sizes: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Any, Any, Any] | None:
    """The three maps on the CUDA device that has the weights; None if none has, or this library cannot use it."""
    index = cuda_index(weight)
    weights = None if index is None else device_weights(weight, index)
    if weights is None:
        return None
    request = Request()
    request.set_problem(*sizes)
    request.set_options(*options)
    return solve_on_device(request, weights)


@contextmanager
def solved(
    weights: Array, current: Array | None, cluster: Cluster | None, sizes: tuple[Any, ...], options: tuple[Any, ...]
) -> Iterator[Session]:
    """This thread's session with the plan for weights of the host."""
    session = take_session()
    try:
        session.prepare(sizes, options, Tables(cluster), current, weights)
        session.solve()
        yield session
    finally:
        keep_session(session)
