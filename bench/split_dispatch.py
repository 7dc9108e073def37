"""Static dispatch for split.py: tables of the library, of an engine's rule, swaps that were made, and times."""

from dataclasses import dataclass

import numpy as np
from eplb._library import ffi, lib
from eplb._request import made
from split_calls import Splits, processor_seconds

ANY = -1  # number of swaps


@dataclass
class Table:
    """Which table, by what it may do: `name` is a heading, tolerance 1 ends the search before it begins."""

    name: str
    max_swaps: int
    tolerance: float


ROUNDED = Table("best split, rounded to ranks", 0, 1)
PLAIN = Table("static dispatch", 0, 0)
SWAPPED = Table("after swaps", ANY, 0)


class Dispatches(Splits):
    """Static dispatch of tokens [L,E] over one placement [L,S], with a rank on each GPU."""

    def __init__(self, placement, tokens, gpus):
        super().__init__(placement, tokens, gpus)
        self.prepare()
        self.options = made("static_dispatch_options", self.session.error)

    def dispatch(self, table):
        self.options.max_swaps, self.options.tolerance = table.max_swaps, table.tolerance
        status = lib.eplb_static_dispatch(
            self.session.context, ffi.NULL, ffi.NULL, 0, 0, self.options, self.session.error
        )
        assert status == 0, ffi.string(self.session.error.text)

    def imbalance(self, table):
        """float64 [L]"""
        self.dispatch(table)
        return self.session.floats("dispatch_imbalance")

    def placement_after(self, swaps):
        self.dispatch(Table("", swaps, 0))
        return self.session.ints("dispatch_placement")

    def swaps(self):
        """[L]: how many a layer makes if it may make any number: with fewer allowed, its placement is another one."""
        last = self.placement_after(ANY)
        few, many = np.zeros(len(last), int), np.full(len(last), self.placement.shape[1])
        while (few < many).any():
            tried = (few + many) // 2
            same = np.zeros(len(last), bool)
            for swaps in np.unique(tried[few < many]):
                at = tried == swaps
                same[at] = (self.placement_after(int(swaps)) == last).all(axis=1)[at]
            few, many = np.where(same, few, np.minimum(tried + 1, many)), np.where(same, tried, many)
        return few


def times_of_dispatch(placement, tokens, gpus, heap, repetitions=15):
    """Microseconds per layer of a table without swaps and with any number, over what is prepared; of the heap greedy by
    turns, the ratios."""
    asked = Dispatches(placement, tokens, gpus)
    work = {PLAIN.name: lambda: asked.dispatch(PLAIN), SWAPPED.name: lambda: asked.dispatch(SWAPPED), "heap": heap}
    columns = {name: [] for name in work}
    for _ in range(repetitions):
        for name, each in work.items():
            columns[name].append(processor_seconds(each, 1) / len(tokens) * 1e6)
    middle = {name: float(np.median(values)) for name, values in columns.items()}
    ratios = {name: float(np.median(np.divide(columns[name], columns["heap"]))) for name in (PLAIN.name, SWAPPED.name)}
    return middle, ratios


def engine_imbalance(placement, tokens, gpus, seed=42):
    """[L]: of the rule that SGLang 0.5.23 has for its table on one node, which knows no loads.

    Of an expert on several GPUs, a rank whose GPU has a replica uses that; the others use all replicas, each as many
    ranks as another but for one, and chance says which have one more.
    """
    chance, found = np.random.default_rng(seed), []
    for row, weights in zip(placement, tokens, strict=True):
        load, each = np.zeros(gpus), len(row) // gpus
        for expert in range(len(weights)):
            slots = np.flatnonzero(row == expert)
            ranks = np.zeros(len(slots), int)
            on, first = np.unique(slots // each, return_index=True)
            own = on if len(slots) > 1 else on[:0]
            ranks[first[: len(own)]] += 1
            whole, more = divmod(gpus - len(own), len(slots))
            ranks += whole
            ranks[chance.choice(len(slots), more, replace=False)] += 1
            np.add.at(load, slots // each, weights[expert] * ranks / gpus)
        found.append(load.max() * gpus / weights.sum())
    return np.array(found)
