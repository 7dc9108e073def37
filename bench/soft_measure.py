"""Solves of the policy SOFT to be measured, and their figures, which are taken from the maps alone."""

import ctypes
import glob
import inspect
import os
import sys
from dataclasses import dataclass, replace
from functools import partial

import eplb
import numpy as np
from rebalance_measure import by_turns, holders
from soft_study import GROUPS, SLACK, Terms
from transfers import heap_greedy

HAS_EMPTY = "allow_empty" in inspect.signature(eplb.Context.solve).parameters


@dataclass
class Figures:
    """Of a placement: imbalance [T,L]; by layer the off-home share, its bound, moves, the most that a GPU gets, and
    empty slots. Then ms per layer, and the time over the heap greedy's."""

    placement: np.ndarray
    imbalance: np.ndarray
    off_home: np.ndarray
    bound: np.ndarray
    moves: np.ndarray
    arrivals: np.ndarray
    empty: np.ndarray
    target: float
    ms: float = 0.0
    ratio: float = 0.0

    @property
    def layers(self):
        return self.imbalance.shape[1]

    @property
    def within(self):
        """Layers that reach the target, in each window."""
        return int((self.imbalance.max(axis=0) <= self.target + SLACK).sum())

    @property
    def share(self):
        """In percent."""
        return 100 * self.off_home.mean()

    @property
    def least(self):
        return 100 * self.bound.mean()

    @property
    def above(self):
        """Points of the off-home share above its bound."""
        return self.share - self.least


# --------------------------------------------------------------------------------------------------------- from maps


def speeds_of(terms):
    """By GPU, 0 without slots; their sum is 1."""
    speed = np.array(terms.speed or [1.0] * terms.shape.gpus)
    speed[np.array(slots_of(terms)) == 0] = 0
    return speed / speed.sum()


def slots_of(terms):
    """By GPU."""
    places = terms.shape.slots // terms.shape.gpus
    slots = list(terms.slots or [places] * terms.shape.gpus)
    if terms.dead is not None:
        slots[terms.dead] = 0
    return slots


def nodes_of(shape):
    """The node of every GPU."""
    return np.arange(shape.gpus) * shape.nodes // shape.gpus


def leaves_empty(terms):
    """Whether a fresh placement may have empty slots."""
    return HAS_EMPTY and terms.empty and terms.policy == "soft"


def check(held, terms, may_be_empty):
    """Every expert has a replica, no GPU has one twice, and closed slots are empty; others are not, unless they may."""
    filled, slots = held.sum(axis=2), np.array(slots_of(terms))
    least = 0 if may_be_empty else slots
    if held.sum(axis=1).min() < 1 or held.max() > 1 or (filled > slots).any() or (filled < least).any():
        sys.exit(f"a placement is wrong: {terms}")


