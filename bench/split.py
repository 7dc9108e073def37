"""Tokens split over replicas: time, balance when loads drift and in small steps, placements for it, moves, and tables.

    PYTHONPATH=bindings/python python bench/split.py [--table NAME] [--markdown FILE] [--commit TEXT] [--data FOLDER]

Needs the measured traces (../shared/data). In brackets are the study's figures, typed in, in split_study.py; bold is
what misses a mark. Balance is computed from the placement alone, by the plain definition, tests/golden/split.py; that
of steps by shares of the library.
"""

import argparse
import contextlib
import ctypes
import os
import sys
from functools import partial

import eplb
import numpy as np
from split_calls import moves_of, times_of
from split_dispatch import PLAIN, ROUNDED, SWAPPED, Dispatches, engine_imbalance, times_of_dispatch
from split_measure import ROOT, even_imbalance, judge, place
from split_steps import judge_draws, judge_series, read_series
from split_study import (
    DISPATCH_LOADS,
    DISPATCH_SHAPES,
    DRIFTS,
    MARKS,
    MARKS_OF_DISPATCH,
    MARKS_OF_TIME,
    MOVES,
    SERIES,
    SHAPES,
    SPREAD,
    STEPS,
    TARGETS,
    TIMES,
    TRACES,
)
from transfers import heap_greedy, processor


class Traces:
    """Tokens [L,E] by name, and placements for them, each made once."""

    def __init__(self, folder, context):
        self.folder, self.context = folder, context
        self.missing, self._tokens, self._placed = set(), {}, {}

    def tokens(self, name):
        if name not in self._tokens:
            path = os.path.join(self.folder, f"deepseek-v3_{TRACES[name]}_L58xE256.csv")
            there = os.path.exists(path)
            self._tokens[name] = np.loadtxt(path, delimiter=",").astype(np.int64) if there else None
        return self._tokens[name]

    def both(self, *names):
        """None if one is missing."""
        found = [self.tokens(name) for name in names]
        self.missing |= {name for name, each in zip(names, found, strict=True) if each is None}
        return None if any(each is None for each in found) else found

    def placed(self, name, shape, objective="sum"):
        if (name, shape, objective) not in self._placed:
            self._placed[name, shape, objective] = place(
                self.context, self.tokens(name), shape, objective, repetitions=3
            )
        return self._placed[name, shape, objective]


def shape_text(shape):
    return f"{shape[0]}/{shape[1]}"


def marked(text, figure, mark):
    return f"**{text}**" if mark is not None and figure > mark else text


def head(*names):
    return "| " + " | ".join(names) + " |\n|" + "---|" * len(names)


# ------------------------------------------------------------------------------------------------------------- tables


def greedy_on(yardstick, tokens, shape):
    """A run of the heap greedy on tokens [L,E]."""
    floats = np.ascontiguousarray(tokens, np.float32)
    run = partial(yardstick, floats.ctypes.data_as(ctypes.c_void_p), *floats.shape, *shape)
    return lambda: run() or floats  # which must live as long


def times(traces):
    yield "### Time of a split, microseconds per layer\n"
    yield head("loads", "placement", "slots/GPUs", "split", "worst layer", "of the heap greedy", "prepare", "shares")
    yardstick = heap_greedy()
    for study in TIMES:
        if (tokens := traces.both(study.before, study.after)) is None:
            continue
        gpus = study.shape[1]
        placement = traces.placed(study.before, study.shape, "split" if study.spread else "sum").placement
        heap = greedy_on(yardstick, tokens[1], study.shape)
        middle, worst, ratio = times_of(placement, tokens[1], gpus, heap)
        mark = None if study.spread else MARKS_OF_TIME.get(study.shape)
        yield (
            f"| {study.before} -> {study.after} | {'for splits' if study.spread else 'BEST'} "
            f"| {shape_text(study.shape)} | {middle['split']:.1f} ({study.waves:g}) | {worst:.0f} ({study.worst:g}) "
            f"| {marked(f'{ratio:.2f}', ratio, mark)} ({study.waves / study.heap:.2f}) | {middle['prepare']:.1f} "
            f"| {middle['shares']:.1f} |"
        )


