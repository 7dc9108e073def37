"""One placement for several windows: balance in the next window, and in both phases of an engine.

    PYTHONPATH=bindings/python python bench/windows.py [--quick] [--series NAME] [--markdown FILE] [--commit TEXT]
                                                       [--data FOLDER]

Needs the measured traces (../shared/data). A placement is made for windows of a series and judged by the one that
comes next; or it is made for windows of prefill and decode, and judged in each of them and in a decode trace that it
was not made for. All figures are computed here, from the maps alone. Times are processor time of the thread, next to
the heap greedy of eplb_bench on the sum of the same windows, by turns. The study's figures are typed in, in
windows_study.py.
"""

import argparse
import ctypes
import glob
import inspect
import os
import statistics
import sys
from dataclasses import dataclass, field
from functools import partial

import eplb
import numpy as np
from rebalance import cell, time_cell
from rebalance_measure import by_turns, holders
from transfers import ROOT, heap_greedy, processor
from windows_study import (
    BOTH_PHASES,
    FAST,
    MARK_OF_MS,
    MARKS,
    MARKS_OF_PHASES,
    MAX,
    MEAN,
    NORMAL,
    PHASES,
    PHASES_OF_MEAN,
    SERIES,
    SUM,
)

HAS_OBJECTIVE = "objective" in inspect.signature(eplb.Context.solve).parameters
# The first is the baseline.
METHODS = (SUM, FAST, NORMAL, MAX) if HAS_OBJECTIVE else (SUM,)

# ------------------------------------------------------------------------------------------------------------- figures


def imbalances(placement, windows, gpus):
    """Imbalance [T,L] of windows [T,L,E], 1 where there is no load, of a placement that has to be valid."""
    held = holders(placement, gpus, windows.shape[2])
    copies = held.sum(axis=1, keepdims=True)
    if placement.min() < 0 or copies.min() < 1 or held.max() > 1:
        sys.exit(f"a placement is wrong: {placement.shape[1]} slots, {gpus} GPUs")
    loads = np.einsum("lge,tle->tlg", held / copies, windows)
    mean = loads.mean(axis=2)
    return np.where(mean > 0, loads.max(axis=2) / np.where(mean > 0, mean, 1), 1.0)


@dataclass
class Placed:
    """A placement [L,S], ms per layer, and the time over the heap greedy's."""

    placement: np.ndarray
    ms: float
    ratio: float


@dataclass
class Judged:
    """Of a method in a series: by call, the imbalance of the next window by layer, and the mean over the windows that
    the placement was made for."""

    next: list = field(default_factory=list)
    inside: list = field(default_factory=list)
    placed: list = field(default_factory=list)

    @property
    def cases(self):
        return np.concatenate(self.next)

    @property
    def mean(self):
        return self.cases.mean()

    @property
    def ms(self):
        return statistics.mean(each.ms for each in self.placed)

    @property
    def ratio(self):
        return statistics.median(each.ratio for each in self.placed)

    def above(self, other):
        """Mean of the differences by case, and its standard error."""
        paired = self.cases - other.cases
        return paired.mean(), paired.std() / len(paired) ** 0.5


class Solver:
    """One context for all calls, and the yardstick."""

    def __init__(self, quick):
        self.context, self.yardstick = eplb.Context(), heap_greedy()
        self.quick, self.repetitions = quick, 1 if quick else 3

    def place(self, windows, shape, method):
        (slots, gpus), (objective, effort) = shape, method
        options = {} if method == SUM else {"objective": objective}
        # The array is an argument of the partial: it has to live as long.
        heap = partial(_run, self.yardstick, windows.sum(axis=0).astype(np.float32), slots, gpus)
        solve = partial(
            self.context.solve,
            windows,
            num_slots=slots,
            num_gpus=gpus,
            policy="global",
            strategy="best",
            effort=effort,
            **options,
        )
        plan, own, ratio = by_turns(heap, solve, self.repetitions)
        return Placed(plan.physical_to_logical, own / windows.shape[1] * 1e3, ratio)


def _run(yardstick, weights, slots, gpus):
    yardstick(weights.ctypes.data_as(ctypes.c_void_p), *weights.shape, slots, gpus)


# -------------------------------------------------------------------------------------------------------------- traces


def read(folder, name):
    """Counts [T,L,E] of a trace; None if it is not there."""
    paths = sorted(glob.glob(os.path.join(folder, name + "_[TL][0-9]*")))
    if not paths:
        return None
    path = paths[0]
    return np.loadtxt(path, delimiter=",", ndmin=2)[None] if path.endswith(".csv") else np.load(path)["counts"]