def homes_of(held, windows, shape):
    """Load [T,L,N,Q] of groups by node that serves it."""
    nodes, experts = nodes_of(shape), windows.shape[2]
    by_node = np.stack([held[:, nodes == node].sum(axis=1) for node in range(shape.nodes)], axis=1)
    served = by_node / held.sum(axis=1)[:, None]
    group = np.eye(GROUPS)[np.arange(experts) * GROUPS // experts]
    return np.einsum("tle,lne,eq->tlnq", windows, served, group, optimize=True)


def off_home(held, windows, terms):
    """The off-home share [L], and what no placement with these homes can be below at the target, in each window."""
    served = homes_of(held, windows, terms.shape)
    groups, total = served.sum(axis=2), windows.sum(axis=(0, 2))
    # The first node of several that serve as much.
    is_home = np.eye(terms.shape.nodes)[served.sum(axis=0).argmax(axis=1)]
    away = 1 - np.einsum("tlnq,lqn->l", served, is_home) / total
    home_load = np.einsum("tlq,lqn->tln", groups, is_home)
    speed, nodes = speeds_of(terms), nodes_of(terms.shape)
    room = np.bincount(nodes, speed, terms.shape.nodes) * terms.target
    # What a node cannot hold flows over.
    over = np.maximum(0, home_load - room * windows.sum(axis=2)[..., None])
    return away, over.sum(axis=(0, 2)) / total


def figures_of(placement, windows, terms, current=None):
    """Of a placement; moves are from the current one. Windows count apart if the objective keeps them apart."""
    held = holders(placement, terms.shape.gpus, windows.shape[2])
    # A rebalance begins with empty slots where it has spare ones.
    check(held, terms, leaves_empty(terms) or current is not None)
    speed = speeds_of(terms)
    loads = np.einsum("lge,tle->tlg", held / held.sum(axis=1, keepdims=True), windows)
    times = loads / np.where(speed > 0, speed, 1)
    away, bound = off_home(held, windows if terms.objective == "windows" else windows.sum(axis=0)[None], terms)
    now = held if current is None else holders(current, terms.shape.gpus, windows.shape[2])
    arrivals = ((held > 0) & (now == 0)).sum(axis=2)
    if terms.arrivals is not None and current is not None and arrivals.max() > terms.arrivals:
        sys.exit(f"a GPU gets {arrivals.max()} experts: {terms}")
    return Figures(
        placement,
        times.max(axis=2) / windows.sum(axis=2),
        away,
        bound,
        arrivals.sum(axis=1),
        arrivals.max(axis=1),
        sum(slots_of(terms)) - held.sum(axis=(1, 2)),
        terms.target,
    )


def lost(current, experts):
    """Experts [L] that no slot holds: they have to move."""
    return (holders(current, 1, experts)[:, 0] == 0).sum(axis=1)


# ------------------------------------------------------------------------------------------------------------- solves


class Solver:
    """One context for all calls, the yardstick, and traces. Layers: a further stride."""

    def __init__(self, folder, quick, layers):
        self.folder, self.layers, self.repetitions = folder, layers, 1 if quick else 3
        self.context, self.yardstick = eplb.Context(), heap_greedy()
        self.kept = {}

    def read(self, file, stride):
        """Counts [L,E]; None if there is no such trace."""
        paths = sorted(glob.glob(os.path.join(self.folder, file + "_L[0-9]*")))
        if not paths:
            return None
        return np.ascontiguousarray(np.loadtxt(paths[0], delimiter=",", ndmin=2)[:: stride * self.layers])

    def windows(self, names, stride):
        """Windows [T,L,E], each of a layer with a load of 1, so that all count the same."""
        counts = np.stack([self.read(f"deepseek-v3_{name}", stride) for name in names])
        return counts / counts.sum(axis=2, keepdims=True)

    def fresh(self, windows, terms, effort):
        return self._measure(windows, terms, partial(self.solve, windows, terms, effort))

    def once(self, key, counts, terms, effort):
        """The same, of a trace by its name, measured once for all tables."""
        key = key, terms, effort
        if key not in self.kept:
            self.kept[key] = self.fresh(counts[None], terms, effort)
        return self.kept[key]

    def solve(self, windows, terms, effort):
        options = {"allow_empty": True} if leaves_empty(terms) else {}
        return self.context.solve(
            windows, num_slots=terms.shape.slots, strategy="best", effort=effort, **options, **_problem(terms)
        )

    def rebalance(self, windows, current, terms, effort):
        solve = partial(
            self.context.rebalance,
            windows,
            current,
            effort=effort,
            target=terms.target,
            max_arrivals=terms.arrivals,
            allow_empty=terms.empty,
            **_problem(terms),
        )
        return self._measure(windows, terms, solve, current)

    def _measure(self, windows, terms, solve, current=None):
        # The array is an argument of the partial: it has to live as long.
        heap = partial(_run, self.yardstick, windows.sum(axis=0).astype(np.float32), *terms.shape.heap)
        plan, own, ratio = by_turns(heap, solve, self.repetitions)
        figures = figures_of(plan.physical_to_logical, windows, terms, current)
        return replace(figures, ms=own / figures.layers * 1e3, ratio=ratio)


def _problem(terms):
    """Arguments of both kinds of solve."""
    slots = None if terms.slots is None and terms.dead is None else slots_of(terms)
    cluster = eplb.Cluster(terms.shape.gpus, num_nodes=terms.shape.nodes, slots=slots, speed=terms.speed)
    return {
        "cluster": cluster,
        "num_groups": GROUPS,
        "policy": terms.policy,
        "objective": terms.objective,
        "off_home_target": terms.target,
    }


def _run(yardstick, weights, slots, gpus):
    yardstick(weights.ctypes.data_as(ctypes.c_void_p), *weights.shape, slots, gpus)


def plain(shape, target, policy="soft", empty=False):
    """Terms of one window and equal GPUs."""
    return Terms(shape, target, policy=policy, objective="sum", empty=empty)


def into(before, placement, terms):
    """A placement in the places of a larger rectangle; -1 in spare ones, and on a dead GPU."""
    places = terms.shape.slots // terms.shape.gpus
    held = np.full((len(placement), terms.shape.gpus, places), -1)
    held[..., : before.slots // before.gpus] = placement.reshape(len(placement), before.gpus, -1)
    if terms.dead is not None:
        held[:, terms.dead] = -1
    return held.reshape(len(placement), -1)
