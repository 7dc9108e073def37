"""What is asked under policy SOFT, and its answer layer by layer: weights as docs/algorithms.md 15.1 scales them."""

import math
from dataclasses import dataclass, field

from arithmetic import quantise
from move_shares import shares
from rebalance import UNIT, Asked
from rebalance_state import ANY, FASTEST
from soft import Soft
from soft_state import SHARE, Wished
from unequal import gpus_of


def windows_of(rows, importance=None):
    """(share, weights) of the windows of a layer that are balanced apart: 14.1. rows: [T][E]."""
    importance = importance or [1] * len(rows)
    shares = [(math.floor(2**17 * (x / max(importance))) + 1) // 2 for x in importance]
    kept = [(share, row) for share, row in zip(shares, rows, strict=True) if share and any(row)]
    if len(kept) < 2:
        return [(SHARE, quantise(kept[0][1] if kept else [sum(column) for column in zip(*rows, strict=True)]))]
    return scaled([(share, quantise(row)) for share, row in kept], (1 << 28) // len(kept))


def scaled(windows, most):
    """As much as the window matters."""
    return [
        (share, [max(1, weight * (most * share // SHARE) // sum(weights)) for weight in weights])
        for share, weights in windows
    ]


def prices_paid_for(windows):
    shares = sum(share for share, _ in windows)
    sums = [sum(column) for column in zip(*(weights for _, weights in windows), strict=True)]
    return [max(1, total * SHARE // shares // 64) for total in sums]


def wished(windows, rows, gpus, was=None, most_copies=ANY, most_arrivals=ANY):
    """A layer. windows: as windows_of() has them; gpus: (slots, pace, node), a list of each; no `was`: nothing is."""
    windows = scaled(windows, min(1 << 23, (1 << 26) // len(windows)))
    slots, pace, node = gpus
    summed = [sum(column) for column in zip(*(weights for _, weights in windows), strict=True)]
    old = Wished(summed, rows, slots, pace, node, was or [[-1] * rows for _ in slots])
    old.most_copies, old.most_arrivals = min(most_copies, sum(map(bool, slots))), most_arrivals
    old.windows, old.paid_for = windows, prices_paid_for(windows)
    return old


@dataclass
class Question:
    """What is solved. weights: [T][L][E]; cluster: lists by GPU, as eplb_upload_cluster takes them; current: [L][S]."""

    weights: list
    problem: object  # of reference.py
    off_home_target: float = 1.01
    strategy: str = "best"
    effort: str = "normal"
    apart: bool = False  # are windows balanced apart?
    importance: list = None  # of windows
    prices: list = None  # by node, and by expert or group
    cluster: dict = field(default_factory=dict)  # slots, speeds, nodes
    options: dict = field(default_factory=dict)  # fields of eplb_solve_options
    current: list = None

    @property
    def rows(self):
        return self.problem.num_slots // self.problem.num_gpus

    @property
    def layers(self):
        """[L][T][E]."""
        return [list(rows) for rows in zip(*self.weights, strict=True)]

    def gpus(self):
        """Slots, pace and node, by GPU."""
        gpus, rows = self.problem.num_gpus, self.rows
        slots, speeds = self.cluster.get("slots") or [rows] * gpus, self.cluster.get("speeds") or [1] * gpus
        pace = list(gpus_of(rows, slots, speeds).pace)
        if len({each for each, count in zip(pace, slots, strict=True) if count}) == 1:
            pace = [FASTEST] * gpus
        node = self.cluster.get("nodes") or [gpu * self.problem.num_nodes // gpus for gpu in range(gpus)]
        return slots[:], pace, node[:]

    def asked(self):
        limits, own = self.options, self.options.get("target", 0) if self.strategy == "rebalance" else 0
        return Asked(
            limits.get("max_moves", ANY),
            int((own if own > 0 else self.off_home_target) * UNIT),
            int(limits.get("move_price", 0) * UNIT),
            "max_moves_total" in limits,
            bool(limits.get("allow_empty")),
            self.effort,
            limits.get("seed", 0),
        )

    def program(self, layer):
        windows = self.layers[layer]
        if not self.apart:
            windows = [[sum(column) for column in zip(*windows, strict=True)]]
        cap, was = self.options.get("max_replicas") or ANY, None
        if self.strategy == "rebalance":
            flat, rows = self.current[layer], self.rows
            was = [flat[gpu * rows : (gpu + 1) * rows] for gpu in range(self.problem.num_gpus)]
        read = windows_of(windows, self.importance if self.apart else None)
        old = wished(read, self.rows, self.gpus(), was, cap, self.options.get("max_arrivals", ANY))
        return Soft(old, self.asked(), self.problem.num_nodes, self.problem.groups, cap, self.prices)

    def has_load(self, layer):
        return any(map(any, self.layers[layer]))


def solve(question):
    """[L][S]; -1: nothing."""
    layers = range(len(question.layers))
    programs = [question.program(layer) for layer in layers]
    if question.strategy == "best":
        return [program.solve_fresh() for program in programs]
    if "max_moves_total" in question.options:
        total = question.options["max_moves_total"]
        most = min(question.problem.num_slots, programs[0].budget, total)
        paths = [program.path(most, question.has_load(layer)) for layer, program in enumerate(programs)]
        share = shares(paths, [program.mean for program in programs], total)
        for program, budget in zip(programs, share, strict=True):
            program.budget = min(program.budget, budget)
    return [program.solve(question.has_load(layer)) for layer, program in enumerate(programs)]
