"""Splits of tokens on a device: over which placement, and what the context still has of the last one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ._arrays import Array, Ints, current_to_host
from ._device_arrays import DevicePlacement, DeviceWeights, Maker, device_placement
from ._device_session import DeviceSession
from ._library import invalid_state
from ._plan import DevicePlan
from ._session_lock import SharedSession
from ._shown import Shown
from ._split import Split, split_of
from ._uncopyable import Uncopyable

_MAPS = {
    "share": "share",
    "quota": "quota",
    "gpu_load": "split_load",
    "imbalance": "split_imbalance",
    "bound": "split_bound",
    "tight": "split_tight",
}


class SplitSource(NamedTuple):
    """A placement as a call gave it.

    Attributes:
        given: that, for one that must come to the host after all.
        host: [L,S]; None if it is on a device.
        device: None if it is on the host.
        plan: one that does not change, so that what was prepared for it need not be prepared again.
    """

    given: Any
    host: Array | None
    device: DevicePlacement | None
    plan: DevicePlan | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.device.shape if self.host is None and self.device is not None else self.to_host().shape

    def to_host(self) -> Array:
        return current_to_host(self.given, 1, "plan_or_placement") if self.host is None else self.host


def read_source(plan_or_placement: Any, index: int, layers: int) -> SplitSource:
    """A placement for weights on that device; layers: of these."""
    plan = plan_or_placement if isinstance(plan_or_placement, DevicePlan) else None
    array = plan_or_placement if plan is None else plan.physical_to_logical
    found = device_placement(array, index)
    if found is None:
        host = current_to_host(plan_or_placement, layers, "plan_or_placement")
        return SplitSource(plan_or_placement, host, None, None)
    return SplitSource(plan_or_placement, None, found, None if plan is None or plan._replayed else plan)


class DeviceSplit(Uncopyable, Split):
    """A split that was worked out on a device, without waiting for it: a Split whose arrays are of that device.

    share is there at once, in the order of the stream of the call, and stays as it is; but what was captured in a graph
    is rewritten by every replay. quota, gpu_load, imbalance, bound and tight (int64, 0 or 1) are fetched when they are
    first read, on the stream that is then current. All other figures, and to_host, bring the split to the host, which
    waits: they raise InvalidWeight or InvalidPlacement if the device found a bad weight, whose layer counts as one of
    zeros, or a bad placement, whose layer has no shares. These need the context as the split left it: when that is
    closed, has taken other weights, or has split again, they raise InvalidState. For a graph they describe the last
    replay.
    """

    instead = "to_host() can be"

    def __init__(
        self, share: Any, tolerance: float, sizes: tuple[int, ...], fetch: Callable[[str], Any], replayed: bool
    ) -> None:
        vars(self).update(share=share, tolerance=tolerance, _sizes=sizes, _fetch=fetch, _replayed=replayed)

    def __getattr__(self, name: str) -> Any:
        # The fields of Split that are not there yet.
        if name.startswith("_") or name not in Split.__dataclass_fields__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = self._fetch(name) if name in _MAPS else getattr(self.to_host(), name)
        if not self._replayed:
            vars(self)[name] = value
        return value

    def to_host(self) -> Split:
        """The same with arrays of numpy; waits.

        Raises:
            InvalidState, InvalidWeight, InvalidPlacement: see above.
        """
        found: Split = self._fetch("")
        return found

    def to_dict(self) -> dict[str, Any]:
        return self.to_host().to_dict()

    def sentences(self, layers: Ints | None = None) -> list[str]:
        return self.to_host().sentences(layers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._about()})"

    def _about(self) -> str:
        return "{} layers, {} slots of {} GPUs".format(*self._sizes)

    def _show(self) -> Shown:
        shown = self.to_host()._show()
        return shown._replace(title=self._title())


class _LastSplit(Uncopyable):
    """What the context has of the split that it has just made; any thread may ask."""

    def __init__(
        self, shared: SharedSession, device: DeviceSession, maker: Maker, tolerance: float, shape: tuple[int, ...]
    ) -> None:
        self._shared, self._device, self._maker, self._tolerance = shared, device, maker, tolerance
        self._changes, self._splits = shared.changes, device.session.splits
        self._sizes: tuple[int, ...] = (*shape, device.session.problem.num_gpus)

    def split(self) -> DeviceSplit:
        share = self._device.fetch("share", self._maker)
        return DeviceSplit(share, self._tolerance, self._sizes, self._fetch, self._device.captured)

    def _fetch(self, name: str) -> Any:
        with self._shared as session:
            if (self._changes, self._splits) != (self._shared.changes, session.splits):
                raise invalid_state(
                    f"{name or 'the rest'} of a split on a device is there until the context takes other weights or "
                    "splits again: read it before that"
                )
            if name:
                return self._device.fetch(_MAPS[name], self._maker)
            # Raises errors that only the device could find.
            self._shared.raise_late_error()
            session.synchronize()
            return split_of(session, self._sizes, self._tolerance)


def split_on_device(
    shared: SharedSession, device: DeviceSession, weights: DeviceWeights | None, over: SplitSource, tolerance: float
) -> DeviceSplit:
    """Splits over a placement, for the problem and the tables of the session."""
    maker = device.split(weights, over, tolerance)
    return _LastSplit(shared, device, maker, tolerance, over.shape).split()
