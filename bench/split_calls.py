"""Times of eplb_split, and moves of REBALANCE where tokens are split, for split.py."""

import time

import numpy as np
from eplb._library import DTYPES, MAPS, ffi, lib
from eplb._session import Session

_NOTHING = (ffi.NULL, ffi.NULL, 0, 0, ffi.NULL)  # over what was prepared, with the default options


class Splits:
    """Splits of tokens [L,E] over one placement [L,S]."""

    def __init__(self, placement, tokens, gpus):
        self.session = Session()
        self.session.set_problem(placement.shape[1], gpus, 1, None, "global", "simple")
        self.session.upload(tokens)
        self.placement = np.ascontiguousarray(placement, np.int64)
        self.shares = np.empty(placement.shape, np.int32)

    def prepare(self):
        arguments = ffi.from_buffer(self.placement), self.placement.size, DTYPES["int64"]
        self.session.handle.run(0, lib.eplb_split_prepare, self.session.problem, *arguments)

    def split(self):
        lib.eplb_split(self.session.context, *_NOTHING, self.session.error)

    def fetch_shares(self):
        arguments = MAPS["share"], DTYPES["int32"], ffi.from_buffer(self.shares), self.shares.size
        lib.eplb_fetch_map(self.session.context, *arguments, self.session.error)


def processor_seconds(work, repetitions):
    """Of the one in the middle; of many runs at once where one is short."""
    times = []
    for _ in range(repetitions):
        start = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - start) * 1e-9)
    return sorted(times)[len(times) // 2]


def times_of(placement, tokens, gpus, heap, repetitions=15):
    """Microseconds per layer of a split, of preparing, of fetching shares, and of the heap greedy by turns; and the
    split's of the worst layer."""
    splits = Splits(placement, tokens, gpus)
    splits.prepare()
    columns = {name: [] for name in ("split", "prepare", "shares", "heap")}
    for _ in range(repetitions):
        for name, work in zip(columns, (splits.split, splits.prepare, splits.fetch_shares, heap), strict=True):
            if name == "shares":
                splits.split()  # preparing has discarded the one before
            columns[name].append(processor_seconds(work, 1) / len(tokens) * 1e6)
        splits.split()
    worst = 0.0
    for layer in range(len(tokens)):
        alone = Splits(placement[layer : layer + 1], tokens[layer : layer + 1], gpus)
        alone.prepare()
        worst = max(worst, processor_seconds(lambda each=alone: [each.split() for _ in range(20)], 5) / 20 * 1e6)
    middle = {name: sorted(values)[len(values) // 2] for name, values in columns.items()}
    ratio = sorted(own / yardstick for own, yardstick in zip(columns["split"], columns["heap"], strict=True))
    return middle, worst, ratio[len(ratio) // 2]


def moves_of(context, placement, tokens, gpus, objective, target):
    """Moves per layer, layers above the target, and milliseconds of the processor per layer."""
    start = time.process_time()
    plan = context.rebalance(tokens, placement, gpus, policy="global", objective=objective, target=target)
    milliseconds = (time.process_time() - start) / len(tokens) * 1e3
    return plan.report.moves / len(tokens), plan.report.layers_missed, milliseconds
