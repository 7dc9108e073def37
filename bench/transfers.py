"""Rounds, crossings of nodes and time of transfers, next to what engines do without a planner.

    PYTHONPATH=bindings/python python bench/transfers.py [--seconds S] [--markdown FILE] [--commit TEXT] [--data FOLDER]

Prefill loads of 2048 tokens come after those of 512 tokens. A rebalance changes the plan by 16 moves per layer; a fresh
plan moves nearly every expert. The baselines were written for this benchmark: each slot gets its contents from the
first holder of its expert, by slot number; transfers are gone through by slot, and each runs in the first round that
has its sender and its receiver free. In place, what overwrites a slot that others have yet to read waits; where all
wait, what the lowest slot held is saved. Every list of the library, and all that need a buffer for a layer, are carried
out by the simulator of tests/golden before they count.
"""

import argparse
import ctypes
import glob
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial

import eplb
import numpy as np
from eplb._library import TRANSFER_ORDERS, ffi, lib
from eplb._session import Session

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
from transfer_simulator import simulate  # noqa: E402

SHAPES = ((288, 32, 4), (288, 32, 8), (320, 64, 4), (320, 64, 8))  # slots, GPUs, nodes
ORDERS = ("buffered", "in_place", "exclusive")
BEFORE, AFTER = "deepseek-v3_prefill-in512_L58xE256.csv", "deepseek-v3_prefill-in2048_L58xE256.csv"
MOST_MOVES = 16
HEAD = "| slots/GPUs | nodes | plan | order | moves | rounds | least | first fit | first holder "
HEAD += "| between nodes | first holder | us | time / heap greedy |"
YARDSTICK = """
#include <cstddef>

#include "heap_greedy.h"
extern "C" void yardstick(const float* from, int layers, int experts, int slots, int gpus) {
  static std::vector<int32_t> placement;
  placement.resize(std::size_t(layers) * slots);
  static std::vector<float> weights;
  weights.assign(from, from + std::size_t(layers) * experts);
  bench::heap_greedy(weights, layers, experts, slots, gpus, placement);
}
"""

# ---------------------------------------------------------------------------------------------------------- baselines


def first_holder(current, placement):
    """A source for every slot: the lowest one that holds the expert; its own if it stays."""
    first = {expert: slot for slot, expert in reversed(list(enumerate(current)))}
    return [slot if current[slot] == expert else first[expert] for slot, expert in enumerate(placement)]


def gpus_of(slot, origin, per_gpu):
    return origin // per_gpu, slot // per_gpu


def first_fit(source, per_gpu, exclusive):
    """The round of every slot: the first in which its sender and its receiver are free."""
    taken, rounds = set(), []
    for slot, origin in enumerate(source):
        sender, receiver = gpus_of(slot, origin, per_gpu)
        if sender == receiver:
            rounds.append(-1 if origin == slot else 0)
            continue
        # Sides of GPUs; where a GPU either sends or receives, it has only one.
        sides = ((sender, 0), (receiver, 0 if exclusive else 1))
        number = 1
        while any((number, *side) in taken for side in sides):
            number += 1
        taken.update((number, *side) for side in sides)
        rounds.append(number)
    return rounds


def in_place_rounds(source, per_gpu):
    """The number of rounds if each takes, by slot, what can run."""
    waiting = [slot for slot, origin in enumerate(source) if origin != slot]
    readers = {slot: {reader for reader in waiting if source[reader] == slot} for slot in waiting}
    number = 0
    while waiting:
        number += 1
        if not any(not readers[slot] for slot in waiting):
            readers[waiting[0]].pop()  # all wait in cycles, so there is one reader: it reads the buffer
        busy, done = set(), []
        for slot in waiting:
            sender, receiver = gpus_of(slot, source[slot], per_gpu)
            links = {(sender, 0), (receiver, 1)} if sender != receiver else set()
            if not readers[slot] and not links & busy:
                busy |= links
                done.append(slot)
        for slot in done:
            readers.get(source[slot], set()).discard(slot)
        waiting = [slot for slot in waiting if slot not in done]
    return number


def baseline_rounds(order, current, placement, source, gpus):
    per_gpu = len(source) // gpus
    if order == "in_place":
        return in_place_rounds(source, per_gpu)
    rounds = first_fit(source, per_gpu, order == "exclusive")
    return simulate(current, placement, source, rounds, [-1] * len(source), gpus, order)


