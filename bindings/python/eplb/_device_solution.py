"""What a plan on a device is made of: maps that are there at once, and the rest, which its context still has."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._device_arrays import Maker
from ._device_session import DeviceSession
from ._library import OBJECTIVES, POLICIES, invalid_state, name_of
from ._moves import fetch_change
from ._plan import DevicePlan
from ._plan_doubts import doubts_of_plan
from ._report import Grouping, Report, grouping_of, make_report
from ._session import Session
from ._session_lock import SharedSession
from ._solution import no_moves
from ._uncopyable import Uncopyable
from ._windows import alone_of

_AT_ONCE = ("physical_to_logical", "logical_to_physical", "replica_count")


class DeviceSolution(Uncopyable):
    """The last solve of a session on a device; any thread may ask.

    Args:
        shared, device: the session of the context, which has just solved.
        maker: of the weights, and so of the maps.
        num_windows: of the weights, whether they are kept or not.
    """

    def __init__(self, shared: SharedSession, device: DeviceSession, maker: Maker, num_windows: int) -> None:
        session = device.session
        self._shared, self._device, self._maker = shared, device, maker
        self._changes = shared.changes
        self._num_windows = num_windows
        self._num_gpus: int = session.problem.num_gpus
        self._grouping: Grouping = grouping_of(session.problem)
        self._cluster = session.cluster
        self._policy = name_of(POLICIES, session.problem.policy)

    def plan(self) -> DevicePlan:
        maps = {name: self._device.fetch(name, self._maker) for name in _AT_ONCE}
        width = maps["logical_to_physical"].shape[-1]
        return DevicePlan(maps, width, self._num_gpus, self._fetch, self._device.captured)

    def _fetch(self, name: str) -> Any:
        if name == "cluster":
            return self._cluster
        if name == "grouping":
            return (*self._grouping[:2], self._policy)
        with self._shared as session:
            if self._changes != self._shared.changes:
                raise invalid_state(
                    f"{name} of a placement on a device is there until the context takes other weights or solves "
                    "again: read it before that"
                )
            if name == "report":
                return self._report(session)
            if name == "warnings":
                return self._warnings(session)
            if name == "fingerprint":
                return session.fingerprint()
            if name == "current":
                return session.current
            if name in ("moves", "changed"):
                return self._way(session, name)
            if name in ("window_imbalance", "window_bound", "off_home", "off_home_bound"):
                return session.floats(name)
            return self._device.fetch(name, self._maker)

    def _warnings(self, session: Session) -> list[str]:
        report, summed = self._report(session), session.problem.objective != OBJECTIVES["windows"]
        alone = None
        if summed and report.num_windows > 1:
            # Where there is no load, which only the device knows, it is 1.
            imbalance = session.floats("window_imbalance")
            alone = alone_of(imbalance, np.ones(imbalance.shape, bool))
        moves = session.current is not None
        return doubts_of_plan(report, self._num_windows, alone=alone, summed=summed, moves=moves)

    def _way(self, session: Session, name: str) -> Any:
        if session.current is None:
            raise no_moves()
        change = fetch_change(session, self._num_gpus, self._grouping.num_nodes, self._cluster)
        return change.moves() if name == "moves" else change.changed

    def _report(self, session: Session) -> Report:
        self._shared.raise_late_error()
        # The report comes last, because it raises errors that only the device could find.
        loads, imbalance, bound = (session.floats(name) for name in ("gpu_load", "imbalance", "bound"))
        duplicates = session.ints("duplicates")
        open_gpus = self._num_gpus if self._cluster is None else self._cluster.num_open_gpus
        mean_load = loads.sum(axis=1) / open_gpus
        return make_report(session.report(), imbalance, bound, duplicates, mean_load, self._grouping)
