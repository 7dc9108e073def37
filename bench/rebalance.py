"""Moves, balance and time of REBALANCE, next to the study whose figures it has to reach.

    PYTHONPATH=bindings/python python bench/rebalance.py [--quick] [--markdown FILE] [--commit TEXT] [--data FOLDER]

Needs the measured traces (../shared/data). The current placement is BEST's for the loads before; moves, imbalance and
gaps are computed here, from the maps alone. Times are processor time of the thread, next to the heap greedy of
eplb_bench on the same loads, by turns. The study's figures are typed in, in rebalance_study.py.
"""

import argparse
import ctypes
import glob
import os
import sys
from functools import partial

import eplb
import numpy as np
from rebalance_measure import ANY, Problem, at_target, bounds, figures_of, measure
from rebalance_study import (
    BUDGETS,
    CASES,
    MARKS_AT_16,
    MARKS_OF_GAPS,
    MARKS_OF_MOVES,
    MODEL,
    PAIRS,
    STUDY_HEAP,
    TARGETS,
)
from transfers import ROOT, heap_greedy, processor

EFFORTS = ("fast", "normal", "max")
# A cell may be this much worse than the study's: moves, and what an imbalance is above 1.
TOLERANCE = 1.03
# What the library's integers round away of a target.
ROUNDING = 1e-6


# ------------------------------------------------------------------------------------------------------------- tables


def cell(text, own, study, least=0.0):
    """A figure, then the study's in brackets; bold where it is worse than that by more than the tolerance."""
    if study is None:
        return text
    worse = own - least > (study - least) * TOLERANCE + 1e-12
    return f"**{text}** ({study:g})" if worse else f"{text} ({study:g})"


def moves_cell(measured, target, study):
    missed = (measured.imbalance > target + ROUNDING).sum()
    mean = measured.moves.mean()
    return cell(f"{mean:.2f}", mean, study) + (f", {missed} miss" if missed else "")


def imbalance_cell(measured, study):
    mean = measured.imbalance.mean()
    return cell(f"{mean:.4f}", mean, study, 1.0)


def time_cell(measured, shape, study):
    """ms, times the heap greedy; of the study, too, by the range of its yardstick."""
    text = f"{measured.ms:.2f} ms, {measured.ratio:.{0 if measured.ratio > 20 else 1}f}x"
    if study is None:
        return text
    low, high = (study * 1e3 / each for each in reversed(STUDY_HEAP[shape]))
    most = f"{low:.0f}x" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f}-{high:.0f}x"
    return (f"**{text}**" if measured.ratio > high * TOLERANCE else text) + f" ({study:g} ms, {most})"


def pair_rows(problem, pair, name, shape):
    """For each effort: what it reaches, and in which time."""
    for empty, studies in pair.study.items():
        for effort in EFFORTS:
            study, ms = studies.get(effort, ((), None))
            study = (*study, *[None] * (6 - len(study)))
            found = [at_target(problem, effort, each, allow_empty=empty) for each in TARGETS]
            found += [
                measure(problem, partial(problem.rebalance, effort), max_moves=each, allow_empty=empty)
                for each in BUDGETS
            ]
            head = f"| {name}{', slots may stay empty' if empty else ''} | {effort.upper()} "
            cells = [moves_cell(*each) for each in zip(found[:3], TARGETS, study[:3], strict=True)]
            cells += [imbalance_cell(*each) for each in zip(found[3:], study[3:], strict=True)]
            times = [time_cell(each, shape, ms if i == 1 else None) for i, each in enumerate(found)]
            yield (effort, empty), found, [head + "".join(f"| {each} " for each in row) + "|" for row in (cells, times)]


def gap_cell(gaps, study):
    # The study's have four digits.
    return " / ".join(
        cell(f"{own:.5f}", own - 0.00005, given) for own, given in zip((gaps.mean(), gaps.max()), study, strict=True)
    )


def forced_row(problem, case):
    """What there is no choice about, and the balance that these moves alone give."""
    forced = at_target(problem, "fast", ANY).moves
    alone = at_target(problem, "normal", TARGETS[0], max_moves_total=int(forced.sum()))
    start = (alone.imbalance / bounds(problem)).mean()
    return f"| {case.name} | {forced.mean():.2f} ({case.lost:g}) | {cell(f'{start:.3f}', start, case.start, 1.0)} |"


def case_rows(problem, case):
    """For each effort moves, time at 1.02, and gaps; the gaps of REBALANCE alone, too."""
    for effort in EFFORTS:
        study, ms = (case.moves, case.ms) if effort == case.effort else ((None,) * 3, None)
        found = [at_target(problem, effort, each) for each in TARGETS]
        cells = [moves_cell(*each) for each in zip(found, TARGETS, study, strict=True)]
        cells.append(time_cell(found[1], (288, 32), ms))
        free, best = at_target(problem, effort, 0), measure(problem, partial(problem.best, effort))
        gaps = [each.imbalance / bounds(problem) - 1 for each in (free, best)]
        cells += [gap_cell(each, case.gap if effort == "normal" else (None, None)) for each in gaps]
        yield effort, gaps[0].mean(), f"| {case.name} | {effort.upper()} " + "".join(f"| {e} " for e in cells) + "|"