def crossings(source, gpus, nodes):
    per_gpu = len(source) // gpus
    ends = [gpus_of(slot, origin, per_gpu) for slot, origin in enumerate(source)]
    return sum(sender * nodes // gpus != receiver * nodes // gpus for sender, receiver in ends)


def least_rounds(order, source, gpus):
    """What one GPU has to do at most: no schedule of the order has fewer rounds. In place it depends on the cycles."""
    if order == "in_place":
        return np.nan
    per_gpu = len(source) // gpus
    links = [ends for ends in (gpus_of(slot, o, per_gpu) for slot, o in enumerate(source)) if ends[0] != ends[1]]
    sent, received = (np.bincount([link[side] for link in links], minlength=gpus) for side in (0, 1))
    return (sent + received).max() if order == "exclusive" else max(sent.max(), received.max())


# -------------------------------------------------------------------------------------------------------------- table


def heap_greedy():
    """The yardstick of eplb_bench, compiled as there."""
    bench = os.path.join(ROOT, "bench")
    with tempfile.TemporaryDirectory() as folder:
        source, library = os.path.join(folder, "yardstick.cpp"), os.path.join(folder, "yardstick.so")
        with open(source, "w") as file:
            file.write(YARDSTICK)
        sources = [source, os.path.join(bench, "heap_greedy.cpp")]
        subprocess.run(
            ["g++", "-std=c++20", "-O2", "-fPIC", "-shared", f"-I{bench}", *sources, "-o", library], check=True
        )
        return ctypes.CDLL(library).yardstick


def microseconds(work):
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e6


def times(session, current, placement, order, yardstick, seconds):
    """Of all layers: the ratio to the yardstick by turns, and microseconds."""
    maps = [np.empty_like(placement) for _ in range(3)]
    arrays = [ffi.from_buffer(each) for each in (current, placement, *maps)]
    size = placement.size, 2, ffi.NULL, session.error
    ratios, own = [], []
    end = time.perf_counter() + seconds
    while len(own) < 5 or time.perf_counter() < end:
        own.append(
            microseconds(
                lambda: lib.eplb_plan_transfers(
                    session.context, session.problem, TRANSFER_ORDERS[order], *arrays, *size
                )
            )
        )
        ratios.append(own[-1] / microseconds(yardstick))
    return statistics.median(ratios), statistics.median(own)


def solved(session, weights, strategy):
    session.set_options(strategy, "normal", 0)
    session.upload(weights)
    session.solve()
    return session.ints32("physical_to_logical", (len(weights), session.problem.num_slots))


def placements(before, after, shape):
    """The session of a shape, the plan of the first loads, and what follows it, by name."""
    slots, gpus, nodes = shape
    session = Session()
    session.set_problem(slots, gpus, nodes, 1, "global", "simple")
    session.options.max_moves = MOST_MOVES
    current = solved(session, before, "best")
    fresh = solved(session, after, "best")
    session.set_current(current.astype(np.int64))
    return session, current, {f"{MOST_MOVES} moves": solved(session, after, "rebalance"), "fresh": fresh}


def figures_of(old, new, maps, order, gpus, nodes):
    source, round_of, group = maps
    simple = first_holder(old, new)
    return [
        simulate(old, new, source, round_of, group, gpus, order),
        least_rounds(order, source, gpus),
        baseline_rounds(order, old, new, source, gpus),
        baseline_rounds(order, old, new, simple, gpus),
        crossings(source, gpus, nodes),
        crossings(simple, gpus, nodes),
    ]


def shape_rows(before, after, shape, yardstick, seconds):
    slots, gpus, nodes = shape
    layers, experts = after.shape
    pointer = after.ctypes.data_as(ctypes.c_void_p)
    session, current, following = placements(before, after, shape)
    for name, placement in following.items():
        for order in ORDERS:
            with eplb.Context() as context:
                moves = context.plan_transfers(current, placement, num_gpus=gpus, num_nodes=nodes, transfer_order=order)
            rows = (each.tolist() for each in (current, placement, moves.source, moves.round, moves.group))
            figures = [figures_of(old, new, maps, order, gpus, nodes) for old, new, *maps in zip(*rows, strict=True)]
            rounds, least, fit, simple, crossing, simple_crossing = np.mean(figures, axis=0)
            heap = partial(yardstick, pointer, layers, experts, slots, gpus)
            ratio, own = times(session, current, placement, order, heap, seconds)
            least = "" if np.isnan(least) else f"{least:.2f}"
            yield (
                f"| {slots}/{gpus} | {nodes} | {name} | {order} | {moves.count.mean():.1f} | **{rounds:.2f}** "
                f"| {least} | {fit:.2f} | {simple:.2f} | {crossing:.1f} | {simple_crossing:.1f} | {own / layers:.1f} "
                f"| **{ratio:.2f}** |"
            )


def processor():
    with open("/proc/cpuinfo") as file:
        found = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return found[1] if found else platform.machine()


def document(rows, commit):
    return f"""# Transfers

- machine: {processor()}; one thread; {eplb.backends()["cpu"].text}
- library: libeplb {eplb.__version__}, commit {commit}
- from the plan of {BEFORE} (BEST, NORMAL, global) to what follows with {AFTER}: a rebalance by at
  most {MOST_MOVES} moves per layer (REBALANCE, NORMAL), or a fresh plan (BEST, NORMAL); means over 58 layers
- first fit: the library's sources, each transfer in the first round that has both ends free; first holder: the same,
  but the source is the lowest slot that holds the expert
- least: what one GPU sends or receives at most, exclusive: sends and receives, with the library's sources; no schedule
  has fewer rounds
- in place, what a slot holds must be read before it is written: a fresh plan has long chains of transfers that can
  only follow each other; the library's sources are chosen to make them short
- time: of the transfers alone, per layer, one thread; over the heap greedy of eplb_bench, by turns, the median of the
  ratios

{HEAD}
|---|---|---|---|---|---|---|---|---|---|---|---|---|
{rows}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(ROOT), "shared", "data"))
    arguments = parser.parse_args()
    if not glob.glob(os.path.join(arguments.data, BEFORE)):
        sys.exit(f"no measured traces in {arguments.data}")
    before, after = (
        np.loadtxt(os.path.join(arguments.data, name), np.float32, delimiter=",") for name in (BEFORE, AFTER)
    )
    yardstick = heap_greedy()
    rows = [row for shape in SHAPES for row in shape_rows(before, after, shape, yardstick, arguments.seconds)]
    text = document("\n".join(rows), arguments.commit)
    print(text)
    if arguments.markdown:
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