def scaled(counts):
    """Each window of each layer with a load of 1: all count the same, however many tokens they have."""
    return counts / np.maximum(counts.sum(axis=2, keepdims=True, dtype=float), 1)


def windows_of(series, folder):
    """Scaled windows [T,L,E] of the layers of a series; None if a trace is missing."""
    traces = [read(folder, name) for name in series.traces]
    if any(trace is None for trace in traces):
        return None
    together = series.together
    for i, trace in enumerate(traces):
        whole = trace[: len(trace) // together * together]
        traces[i] = whole.reshape(-1, together, *trace.shape[1:]).sum(axis=1)
    rounds = min(map(len, traces))
    counts = np.stack([trace[:rounds] for trace in traces], axis=1).reshape(-1, *traces[0].shape[1:])
    return scaled(counts[:, :: series.stride])


def cases_of(turns, count):
    """For each window to come: those that the placement is made for, oldest first, and the window itself."""
    for now in range(turns.first, count, turns.step):
        first = 0 if turns.memory is None else now - turns.memory
        last = count if turns.memory is None else now
        yield [each for each in range(first, last) if each != now], now


# -------------------------------------------------------------------------------------------------------------- tables


def name_of(method):
    return f"{method[0]} | {method[1].upper()}"


def figure(own, study, method):
    """In brackets the study's, which an objective has to reach: bold where it does not. The sum is a baseline."""
    if method[0] == "windows" or study is None:
        return cell(f"{own:.4f}", own, study, 1.0)
    return f"{own:.4f} ({study:g})"


def next_window(solver, series, windows):
    """What each method comes to."""
    found = {method: Judged() for method in METHODS}
    for before, now in list(cases_of(series.turns, len(windows)))[:: 4 if solver.quick else 1]:
        given = np.ascontiguousarray(windows[before])
        for method, judged in found.items():
            placed = solver.place(given, series.shape, method)
            every = imbalances(placed.placement, windows[[*before, now]], series.shape[1])
            judged.next.append(every[-1])
            judged.inside.append(every[:-1].mean())
            judged.placed.append(placed)
    return found


def series_rows(series, found, memory):
    cases = len(found[SUM].cases)
    head = "{}{}, {}/{}, T = {}".format("held-out: " if series.held_out else "", series.name, *series.shape, memory)
    head += f" ({cases})" if cases == series.cases else f" ({cases}, the study {series.cases})"
    for method, judged in found.items():
        study, study_inside, ms = series.study(method)
        cells = [
            figure(judged.mean, study, method),
            "" if method == SUM else "{:+.4f} ± {:.4f}".format(*judged.above(found[SUM])),
            figure(statistics.mean(judged.inside), study_inside, method),
            time_cell(judged, yardstick_of(series.shape), ms),
        ]
        yield f"| {head} | {name_of(method)} | {' | '.join(cells)} |"


def yardstick_of(shape):
    """The shape whose heap greedy the study timed."""
    return (40, 8) if shape == (48, 16) else shape


def both_phases(solver, phases, traces):
    """By method: imbalance by window and layer [T,L], and what was placed."""
    windows = scaled(traces[:, :: phases.stride * (4 if solver.quick else 1)])
    seen = windows[: len(PHASES_OF_MEAN)]
    found = {method: solver.place(seen, phases.shape, method) for method in METHODS}
    found[MEAN] = solver.place(np.repeat(seen, PHASES_OF_MEAN, axis=0), phases.shape, SUM)
    return {
        method: (imbalances(placed.placement, windows, phases.shape[1]), placed) for method, placed in found.items()
    }


def phases_rows(phases, found):
    for method, (figures, placed) in found.items():
        study, ms = phases.study(method)
        cells = [figure(*each, method) for each in zip(figures.mean(axis=1), study, strict=True)]
        head = "{}/{} ({})".format(*phases.shape, figures.shape[1])
        yield f"| {head} | {name_of(method)} | {' | '.join(cells)} | {time_cell(placed, phases.shape, ms)} |"


def mark(what, method, own, most, took=None):
    """A row; took: ms of the method, which have a mark, too."""
    met = "yes" if own <= most and (took is None or took <= MARK_OF_MS) else "**no**"
    time = " | " if took is None else f"{took:.3g} ms | {MARK_OF_MS} ms"
    return f"| {what} | {method[1].upper()} | {own:.4f} | {most:g} | {time} | {met} |"


def marks(judged, phases):
    for series in SERIES:
        for method, most in zip((FAST, NORMAL), MARKS.get(series.key, ()), strict=False):
            found = judged.get(series.key, {}).get(method)
            if found:
                what = "next window: {}, {}/{}".format(series.name, *series.shape)
                yield mark(what, method, found.mean, most, found.ms if method == FAST else None)
    for method in (FAST, NORMAL, MAX):
        if method in phases.get((288, 32), {}):
            *seen, unseen = phases[288, 32][method][0].mean(axis=1)
            yield mark("both phases, 288/32: worst prefill", method, max(seen[:3]), MARKS_OF_PHASES[0])
            yield mark("both phases, 288/32: unseen decode", method, unseen, MARKS_OF_PHASES[1])


def document(tables, missing, commit, command):
    met, series, phases = ("\n".join(rows) for rows in tables)
    left_out = f"\n- not in the data folder, so left out: {', '.join(missing)}" if missing else ""
    return f"""# Windows

- machine: {processor()}, shared with other work while this ran; one thread; {eplb.backends()["cpu"].text}
- library: libeplb {eplb.__version__}, commit {commit}, Release (-O3)
- command: {command}
- BEST, policy global, seed 0; sum: of the windows, as without an objective; windows: objective="windows"
- each window of each layer is scaled to the same load first, for every method: windows count the same, however many
  tokens they have
- in brackets: the study, on AVX2, which windows have to reach. **Bold**: worse than the study by more than 3 % (of what
  an imbalance is above 1; of time as a multiple of the heap greedy). Its sums are of another search, so they differ
- imbalance is computed from the maps, by code of the benchmark alone; the mean over layers, and cases of a series
- time: processor time of the thread per layer, from arrays in to a plan in Python, the sum as the start included; x:
  over the heap greedy of eplb_bench on the sum of the same windows, by turns, median of the ratios. The study's ms are
  without the start; its multiples are over what its heap greedy took: 22-30 us at shapes of 256 experts, 6 at 72/8,
  4 at 40/8 (and here at 48/16){left_out}

## Marks

| what | effort | reached | mark | time | mark | met |
|---|---|---|---|---|---|---|
{met}

## The next window

T windows in, the next one judges; in series without an order, each window is judged by what all others give. In
brackets after T: cases, which are windows times layers. Inside: mean over the windows that a placement was made for.

| series, slots/GPUs | objective | effort | next window | above the sum, ± standard error | inside | time |
|---|---|---|---|---|---|---|
{series}

## One placement for prefill and decode

DeepSeek-V3. Made for three windows of prefill and one of decode, each once; in brackets after the shape: layers.

| slots/GPUs | objective | effort | {" | ".join(name for name, _ in PHASES)} | time |
|---|---|---|{"---|" * len(PHASES)}---|
{phases}
"""


def all_series(solver, keys, folder):
    """By key what each method comes to, rows, and names of series whose traces are missing."""
    judged, rows, missing = {}, [], []
    for series in SERIES:
        windows = windows_of(series, folder) if series.key in keys else None
        if windows is not None:
            judged[series.key] = next_window(solver, series, windows)
            memory = series.turns.memory or len(windows) - 1
            rows += show(series_rows(series, judged[series.key], memory))
        elif series.key in keys:
            missing.append(series.name)
    return judged, rows, missing


def all_phases(solver, keys, folder):
    """By shape what each method comes to, and rows."""
    found, rows = {}, []
    traces = np.concatenate([read(folder, name) for _, name in PHASES])
    for phases in BOTH_PHASES:
        if phases.key in keys:
            found[phases.shape] = both_phases(solver, phases, traces)
            rows += show(phases_rows(phases, found[phases.shape]))
    return found, rows


def show(rows):
    rows = list(rows)
    for row in rows:
        print(row, flush=True)
    return rows


def main():
    keys = [each.key for each in (*SERIES, *BOTH_PHASES)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the cases, one repetition")
    parser.add_argument("--series", choices=keys, metavar="NAME", help=f"one of {', '.join(keys)}")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(ROOT), "shared", "data"))
    arguments = parser.parse_args()
    if any(read(arguments.data, name) is None for _, name in PHASES):
        sys.exit(f"no measured traces in {arguments.data}")
    if not HAS_OBJECTIVE:
        print("this library has no objective: the sum alone", file=sys.stderr)
    solver = Solver(arguments.quick)
    wanted = [arguments.series] if arguments.series else keys
    judged, series, missing = all_series(solver, wanted, arguments.data)
    found, phases = all_phases(solver, wanted, arguments.data)
    tables = show(marks(judged, found)), series, phases
    if missing:
        print("traces are missing:", ", ".join(missing), file=sys.stderr)
    if arguments.markdown:
        command = "python bench/windows.py" + (" --quick" if arguments.quick else "")
        command += f" --series {arguments.series}" if arguments.series else ""
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write(document(tables, missing, arguments.commit, command))


if __name__ == "__main__":
    main()