def model_rows(problem, pair, budgets):
    """Equal budgets, and one for the model."""
    layers = len(problem.weights)
    for budget, study in budgets.items():
        for name, given, limits in (
            ("each layer", study[:2], {"max_moves": budget}),
            ("the model", study[2:], {"max_moves_total": budget * layers}),
        ):
            found = measure(problem, partial(problem.rebalance, "normal"), **limits)
            worst = found.imbalance.max()
            yield (
                f"| {pair} | {budget} | {name} | {found.moves.mean():.2f} | {found.moves.min()}-{found.moves.max()} "
                f"| {imbalance_cell(found, given[0])} | {cell(f'{worst:.3f}', worst, given[1], 1.0)} "
                f"| {time_cell(found, (288, 32), None)} |"
            )


# -------------------------------------------------------------------------------------------------------------- setup


class Traces:
    """Loads of layers by name of a trace, and problems made of them."""

    def __init__(self, folder, quick):
        self.folder, self.quick, self.yardstick = folder, quick, heap_greedy()
        self.context = eplb.Context()

    def read(self, name, stride):
        """`trace`, or `trace@first-last` for the sum of windows."""
        name, _, windows = name.partition("@")
        (path,) = glob.glob(os.path.join(self.folder, name + "_*"))
        if path.endswith(".csv"):
            counts = np.loadtxt(path, delimiter=",", ndmin=2)
        else:
            first, last = map(int, windows.split("-"))
            counts = np.load(path)["counts"][first : last + 1].sum(axis=0).astype(float)
        return np.ascontiguousarray(counts[:: stride * (4 if self.quick else 1)])

    def problem(self, names, stride, slots, gpus):
        before, after = (self.read(name, stride) for name in names)
        weights = after.astype(np.float32)
        solved = self.context.solve(before, num_slots=slots, num_gpus=gpus, policy="global", strategy="best")
        # The array is an argument of the partial: it has to live as long.
        heap = partial(_run, self.yardstick, weights, slots, gpus)
        return Problem(after, solved.physical_to_logical, gpus, heap, 1 if self.quick else 3)

    def changed(self, case):
        """The problem of a case: the old placement in the rectangle of the new cluster; -1 on GPUs that died."""
        problem = self.problem(("deepseek-v3_prefill-in1024", "deepseek-v3_prefill-in2048"), 4, *case.before)
        gpus, places = case.gpus, case.places
        current = np.full((len(problem.weights), gpus, places), -1)
        before = problem.current.reshape(len(current), case.before[1], -1)
        current[:, : before.shape[1], : before.shape[2]] = before
        if not case.drained:
            current[:, [count == 0 for count in case.slots]] = -1
        problem.current, problem.gpus = current.reshape(len(current), -1), gpus
        problem.cluster = eplb.Cluster(slots=case.slots, speed=case.speed)
        return problem


def _run(yardstick, weights, slots, gpus):
    yardstick(weights.ctypes.data_as(ctypes.c_void_p), *weights.shape, slots, gpus)


def few_moves(traces):
    """Both tables, and what the first pair has come to, by effort and whether slots may stay empty."""
    reached, times, first = [], [], {}
    for pair in PAIRS:
        problem = traces.problem(pair.names, pair.stride, *pair.shape)
        stale = figures_of(problem, problem.current, {})[1].mean()
        name = "{}, {}/{} ({}; {:.3f})".format(pair.name, *pair.shape, len(problem.weights), stale)
        for key, found, rows in pair_rows(problem, pair, name, pair.shape):
            print(*rows, sep="\n", flush=True)
            reached.append(rows[0])
            times.append(rows[1])
            first.setdefault(key, found)
    return reached, times, first


def changed_clusters(traces):
    """Both tables, and the largest mean gap at NORMAL, by the number of GPUs."""
    forced, moves, gaps = [], [], {}
    for case in CASES:
        problem = traces.changed(case)
        forced.append(forced_row(problem, case))
        print(forced[-1], flush=True)
        for effort, gap, row in case_rows(problem, case):
            print(row, flush=True)
            moves.append(row)
            if effort == "normal":
                gaps[case.gpus] = max(gaps.get(case.gpus, 0.0), gap)
    return forced, moves, gaps


