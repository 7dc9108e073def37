"""The sessions behind rebalance_experts on devices.

Every thread has its own, one for each stream and kind of call. Only a stream orders work on a device, so a session
never moves to another stream. It is never resized either, which would wait. A graph that is being captured gets a
session of its own for good, since it may be replayed at any time, concurrently with any stream.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any

from ._backends import backends
from ._device_arrays import DeviceWeights
from ._device_session import DeviceSession, memory_key, not_reserved
from ._errors import Error, Unavailable
from ._library import invalid_state
from ._request import Request
from ._session import Session
from ._uncopyable import Uncopyable

# Kinds of calls that a thread stays ready for; a program has one or two.
_MOST_KEPT = 8
_NO_CUDA = ("EPLB_NOT_BUILT", "EPLB_NO_DRIVER", "EPLB_NO_DEVICE")
# Sessions of graphs, kept for good: there is no notice when a graph is destroyed.
_captured: list[DeviceSession] = []
_captured_lock = threading.Lock()
_local = threading.local()
MAPS_OF_A_CALL = ("physical_to_logical", "logical_to_physical", "replica_count")


def _in_child() -> None:
    # Another thread may have held the lock, and the parent's contexts are useless there.
    global _captured_lock
    _captured_lock = threading.Lock()
    _captured.clear()


os.register_at_fork(after_in_child=_in_child)


class _Pool(Uncopyable):
    def __init__(self) -> None:
        self.process = os.getpid()
        self.kept: OrderedDict[tuple[Any, ...], DeviceSession] = OrderedDict()
        # Of sessions that were closed before synchronize was called.
        self.late_errors: list[tuple[int, Error]] = []


def _own_pool() -> _Pool:
    pool: _Pool | None = _local.__dict__.get("pool")
    # The parent's contexts are useless in a child.
    if pool is None or pool.process != os.getpid():
        pool = _local.pool = _Pool()
    return pool


def solve_on_device(request: Request, weights: DeviceWeights) -> tuple[Any, Any, Any] | None:
    """The three maps on the device of the weights; None if this library cannot use that device."""
    stream = weights.maker.stream()
    key = (weights.maker.index, *memory_key(request, weights.dtype, weights.shape))
    found = _take_for_graph(weights, key) if weights.maker.capturing() else _take(stream, key)
    if found is None:
        return None
    session = found.session
    session.problem, session.options = request.problem, request.options
    try:
        maker = found.solve(weights)
        placement, slots, count = (found.fetch(name, maker) for name in MAPS_OF_A_CALL)
    finally:
        if found.captured and not found.session.handle.is_of_parent:
            _captured.append(found)
    if not found.captured and not found.session.handle.is_of_parent:
        _keep((stream, *key), found)
    return placement, slots, count


def _take(stream: int, key: tuple[Any, ...]) -> DeviceSession | None:
    # Out of its place while in use: a signal handler that calls in between gets another.
    found = _own_pool().kept.pop((stream, *key), None)
    if found is not None:
        return found
    try:
        return DeviceSession(Session(f"cuda:{key[0]}"))
    except Unavailable as error:
        if error.status in _NO_CUDA:
            return None
        raise


def _take_for_graph(weights: DeviceWeights, key: tuple[Any, ...]) -> DeviceSession:
    kept = _own_pool().kept
    # torch waits for the device before it captures, so the stream of the call before does not matter.
    place = next((place for place in kept if place[1:] == key), None)
    if place is None:
        cuda = backends()["cuda"]
        raise not_reserved(weights) if cuda.usable else invalid_state(f"there is nothing to capture: {cuda.text}")
    return kept.pop(place)


def _keep(place: tuple[Any, ...], session: DeviceSession) -> None:
    pool = _own_pool()
    pool.kept[place] = session
    if len(pool.kept) > _MOST_KEPT:
        _, oldest = pool.kept.popitem(last=False)
        try:
            oldest.session.synchronize()
        except Error as error:
            pool.late_errors.append((oldest.index, error))
        oldest.session.close()


def synchronize_devices(index: int | None) -> None:
    """Waits for this thread's calls, and for graphs, on a device or on all; raises the first late error left."""
    pool = _own_pool()
    for late in pool.late_errors:
        if index in (None, late[0]):
            pool.late_errors.remove(late)
            raise late[1]
    for each in list(pool.kept.values()):
        if index in (None, each.index):
            each.session.synchronize()
    # Graphs belong to no thread; a session serves one at a time.
    with _captured_lock:
        for each in list(_captured):
            if index in (None, each.index):
                each.session.synchronize()
