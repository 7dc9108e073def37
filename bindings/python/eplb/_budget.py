"""One total of slots shared out over the layers by what each of them gains.

A layer is balanced for a series of sizes, which gives its imbalance at each. The sizes with the smallest mean are then
found exactly, by dynamic programming over the layers. A layer leaves the series as soon as it seems to have nothing to
gain.

The slots of a layer need no multiple of the GPUs: some GPUs have one more than others. Which ones goes round from layer
to layer, so that over all layers no GPU has more than one slot above another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array, Floats, Ints, weights_to_host
from ._budget_result import Budget, EqualSlots
from ._cluster import Cluster
from ._context import Context
from ._library import MOST_SLOTS, integer, invalid_argument, positive
from ._loads import count_windows, mean_with_load
from ._many_solves import Progress, count_threads
from ._windows import balances_windows, has_load, mean_of_windows

# A layer with less than this above perfect balance gets no more slots, and one that gains less by that many sizes.
_NOTHING_TO_GAIN = 0.0005
_PATIENCE = 8


def plan_budget(
    weights: Any,
    total_slots: int,
    num_gpus: int,
    *,
    num_nodes: int = 1,
    num_groups: int = 1,
    slot_step: int | None = None,
    policy: str = "auto",
    strategy: str | None = None,
    objective: str = "sum",
    off_home_target: float = 1.01,
    effort: str = "normal",
    seed: int = 0,
    max_replicas: int | None = None,
    expert_mib: float | None = None,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> Budget:
    """Shares one total of slots out over the layers, so that the mean of their imbalance is as small as can be.

    It is the smallest mean of all ways to share out the sizes that are tried: all steps up to 8 above the fewest slots,
    then every other one up to 16, every fourth up to 32, and so on, and then all between those that came out as best;
    it is never worse than as many slots in each layer. What no layer gains by stays unused.

    Args:
        weights: [L,E] or [T,L,E], as for Context.solve, on the host; or what read_loads returns.
        total_slots: of all layers over all GPUs, at most; L * E at least.
        num_gpus, num_nodes, num_groups: as for Context.solve; num_gpus is a multiple of num_nodes.
        slot_step: the slots of a layer are a multiple of it, which is one of num_nodes. num_gpus gives every GPU as
            many in a layer, for engines that need it. None: num_nodes, the finest, which saves most memory.
        policy, strategy, objective, off_home_target, effort, seed, max_replicas: as for Context.solve.
        expert_mib: memory of an expert in one layer, in MiB, for gib_per_gpu.
        num_threads: CPU threads; None: all cores that this process may use. The answer is the same for any number.
        progress: called after each size that was tried, with the number of those and of all that may follow.

    Raises:
        InvalidArgument: fewer slots than the layers need, with both numbers; other arguments that cannot be.
        InvalidWeight, Unavailable: as Context.solve.
    """
    host, _ = weights_to_host(weights)
    layers, experts = host.shape[-2:]
    cap = None if max_replicas is None else integer("max_replicas", max_replicas, 0)
    grid = _grid(experts, num_gpus, num_nodes, slot_step)
    total, size = integer("total_slots", total_slots), positive("expert_mib", expert_mib)
    if total < layers * grid.fewest:
        needed = f"{layers} layers of {experts} experts need {layers * grid.fewest}"
        raise invalid_argument(f"total_slots is {total}, too few: {needed}")
    spare = (total - layers * grid.fewest) // grid.step
    most = min(spare, grid.most_steps(cap or num_gpus))
    problem = {"num_nodes": num_nodes, "num_groups": num_groups, "policy": policy, "off_home_target": off_home_target}
    options = {"strategy": strategy, "objective": objective, "effort": effort, "seed": seed, "max_replicas": cap}
    even = min(spare // layers, most)
    with Context("cpu", count_threads(num_threads)) as context:
        solve = partial(_solve, context, host, {**problem, **options})
        found = _Layers(partial(solve, grid), layers)
        chosen = _search(found, most, even, spare, progress or (lambda *_: None))
        rectangle = replace(grid, step=grid.gpus)
        steps = (grid.size(even) - rectangle.fewest) // rectangle.step
        same = None if steps < 0 else solve(rectangle, steps, range(layers)).imbalance
    best = [found.tried[layer][steps] for layer, steps in enumerate(chosen)]
    asked = {name: value for name, value in {**problem, **options}.items() if value is not None}
    numbers = weights.layers.tolist() if getattr(weights, "numbered", False) else None
    loaded = np.asarray(has_load(host).any(axis=1), np.bool_)

    def equal(slots: int, imbalance: Floats) -> EqualSlots:
        return EqualSlots(slots, imbalance, mean_with_load(imbalance, loaded))

    budget = Budget(grid.arrange([each.row for each in best]), numbers, grid.gpus, experts, problem=asked)
    budget.total_slots, budget.expert_mib = total, size
    budget.in_windows = balances_windows(objective, count_windows(host))
    held = budget.physical_to_logical >= 0
    budget.layer_slots = held.sum(axis=1)
    budget.gpu_totals = held.reshape(layers, grid.gpus, -1).sum(axis=(0, 2))
    budget.imbalance = np.array([each.imbalance for each in best])
    budget.imbalance_mean = mean_with_load(budget.imbalance, loaded)
    budget.layers_equal = equal(grid.size(even), np.array([each[even].imbalance for each in found.tried]))
    budget.all_equal = None if same is None else equal(rectangle.size(steps), same)
    return budget


def share_out(curves: Sequence[dict[int, float]], spare: int) -> list[int]:
    """Steps of each layer, at most spare of them in all, whose costs have the smallest sum; of equal ones the fewest.

    Args:
        curves: of each layer, its cost by steps; all have 0 steps.
    """
    room = min(spare, sum(map(max, curves)))
    least = np.zeros(room + 1)
    choices: list[Ints] = []
    for curve in curves:
        following, choice = np.full(room + 1, np.inf), np.zeros(room + 1, np.int64)
        for steps, cost in sorted(curve.items()):
            sums = least[: max(room + 1 - steps, 0)] + cost
            better = sums < following[steps:]
            following[steps:][better] = sums[better]
            choice[steps:][better] = steps
        choices.append(choice)
        least = following
    # The fewest steps in all that reach the smallest sum.
    left, chosen = int(np.argmin(least)), []
    for choice in reversed(choices):
        chosen.append(int(choice[left]))
        left -= chosen[-1]
    return chosen[::-1]


class _Tried(NamedTuple):
    """The placement of a layer [S], and its imbalance."""

    row: Ints
    imbalance: float


class _Solved(NamedTuple):
    """The same for several layers."""

    rows: Ints
    imbalance: Floats


_Solve = Callable[[int, Sequence[int]], _Solved]


@dataclass(frozen=True)
class _Grid:
    """Sizes of a layer: the fewest slots, and steps above it. Nodes have equal shares of each size."""

    experts: int
    gpus: int
    nodes: int
    step: int

    @property
    def fewest(self) -> int:
        return self.size(0)

    def size(self, steps: int) -> int:
        return (-(-self.experts // self.step) + steps) * self.step

    def most_steps(self, replicas: int) -> int:
        """Of a layer whose experts have at most that many replicas."""
        return max(0, (min(replicas * self.experts, MOST_SLOTS - self.gpus) - self.fewest) // self.step)

    def gpu_slots(self, steps: int) -> Ints:
        """Slots of each GPU: the first ones of a node may have one more than the others."""
        each, more = divmod(self.size(steps) // self.nodes, self.gpus // self.nodes)
        return np.tile(each + (np.arange(self.gpus // self.nodes) < more), self.nodes)

    def arrange(self, rows: Sequence[Ints]) -> Ints:
        """Rows of layers as one placement [L,S]. GPUs of a node take turns at having one slot more."""
        places = max(map(len, rows)) // self.gpus
        placement = np.full((len(rows), self.nodes, self.gpus // self.nodes, places), -1)
        turn = 0
        for layer, row in enumerate(rows):
            by_gpu = row.reshape(self.nodes, self.gpus // self.nodes, -1)
            placement[layer, ..., : by_gpu.shape[2]] = np.roll(by_gpu, turn, axis=1)
            turn += int((by_gpu[0] >= 0).sum()) % (self.gpus // self.nodes)
        return placement.reshape(len(rows), -1)


def _grid(experts: int, num_gpus: Any, num_nodes: Any, slot_step: Any) -> _Grid:
    gpus, nodes = integer("num_gpus", num_gpus, 1, MOST_SLOTS), integer("num_nodes", num_nodes, 1)
    if gpus % nodes:
        raise invalid_argument(f"num_gpus is {gpus}, must be a multiple of num_nodes = {nodes}")
    step = nodes if slot_step is None else integer("slot_step", slot_step, 1, MOST_SLOTS)
    if step % nodes:
        raise invalid_argument(f"slot_step is {step}, must be a multiple of num_nodes = {nodes}")
    return _Grid(experts, gpus, nodes, step)


def _solve(
    context: Context, weights: Array, asked: dict[str, Any], grid: _Grid, steps: int, layers: Sequence[int]
) -> _Solved:
    """Some layers with that many steps above the fewest slots."""
    slots = grid.gpu_slots(steps)
    cluster = Cluster(num_nodes=grid.nodes, slots=slots.tolist())
    chosen = np.ascontiguousarray(weights[..., list(layers), :])
    plan = context.solve(chosen, num_slots=int(slots.max()) * grid.gpus, cluster=cluster, **asked)
    imbalance = plan.imbalance
    if balances_windows(asked["objective"], plan.report.num_windows):
        imbalance = mean_of_windows(plan.window_imbalance, has_load(chosen))
    return _Solved(plan.physical_to_logical, imbalance)


class _Layers:
    """What each layer comes to, by steps, as far as it was tried."""

    def __init__(self, solve: _Solve, count: int) -> None:
        self._solve = solve
        self.tried: list[dict[int, _Tried]] = [{} for _ in range(count)]

    def try_size(self, steps: int, layers: Iterable[int]) -> None:
        missing = [layer for layer in layers if steps not in self.tried[layer]]
        if missing:
            for layer, row, imbalance in zip(missing, *self._solve(steps, missing), strict=True):
                self.tried[layer][steps] = _Tried(row, float(imbalance))

    def gaining(self) -> list[int]:
        """Layers that more slots may help."""
        return [
            layer for layer, found in enumerate(self.tried) if _can_gain([each.imbalance for each in found.values()])
        ]

    def share_out(self, spare: int) -> list[int]:
        return share_out([{steps: each.imbalance for steps, each in found.items()} for found in self.tried], spare)


def _can_gain(imbalance: list[float]) -> bool:
    """Whether more slots may help a layer. imbalance: at the sizes that were tried, ascending."""
    best, before = min(imbalance, default=np.inf), imbalance[:-_PATIENCE]
    return best > 1 + _NOTHING_TO_GAIN and (not before or best < min(before) - _NOTHING_TO_GAIN)


def _search(found: _Layers, most: int, even: int, spare: int, progress: Progress) -> list[int]:
    """Steps of each layer: sizes that grow apart come first, then what is between those that were chosen of them."""
    coarse = list(takewhile(lambda steps: steps <= most, _steps()))
    for count, steps in enumerate(coarse, 1):
        found.try_size(steps, found.gaining())
        progress(count, len(coarse) + 1)
    # With as many in each layer among what is tried, shares by gain are never worse.
    found.try_size(even, range(len(found.tried)))
    close: dict[int, list[int]] = {}
    for layer, steps in enumerate(found.share_out(spare)):
        for near in range(max(0, steps - _width(steps) + 1), min(most, steps + _width(steps) - 1) + 1):
            close.setdefault(near, []).append(layer)
    for steps, layers in sorted(close.items()):
        found.try_size(steps, layers)
    progress(len(coarse) + 1, len(coarse) + 1)
    return found.share_out(spare)


def _steps() -> Iterator[int]:
    """Numbers that grow apart, by what _width says."""
    steps = 0
    while True:
        yield steps
        steps += _width(steps)


def _width(steps: int) -> int:
    """How far sizes are apart: numbers keep their three leading binary digits."""
    return 1 << max(0, steps.bit_length() - 3)