def drifts(traces):
    yield "### Loads that drift, on BEST's placements: imbalance of an even split, and of the best one\n"
    yield head("drift", *map(shape_text, SHAPES))
    for drift, studies in DRIFTS.items():
        if (tokens := traces.both(*drift)) is None:
            continue
        cells = []
        for shape, (even, best) in zip(SHAPES, studies, strict=True):
            found = judge(traces.placed(drift[0], shape).placement, tokens[1], shape[1])
            cells.append(f"{found.even.mean():.3f} ({even:g}), {found.best.mean():.3f} ({best:g})")
        yield f"| {drift[0]} -> {drift[1]} | " + " | ".join(cells) + " |"


def made_for_splits(traces):
    yield "### Placements made for splits: imbalance in the next window\n"
    yield head(
        "drift", "slots/GPUs", "BEST, even", "BEST, split", "made for splits, split", "its worst layer",
        "its even split", "own window, split", "own window, even, worst layer", "time, of BEST",
    )  # fmt: skip
    for drift, shapes in SPREAD.items():
        if (tokens := traces.both(*drift)) is None:
            continue
        for shape, study in shapes.items():
            yield spread_row(traces, drift, shape, study, tokens, 2)


def spread_row(traces, drift, shape, study, tokens, stride):
    plain, made = (traces.placed(drift[0], shape, objective) for objective in ("sum", "split"))
    then, now = (judge(each.placement, tokens[1], shape[1], stride) for each in (plain, made))
    own = judge(made.placement, tokens[0], shape[1], stride)
    best = now.best.mean()
    cells = (
        f"{then.even.mean():.3f} ({study.even:g})",
        f"{then.best.mean():.3f} ({study.best:g})",
        f"{marked(f'{best:.4f}', best, MARKS.get((*drift, shape)))} ({study.spread:g})",
        f"{now.best.max():.3f}",
        f"{now.even.mean():.3f}",
        f"{own.best.mean():.4f}" + (f" ({study.own:g})" if study.own else ""),
        f"{own.even.max():.4f}",
        f"{made.microseconds / plain.microseconds:.1f}",
    )
    return f"| {drift[0]} -> {drift[1]} | {shape_text(shape)} | " + " | ".join(cells) + " |"


def moves(traces):
    yield "### Moves per layer until a target is met: if tokens are split evenly, and as well as can be\n"
    columns = [f"{split} to {target:g}" for split in ("even", "split") for target in TARGETS]
    yield head("drift", "slots/GPUs", *columns, "ms per layer, split to 1.02")
    for (before, after, shape), studies in MOVES.items():
        if (tokens := traces.both(before, after)) is None:
            continue
        placement = traces.placed(before, shape).placement
        cells, milliseconds = [], 0.0
        for objective, row in zip(("sum", "split"), studies, strict=True):
            for target, study in zip(TARGETS, row, strict=True):
                found = moves_of(traces.context, placement, tokens[1], shape[1], objective, target)
                missed = f", {found[1]} miss" if found[1] else ""
                cells.append(f"{found[0]:.2f} ({study:g}){missed}")
                milliseconds = found[2] if (objective, target) == ("split", 1.02) else milliseconds
        yield f"| {before} -> {after} | {shape_text(shape)} | " + " | ".join(cells) + f" | {milliseconds:.1f} |"


def steps(traces):
    yield "### Small steps: imbalance of tokens with eight picks each, drawn from a law, on BEST's placements\n"
    yield head(
        "placement for, law", "tokens", "288/32: even, parts of tokens", "even, each token draws", "best split",
        "its shares, each token draws", "best split of the law", "320/64: even", "best split",
    )  # fmt: skip
    for study in STEPS:
        if (tokens := traces.both(study.before, study.after)) is None:
            continue
        found = []
        for shape in SHAPES[:2]:
            placement = traces.placed(study.before, shape).placement
            found.append(judge_draws(traces.context, placement, tokens[1], shape[1], study.tokens))
        narrow, wide = found
        figures = [narrow.even, narrow.even_drawn, narrow.best, narrow.best_drawn, narrow.of_law, wide.even, wide.best]
        cells = [f"{one:.3f} ({other:g})" for one, other in zip(figures, study.study + study.wider, strict=True)]
        yield f"| {study.before}, {study.after} | {study.tokens} | " + " | ".join(cells) + " |"


