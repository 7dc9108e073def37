"""The calls of a session that take device memory. They run in the order of the caller's stream and do not wait.

Only reserve allocates. It is called automatically when a call needs more than what is reserved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ._device_arrays import DeviceWeights, Maker
from ._errors import Error
from ._library import DTYPES, MAPS, STATUSES, check, ffi, invalid_state, lib
from ._request import Request
from ._session import Session
from ._tables import Tables
from ._uncopyable import Uncopyable

_FLOAT_MAPS = ("gpu_load", "imbalance", "bound")


def memory_key(request: Request, dtype: int, shape: Sequence[int]) -> tuple[Any, ...]:
    """Two calls with the same key need the same memory."""
    return (dtype, *shape, *request.sizes())


class DeviceSession(Uncopyable):
    """Not for two threads at once, like the session under it.

    Attributes:
        session: that session.
        index: of its device.
        captured: a graph holds addresses of the session's memory, so that this must stay where it is.
        maker: whose the weights are that were uploaded last; None if they came from the host, or there are none.
        uploaded: the library has those of maker.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.index = session.device[1]
        self.captured = False
        self.maker: Maker | None = None
        # A copy, since the caller may overwrite its array at any time.
        self._copy: DeviceWeights | None = None
        self.uploaded = False

    def forget_weights(self) -> None:
        """When others come from the host."""
        self.maker, self._copy, self.uploaded = None, None, False

    def set_tables(self, tables: Tables) -> None:
        known = self.session.tables
        if tables == known:
            return
        for name, given, held in zip(Tables._fields, tables, known, strict=True):
            if self.captured and given != held:
                raise invalid_state(
                    f"the context has been captured in a graph, which holds its {name}: take another context for "
                    "others, or close this one"
                )
        self.session.set_tables(tables)

    def reserve(self, dtype: int, shape: Sequence[int]) -> None:
        """Sizes everything for such weights and the session's request; discards what was uploaded and solved."""
        session = self.session
        if self.captured:
            raise invalid_state(
                "the context has been captured in a graph, which holds its buffers: take another context for other "
                "sizes, or close this one"
            )
        self.uploaded = False
        session.forget_prepared()
        error = session.error
        check(lib.eplb_context_reserve(session.context, dtype, *shape, session.problem, session.options, error), error)

    def keep(self, weights: DeviceWeights) -> None:
        """Copies weights for later solves: what the library is given does not outlive a reserve."""
        copy = weights.copy()
        # Too little may be reserved for them so far; a solve reserves more.
        uploaded = self._upload(copy)
        self.maker, self._copy, self.uploaded = weights.maker, copy, uploaded

    def solve(self, weights: DeviceWeights | None) -> Maker:
        """Solves the session's request; None takes the weights that it has."""
        source, uploaded = weights or self._copy, self.uploaded
        if source is not None and (weights is not None or not uploaded):
            uploaded = self._upload(source)
        maker = self.maker if weights is None else weights.maker
        assert maker is not None, "callers check that there are weights on a device"
        if not (uploaded and self._solve(maker)):
            if source is None:
                raise invalid_state(
                    "weights that came with a solve on a device cannot be taken to memory for larger ones: call "
                    "upload(weights) first, then solve(None, ...) as often as you like, or reserve for the largest"
                )
            self._reserve_for(source)
            uploaded = self._upload(source)
            if not (uploaded and self._solve(maker)):
                # So memory was not the reason.
                check(STATUSES["invalid_state"], self.session.error)
        if weights is not None:
            self._copy = None
        self.maker, self.uploaded = maker, uploaded
        return maker

    def _reserve_for(self, weights: DeviceWeights) -> None:
        if weights.maker.capturing():
            raise not_reserved(weights)
        self.reserve(weights.dtype, weights.shape)

    def _upload(self, weights: DeviceWeights) -> bool:
        windows, layers, experts = weights.shape
        maker, length, session = weights.maker, windows * layers * experts, self.session
        pointer, stream = _address(maker.pointer(weights.array)), _address(maker.stream())
        # Unless the call fails; a handler of signals may raise after it.
        before, self.uploaded = self.uploaded, False
        try:
            status = lib.eplb_upload_weights_device(
                session.context, pointer, length, weights.dtype, *weights.shape, stream, session.error
            )
            return self._fits(status, maker)
        except Error:
            self.uploaded = before
            raise

    def _solve(self, maker: Maker) -> bool:
        session, stream = self.session, _address(maker.stream())
        return self._fits(
            lib.eplb_solve_device(session.context, session.problem, session.options, stream, session.error), maker
        )

    def _fits(self, status: int, maker: Maker) -> bool:
        """Whether a call found enough memory reserved; then it is done."""
        if status == STATUSES["invalid_state"]:
            return False
        check(status, self.session.error)
        self.captured = self.captured or maker.capturing()
        return True

    def fetch(self, name: str, maker: Maker) -> Any:
        """A map as an array of that library, filled in the order of its current stream."""
        session = self.session
        dtype = "float64" if name in _FLOAT_MAPS else "int64"
        shape = session.shape(MAPS[name])
        array = maker.empty(shape, dtype)
        pointer, stream = _address(maker.pointer(array)), _address(maker.stream())
        status = lib.eplb_fetch_map_device(
            session.context, MAPS[name], DTYPES[dtype], pointer, math.prod(shape), stream, session.error
        )
        check(status, session.error)
        self.captured = self.captured or maker.capturing()
        return maker.deliver(array)


def not_reserved(weights: DeviceWeights) -> Exception:
    shape = "x".join(map(str, weights.shape))
    return invalid_state(
        f"nothing is reserved for weights {shape} solved so, and memory cannot be had while a graph is captured: make "
        "the same call once before the capture, or Context.reserve(...)"
    )


def _address(value: int) -> Any:
    return ffi.cast("void *", value)
