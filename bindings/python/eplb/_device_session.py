"""The calls of a session that take device memory. They run in the order of the caller's stream and do not wait.

Only reserve allocates. It is called automatically when a call needs more than what is reserved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._device_arrays import DevicePlacement, DeviceWeights, Maker
from ._errors import Error
from ._library import DTYPES, MAPS, STATUSES, check, ffi, invalid_state, lib
from ._request import Request
from ._session import Session
from ._tables import Tables
from ._uncopyable import Uncopyable

if TYPE_CHECKING:
    from ._device_split import SplitSource

_FLOAT_MAPS = ("gpu_load", "imbalance", "bound", "quota", "split_load", "split_imbalance", "split_bound")


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

    def reserve(self, dtype: int, shape: Sequence[int], options: Any = None) -> None:
        """Sizes everything for such weights and the session's request; discards what was uploaded and solved.

        Args:
            options: others than the session's.
        """
        session = self.session
        if self.captured:
            raise invalid_state(
                "the context has been captured in a graph, which holds its buffers: take another context for other "
                "sizes, or close this one"
            )
        self.uploaded = False
        session.forget_prepared()
        error, options = session.error, session.options if options is None else options
        check(lib.eplb_context_reserve(session.context, dtype, *shape, session.problem, options, error), error)

    def keep(self, weights: DeviceWeights) -> None:
        """Copies weights for later solves: what the library is given does not outlive a reserve."""
        copy = weights.copy()
        # Too little may be reserved for them so far; a solve reserves more.
        uploaded = self._upload(copy)
        self.maker, self._copy, self.uploaded = weights.maker, copy, uploaded

    def solve(self, weights: DeviceWeights | None) -> Maker:
        """Solves the session's request; None takes the weights that it has."""
        maker, uploaded = self._bring(weights)
        if not (uploaded and self._solve(maker)):
            uploaded = self._reserve_for(weights)
            if not (uploaded and self._solve(maker)):
                # So memory was not the reason.
                check(STATUSES["invalid_state"], self.session.error)
        self._took(weights, maker)
        return maker

    def split(self, weights: DeviceWeights | None, over: SplitSource, tolerance: float) -> Maker:
        """Splits tokens for the session's problem over a placement; None takes the weights that it has."""
        maker, uploaded = self._bring(weights)
        # Of all options, the defaults take enough memory.
        if not (uploaded or self._reserve_for(weights, ffi.NULL)):
            check(STATUSES["invalid_state"], self.session.error)
        self._prepare_split(over, maker)
        session, stream = self.session, _address(maker.stream())
        options = session.split_options(over.shape, tolerance)
        nothing = ffi.NULL, ffi.NULL, 0, 0
        check(lib.eplb_split_device(session.context, *nothing, options, stream, session.error), session.error)
        session.splits += 1
        if maker.capturing():
            self.captured = True
            session.note_captured()
        self._took(weights, maker)
        return maker

    def _prepare_split(self, over: SplitSource, maker: Maker) -> None:
        session = self.session
        if session.is_prepared(over.host if over.plan is None else over.plan):
            return
        session.check_captured()
        if over.device is not None and self._prepare_there(over.device, maker):
            # What is captured is not there before it is replayed.
            session.note_prepared(None if maker.capturing() else over.plan)
            return
        if maker.capturing():
            raise invalid_state(
                "nothing is prepared for splits over that placement, and it cannot be while a graph is captured: make "
                "the same call once before the capture"
            )
        session.prepare_split(over.to_host(), over.plan)

    def _prepare_there(self, placement: DevicePlacement, maker: Maker) -> bool:
        session, length = self.session, math.prod(placement.shape)
        pointer, stream = _address(placement.maker.pointer(placement.array)), _address(maker.stream())
        return self._fits(
            lib.eplb_split_prepare_device(
                session.context, session.problem, pointer, length, placement.dtype, stream, session.error
            ),
            maker,
        )

    def _bring(self, weights: DeviceWeights | None) -> tuple[Maker, bool]:
        """Whose the weights of a call are, and whether the library has them: otherwise memory is missing."""
        source, uploaded = weights or self._copy, self.uploaded
        if source is not None and (weights is not None or not uploaded):
            uploaded = self._upload(source)
        maker = self.maker if weights is None else weights.maker
        assert maker is not None, "callers check that there are weights on a device"
        return maker, uploaded

    def _took(self, weights: DeviceWeights | None, maker: Maker) -> None:
        """The library has the weights of a call that has succeeded."""
        if weights is not None:
            self._copy = None
        self.maker, self.uploaded = maker, True

    def _reserve_for(self, weights: DeviceWeights | None, options: Any = None) -> bool:
        """Reserves memory for a call that lacked it; whether its weights are there then."""
        source = weights or self._copy
        if source is None:
            raise invalid_state(
                "weights that came with a solve on a device cannot be taken to memory for larger ones: call "
                "upload(weights) first, then solve(None, ...) as often as you like, or reserve for the largest"
            )
        if source.maker.capturing():
            raise not_reserved(source)
        self.reserve(source.dtype, source.shape, options)
        return self._upload(source)

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
            fits = self._fits(status, maker)
        except Error:
            self.uploaded = before
            raise
        if fits:
            session.note_weights(weights.shape)
        return fits

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