def series(traces):
    yield "### Series: imbalance in the windows after those of the placement, split by what is known\n"
    columns = ["even", "last", "decayed 4", "decayed 16", "in step"]
    yield head(
        "series", "slots/GPUs", "windows of the placement", "even", "by the last window", "by decayed windows, 3/4",
        "by decayed windows, 15/16", "in step", "made for splits: even", "by decayed windows, 15/16", "in step",
    )  # fmt: skip
    for study in SERIES:
        if (windows := read_series(traces.folder, study.traces, study.together)) is None:
            traces.missing.add(study.name)
            continue
        cells, before = [], windows[: study.first].sum(axis=0)
        asked = ("sum", columns, study.study), ("split", [columns[0], *columns[3:]], study.connected)
        for objective, names, figures in asked:
            placement = place(traces.context, before, study.shape, objective).placement
            found = judge_series(traces.context, placement, windows, study.shape[1], study.first)
            cells += [f"{found[name]:.3f}" + (f" ({figures[name]:g})" if name in figures else "") for name in names]
        yield f"| {study.name} | {shape_text(study.shape)} | {study.first} | " + " | ".join(cells) + " |"


def dispatch(traces):
    yield "### Static dispatch, a rank on each GPU, on BEST's placements of the same loads: imbalance, mean and worst\n"
    yield head(
        "loads", "slots/GPUs", "even split", "SGLang's rule", ROUNDED.name, PLAIN.name, SWAPPED.name, "swaps per layer",
        "us per layer", "with swaps", "of the heap greedy", "with swaps",
    )  # fmt: skip
    yardstick = heap_greedy()
    for name in DISPATCH_LOADS:
        if (tokens := traces.both(name)) is not None:
            for shape in DISPATCH_SHAPES:
                yield dispatch_row(traces, name, shape, tokens[0], yardstick)


def dispatch_row(traces, name, shape, tokens, yardstick):
    placement, gpus = traces.placed(name, shape).placement, shape[1]
    asked = Dispatches(placement, tokens, gpus)
    even = np.array([even_imbalance(*pair, gpus) for pair in zip(placement, tokens, strict=True)])
    found = [even, engine_imbalance(placement, tokens, gpus)]
    found += [asked.imbalance(table) for table in (ROUNDED, PLAIN, SWAPPED)]
    cells = [f"{each.mean():.4f}, {each.max():.4f}" for each in found]
    cells[-1] = marked(cells[-1], found[-1].mean(), MARKS_OF_DISPATCH.get(shape))
    swaps = asked.swaps()
    middle, ratios = times_of_dispatch(placement, tokens, gpus, greedy_on(yardstick, tokens, shape))
    figures = [f"{swaps.mean():.1f}, {swaps.max()}"]
    figures += [f"{middle[table.name]:.0f}" for table in (PLAIN, SWAPPED)]
    figures += [f"{ratios[table.name]:.1f}" for table in (PLAIN, SWAPPED)]
    return f"| {name} | {shape_text(shape)} | " + " | ".join([*cells, *figures]) + " |"


TABLES = {
    "times": times,
    "drifts": drifts,
    "steps": steps,
    "series": series,
    "spread": made_for_splits,
    "moves": moves,
    "dispatch": dispatch,
}


def title(commit):
    return f"""# Tokens split over replicas

- machine: {processor()}; one thread, times of the processor
- library: libeplb {eplb.__version__}, commit {commit}; {eplb.backends()["cpu"].text}
- 58 layers of DeepSeek-V3, except for series
- in brackets the study's figures (background/quota.md), which are of an earlier BEST
- a split is `eplb_split` over what was prepared, the middle of 15 runs over all layers, by turns with the heap greedy
- static dispatch is `eplb_static_dispatch` over what was prepared, by turns in the same way
- bold: above the mark of the round
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=TABLES, help="one alone")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(ROOT), "shared", "data"))
    parser.add_argument("--markdown", help="a file to write to")
    parser.add_argument("--commit", default="not stated")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        traces = Traces(asked.data, stack.enter_context(eplb.Context()))
        out = stack.enter_context(open(asked.markdown, "w", encoding="utf-8")) if asked.markdown else sys.stdout
        print(title(asked.commit), file=out)
        for name in [asked.table] if asked.table else TABLES:
            for line in TABLES[name](traces):
                print(line, file=out, flush=True)
            print(file=out)
    if traces.missing:
        print("traces are missing:", ", ".join(sorted(traces.missing)), file=sys.stderr)


if __name__ == "__main__":
    main()
