"""Pictures that objects draw of themselves, and commands of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._arrays import Array, Floats, placement_to_host, to_host, weights_to_host
from ._budget_result import Budget
from ._cluster import Cluster
from ._errors import Unavailable
from ._figures import has_homes
from ._library import STATUSES, invalid_argument
from ._loads import (
    count_windows,
    gone_gpus,
    gpu_loads,
    node_loads,
    placement_without_redundancy,
    relative_times,
    speeds_of,
    sum_windows,
    without_gpus,
)
from ._maps import check_experts
from ._moves import Moves, TransferFigures
from ._output_file import path_of
from ._plan import Plan
from ._replay_figures import Replay
from ._shown import Drawing
from ._sweep_result import Sweep
from ._work import Work

try:
    from . import picture, picture_of_moves, picture_of_replay, picture_of_sweep
except ModuleNotFoundError as error:
    why = f"a picture needs {error.name}, which is not installed: pip install 'eplb[picture]'"
    raise Unavailable(why, STATUSES["unavailable"], "EPLB_UNAVAILABLE") from None

_DRAW: dict[type, Callable[[Any, str], picture.Picture]] = {
    Moves: lambda moves, title: picture_of_moves.draw_transfers(TransferFigures(moves), title),
    Sweep: picture_of_sweep.draw_sweep,
    Budget: picture_of_sweep.draw_budget,
    Replay: picture_of_replay.draw_replay,
}
# Sums of the same weights in another order differ by less.
_SAME_SUM = 1e-6


def draw_plan(plan: Plan, weights: Any, path: Any, before: Any, title: str) -> picture.Picture:
    """As Plan.draw."""
    return _written(_PlanPicture(plan).draw(weights, before, title), path)


def draw(found: Drawing, path: Any, title: str) -> picture.Picture:
    """As found.draw."""
    kind = next(kind for kind in _DRAW if isinstance(found, kind))
    return _written(_DRAW[kind](found, title), path)


def _written(figure: picture.Picture, path: Any) -> picture.Picture:
    if path is not None:
        picture.write_picture(figure, path_of(path))
    return figure


class _PlanPicture:
    """A plan's own figures on the host."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._report = plan, plan.report
        loads, _ = to_host("gpu_load", plan.gpu_load)
        self._loads: Floats = loads
        self._total: Floats = loads.sum(axis=1)
        self._cluster: Cluster = plan._answer("cluster") or Cluster(plan.num_gpus, num_nodes=self._report.num_nodes)

    def draw(self, weights: Any, before: Any, title: str) -> picture.Picture:
        after = self._times(self._loads)
        # A layer without load has no gap and the imbalance 1.
        lowest = self._report.imbalance / (1 + self._report.gap)
        if weights is None:
            if before is not None:
                raise invalid_argument("before needs the weights that the plan was solved for: give weights, too")
            return picture.draw_comparison(None, after, lowest, title=title)
        table = self._check(weights)
        current = self._plan._answer("current")
        if before is None and current is not None:
            return picture_of_moves.draw_rebalance(Work(table, current, self._cluster, self._plan), title)
        placement = self._placement_before(before, table)
        now = self._times(gpu_loads(sum_windows(table), placement, self._plan.num_gpus))
        windows, homes = self._windows(table, placement), self._homes(table)
        return picture.draw_comparison(now, after, lowest, title=title, windows=windows, homes=homes)

    def _times(self, loads: Floats) -> Array:
        """Over their mean; masked where there is no GPU, and where a layer has no load."""
        times = without_gpus(self._relative(loads, self._total), gone_gpus(self._cluster))
        empty = _without_load(self._total[:, np.newaxis])
        return np.ma.array(times, mask=np.broadcast_to(empty, times.shape), keep_mask=True)

    def _relative(self, loads: Floats, total: Floats) -> Floats:
        return relative_times(loads, total, speeds_of(self._cluster))

    def _check(self, weights: Any) -> Array:
        table, _ = weights_to_host(weights)
        total = sum_windows(table).sum(axis=1)
        if total.shape != self._total.shape or not np.allclose(total, self._total, rtol=_SAME_SUM):
            text = "weights are not those that the plan was solved for: Context.evaluate has its figures under others"
            raise invalid_argument(text)
        return table

    def _placement_before(self, before: Any, weights: Array) -> Array:
        layers, experts = weights.shape[-2:]
        if before is None:
            return self._without_redundancy(layers, experts)
        placement = placement_to_host(before, "before")
        rows, places = placement.shape
        if rows != layers or places % self._plan.num_gpus:
            wanted = f"{layers} layers and a multiple of {self._plan.num_gpus} GPUs as slots"
            raise invalid_argument(f"before is {list(placement.shape)}, must have {wanted}")
        check_experts(placement, experts, "before")
        return placement

    def _without_redundancy(self, layers: int, experts: int) -> Array:
        is_there = ~gone_gpus(self._cluster)
        held = placement_without_redundancy(layers, experts, int(is_there.sum()))
        held = held.reshape(layers, is_there.sum(), -1)
        placement = np.full((layers, len(is_there), held.shape[2]), -1)
        placement[:, is_there] = held
        return placement.reshape(layers, -1)

    def _windows(self, weights: Array, before: Array) -> picture.Windows | None:
        if not 1 < self._report.num_windows == count_windows(weights):
            return None
        worst = []
        for window in weights.astype(np.float64):
            loads = gpu_loads(window, before, self._plan.num_gpus)
            worst.append(self._relative(loads, window.sum(axis=1)).max(axis=1))
        mean = weights.sum(axis=2, dtype=np.float64).T / self._cluster.num_open_gpus
        lowest = np.divide(self._plan.window_bound, mean, out=np.ones_like(mean), where=mean > 0)
        figures = np.array(worst).T, self._plan.window_imbalance, lowest
        return picture.Windows(*(np.ma.array(each, mask=_without_load(mean)) for each in figures))

    def _homes(self, weights: Array) -> Any:
        if not has_homes(vars(self._report)):
            return None
        placement = placement_to_host(self._plan)
        return node_loads(sum_windows(weights), placement, self._cluster, self._report.num_groups)


def _without_load(loads: Floats) -> Array:
    """Where there is none; nowhere if there is none at all, so that something can be drawn."""
    empty: Array = (loads == 0) & loads.any()
    return empty
