"""A rebalance to be measured, and its figures, which are taken from the maps alone."""

import statistics
import sys
import time
from dataclasses import dataclass, field
from functools import partial

import eplb
import numpy as np

# The largest target that there is: only what is forced moves.
ANY = 1024


@dataclass
class Problem:
    """Layers of one row: loads [L,E], the current placement [L,S], and GPUs; heap is a run of the yardstick on them."""

    weights: np.ndarray
    current: np.ndarray
    gpus: int
    heap: partial
    repetitions: int
    cluster: eplb.Cluster | None = None
    context: eplb.Context = field(default_factory=eplb.Context)

    def rebalance(self, effort, **limits):
        return self.context.rebalance(
            self.weights,
            self.current,
            None if self.cluster else self.gpus,
            cluster=self.cluster,
            policy="global",
            effort=effort,
            **limits,
        )

    def best(self, effort):
        return self.context.solve(
            self.weights,
            num_slots=self.current.shape[1],
            num_gpus=None if self.cluster else self.gpus,
            cluster=self.cluster,
            policy="global",
            strategy="best",
            effort=effort,
        )

    @property
    def slots(self):
        """By GPU."""
        given = self.cluster and self.cluster.slots
        return np.array(given or [self.current.shape[1] // self.gpus] * self.gpus)

    @property
    def speed(self):
        """By GPU; 0 without slots."""
        given = self.cluster and self.cluster.speed
        return np.where(self.slots > 0, given or 1.0, 0.0)


@dataclass
class Measured:
    """By layer: moves, imbalance; then ms per layer, and the time over the heap greedy's."""

    moves: np.ndarray
    imbalance: np.ndarray
    ms: float
    ratio: float


# --------------------------------------------------------------------------------------------------------- from maps


def holders(placement, gpus, experts):
    """Replicas [L,G,E] of every expert on every GPU."""
    layers, slots = placement.shape
    count = np.zeros((layers, gpus, experts + 1), int)
    gpu = np.arange(slots) // (slots // gpus)
    # -1 is the last column.
    np.add.at(count, (np.arange(layers)[:, None], gpu[None], placement), 1)
    return count[..., :-1]


def figures_of(problem, placement, limits):
    """Moves and imbalance of every layer of a plan, which has to be valid and within the limits."""
    weights, speed = problem.weights, problem.speed
    new = holders(placement, problem.gpus, weights.shape[1])
    old = holders(problem.current, problem.gpus, weights.shape[1])
    copies, filled = new.sum(axis=1), new.sum(axis=2)
    moves = ((new > 0) & (old == 0)).sum(axis=(1, 2))
    valid = (
        copies.min() > 0
        and new.max() == 1
        and (filled <= problem.slots).all()
        and moves.max() <= limits.get("max_moves", ANY)
        and moves.sum() <= limits.get("max_moves_total", moves.sum())
    )
    if not valid:
        sys.exit(f"a plan is wrong: {limits}, {problem.gpus} GPUs, {problem.cluster}")
    loads = (new * (weights / copies)[:, None]).sum(axis=2)
    # GPUs without slots have no load.
    times = loads / np.where(speed > 0, speed, 1)
    return moves, times.max(axis=1) * speed.sum() / weights.sum(axis=1)


def bounds(problem):
    """The least imbalance that slots and speeds allow: 1, or what a replica takes when there are too few of them."""
    fastest, room = problem.speed.max() / problem.speed.sum(), problem.slots.sum()
    return np.array([_bound(layer / layer.sum() / fastest, room) for layer in problem.weights])


def _bound(shares, room):
    low, high = 1.0, max(1.0, shares.max())
    if np.maximum(1, np.ceil(shares)).sum() <= room:
        return low
    while high - low > 1e-9:
        middle = (low + high) / 2
        fits = np.maximum(1, np.ceil(shares / middle)).sum() <= room
        low, high = (low, middle) if fits else (middle, high)
    return high


# -------------------------------------------------------------------------------------------------------------- times


def seconds(work):
    start = time.thread_time()
    work()
    return time.thread_time() - start


def by_turns(heap, solve, repetitions):
    """The last plan; the median of its seconds; the median of its times over the heap greedy's."""
    own, ratios = [], []
    end = time.perf_counter() + 0.02 * repetitions
    while len(own) < repetitions or time.perf_counter() < end:
        yardstick = seconds(lambda: [heap() for _ in range(4)]) / 4
        # A plan that is still held has to fetch its maps before the context goes on.
        plan = None
        start = time.thread_time()
        plan = solve()
        own.append(time.thread_time() - start)
        ratios.append(own[-1] / yardstick)
    return plan, statistics.median(own), statistics.median(ratios)


def measure(problem, solve, **limits):
    plan, own, ratio = by_turns(problem.heap, partial(solve, **limits), problem.repetitions)
    moves, imbalance = figures_of(problem, plan.physical_to_logical, limits)
    return Measured(moves, imbalance, own / len(problem.weights) * 1e3, ratio)


def at_target(problem, effort, target, **limits):
    return measure(problem, partial(problem.rebalance, effort), target=target, **limits)