def marks(first, gaps):
    """Rows of the marks of the design: what was reached, and whether that is enough."""
    rows = [
        ("moves to 1.02", key, first[key][1].moves.mean(), most, first[key][1].ratio, times)
        for key, most, times in MARKS_OF_MOVES
    ]
    rows += [("imbalance with 16 moves", key, first[key][4].imbalance.mean(), most, 0, 0) for key, most in MARKS_AT_16]
    rows += [
        (f"mean gap of the worst cluster of {gpus} GPUs", ("normal", False), gaps[gpus], most, 0, 0)
        for gpus, most in MARKS_OF_GAPS
    ]
    for what, (effort, empty), own, most, ratio, times in rows:
        what += ", slots may stay empty" if empty else ""
        met = "yes" if own <= most and ratio <= times else "**no**"
        took = f"{ratio:.1f}x | {times}x" if times else " | "
        reached = f"{own:.5g}" if own > 1 else f"{own:.5f}"
        yield f"| {what} | {effort.upper()} | {reached} | {most:g} | {took} | {met} |"


def one_budget(traces):
    rows = []
    for name, names, budgets in MODEL:
        rows += model_rows(traces.problem(names, 1, 288, 32), name, budgets)
    print(*rows, sep="\n", flush=True)
    return rows


def document(tables, commit, command):
    reached, times, forced, moves, model, met = ("\n".join(rows) for rows in tables)
    return f"""# Rebalance

- machine: {processor()}, shared with other work while this ran; one thread; {eplb.backends()["cpu"].text}
- library: libeplb {eplb.__version__}, commit {commit}, Release (-O3)
- command: {command}
- the current placement is that of BEST, NORMAL, for the loads before; policy global; seed 0
- in brackets: the study that these figures have to reach, on AVX2. **Bold**: worse than the study by more than 3 %
  (moves, or what an imbalance or a gap is above 1 or 0; time as a multiple of the heap greedy)
- moves, imbalance, missed layers and gaps are computed from the maps, by code of the benchmark alone
- time: processor time of the thread per layer, from arrays in to a plan in Python; x: over the heap greedy of
  eplb_bench on the same loads, by turns, median of the ratios. The study's multiples are its ms over what its heap
  greedy took: 21.5-24.5 us at 288/32 and 22-30 at other shapes of 256 experts, 6 at 72/8, 4 at 40/8
- two rows of the study are missing: their traces (prefill in4096, decode in2000out100) are not in ../shared/data

## Marks

288/32, prefill in512 -> in2048; the gap is that of REBALANCE without a limit, over all clusters below.

| what | effort | reached | mark | time / heap greedy | mark | met |
|---|---|---|---|---|---|---|
{met}

## Few moves

Mean moves to a target, with the layers that miss it; mean imbalance within a budget of moves per layer. In brackets
after the shape: layers, and the mean imbalance if nothing moves.

| loads, slots/GPUs | effort | to 1.05 | to 1.02 | to 1.01 | 8 moves | 16 moves | 25 moves |
|---|---|---|---|---|---|---|---|
{reached}

Time of the same calls:

| loads, slots/GPUs | effort | to 1.05 | to 1.02 | to 1.01 | 8 moves | 16 moves | 25 moves |
|---|---|---|---|---|---|---|---|
{times}

## Failures, unequal GPUs, more and fewer GPUs

Placed for prefill in1024, then prefill in2048; every fourth layer. Forced: experts that have no slot any more. What
these moves alone give is a rebalance by no more moves in all, over the bound. How many there are depends on the
placement before alone, which was another one in the study.

| what changes | forced moves | imbalance after them |
|---|---|---|
{forced}

Moves include the forced ones. Gaps to the bound (mean / worst layer): REBALANCE without a limit or target, and BEST on
the same cluster; the study's, in brackets at both, had no limit on moves.

| what changes | effort | to 1.05 | to 1.02 | to 1.01 | time at 1.02 | gap of REBALANCE | gap of BEST |
|---|---|---|---|---|---|---|---|
{moves}

## One budget for the model

288 slots, 32 GPUs, 58 layers, NORMAL: the same budget for each layer, or one that is shared out by gain.

| loads | moves per layer | budget of | moves | layers | imbalance | worst layer | time |
|---|---|---|---|---|---|---|---|
{model}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the layers, one repetition")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(ROOT), "shared", "data"))
    arguments = parser.parse_args()
    if not glob.glob(os.path.join(arguments.data, "deepseek-v3_prefill-in512_*")):
        sys.exit(f"no measured traces in {arguments.data}")
    traces = Traces(arguments.data, arguments.quick)
    reached, times, first = few_moves(traces)
    forced, moves, gaps = changed_clusters(traces)
    tables = reached, times, forced, moves, one_budget(traces), list(marks(first, gaps))
    print(*tables[-1], sep="\n")
    if arguments.markdown:
        command = "python bench/rebalance.py" + (" --quick" if arguments.quick else "")
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write(document(tables, arguments.commit, command))


if __name__ == "__main__":
    main()
