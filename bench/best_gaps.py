"""How near BEST comes to the bound, and how its time grows with the problem.

    python bench/best_gaps.py [--seeds N] [--markdown FILE] [--commit TEXT] [--data FOLDER]

Needs the measured traces (../shared/data). A gap is that of the report: the mean over layers of the busiest GPU's load
over the simple bound (hierarchical: the bound that knows nodes), minus 1. Of several seeds the median counts. Times
here are the report's, in microseconds per layer; eplb_bench compares times with a heap greedy.
"""

import argparse
import glob
import math
import os
import platform
import statistics
import sys

import eplb
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EFFORTS = ("fast", "normal", "max")
# Slots, GPUs, nodes, groups, and the mean gaps in per cent that a prototype reached (one seed).
DEEPSEEK = (
    (256, 32, 1, 1, (0.010, 0.0025, 0.0020)),
    (288, 32, 1, 1, (0.009, 0.0018, 0.0017)),
    (320, 64, 1, 1, (0.043, 0.012, 0.008)),
    (288, 72, 1, 1, (0.13, 0.036, 0.025)),
    (384, 128, 1, 1, (0.23, 0.063, 0.045)),
    (288, 144, 1, 1, (4.64, 4.20, 4.06)),
    (288, 32, 4, 8, None),
)
# The prototype's traces differ a little: its shapes for 64 and 32 experts, on sums of all windows.
OTHERS = {
    64: (80, 16, 1, 1, (0.090, 0.032, 0.020)),
    32: (40, 8, 1, 1, (0.206, 0.089, 0.043)),
    128: (144, 16, 1, 1, None),
}
JOINED = (384, 448, 64, 1, 1, (0.0123, 0.0034, 0.0029))
# Layers joined, slots, GPUs.
GROWTH = ((1, 288, 32), (2, 576, 64), (4, 1152, 128), (8, 2304, 256), (16, 4608, 512), (16, 8192, 1024))


def read(path):
    """Weights [layers, experts], summed over the windows of a series."""
    if path.endswith(".csv"):
        return np.loadtxt(path, delimiter=",", ndmin=2)
    return np.load(path)["counts"].sum(axis=0).astype(float)


def join(traces, experts, count):
    """Layers of `experts` experts, made of parts of measured layers that are scaled to the same sum."""
    layers = [layer / layer.sum() for trace in traces for layer in trace]
    layers = [layers[7 * i % len(layers)] for i in range(len(layers))]
    line = np.concatenate(layers)
    return np.round(1e6 * line[: experts * count].reshape(count, experts)) + 1


def gaps(context, traces, shape, seeds):
    """For each effort: median over seeds of the mean gap, worst gap of all, avoidable duplicates; and the imbalance."""
    slots, gpus, nodes, groups, _ = shape
    cells, avoidable, imbalance = [], 0, 0.0
    for effort in EFFORTS:
        means, worst = [], 0.0
        for seed in range(seeds):
            reports = [
                context.solve(
                    weights,
                    num_slots=slots,
                    num_gpus=gpus,
                    num_nodes=nodes,
                    num_groups=groups,
                    strategy="best",
                    effort=effort,
                    seed=seed,
                ).report
                for weights in traces
            ]
            means.append(np.concatenate([report.gap for report in reports]).mean())
            worst = max(worst, *(report.gap_worst for report in reports))
            avoidable += sum(report.duplicates - report.duplicates_unavoidable for report in reports)
            imbalance = float(np.mean([report.imbalance_mean for report in reports]))
        cells.append((100 * statistics.median(means), 100 * worst))
    return cells, avoidable, imbalance


def gap_rows(context, data, seeds):
    deepseek = [read(path) for path in sorted(glob.glob(os.path.join(data, "deepseek-v3_*.csv")))]
    work = [("DeepSeek-V3, 9 traces", deepseek, shape) for shape in DEEPSEEK]
    for path in sorted(glob.glob(os.path.join(data, "*"))):
        name = os.path.basename(path)
        if not name.endswith((".csv", ".npz")) or name.startswith("deepseek-v3"):
            continue
        weights = read(path)
        if weights.shape[1] in OTHERS:
            work.append((name.split("_T")[0].split("_L")[0], [weights], OTHERS[weights.shape[1]]))
    work.append(("DeepSeek-V3, joined to 384 experts", [join(deepseek, JOINED[0], 50)], JOINED[1:]))
    for name, traces, shape in work:
        cells, avoidable, imbalance = gaps(context, traces, shape, seeds)
        slots, gpus, nodes, groups, marks = shape
        where = f"{slots}/{gpus}" + (f", {groups} groups on {nodes} nodes" if nodes > 1 else "")
        figures = " | ".join(f"{mean:.4g} / {worst:.3g}" for mean, worst in cells)
        wanted = " / ".join(f"{mark:g}" for mark in marks) if marks else "-"
        yield f"| {name} | {where} | {figures} | {wanted} | {imbalance:.5f} | {avoidable} |"


def growth_rows(context, data):
    traces = [read(path) for path in sorted(glob.glob(os.path.join(data, "deepseek-v3_*.csv")))]
    first = None
    for joined, slots, gpus in GROWTH:
        weights = join(traces, 256 * joined, 16)
        times = []
        for _ in range(9):
            plan = context.solve(weights, num_slots=slots, num_gpus=gpus, strategy="best", effort="fast")
            times.append(plan.report.microseconds / len(weights))
        time, unit = statistics.median(times), slots * math.log2(slots)
        first = first or time / unit
        grown, gap = time / unit / first, 100 * plan.report.gap_mean
        yield f"| {256 * joined} | {slots}/{gpus} | {time:.0f} | {grown:.2f} | {gap:.4f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--markdown")
    parser.add_argument("--commit", default="not stated")
    parser.add_argument("--data", default=os.path.join(ROOT, os.pardir, "shared", "data"))
    arguments = parser.parse_args()
    if not glob.glob(os.path.join(arguments.data, "deepseek-v3_*.csv")):
        sys.exit(f"best_gaps: no deepseek-v3_*.csv in {arguments.data}")
    lines = [
        "# How near BEST comes, and how its time grows",
        "",
        f"- library: libeplb {eplb.__version__}, commit {arguments.commit}; {platform.machine()}, one thread",
        f"- gaps in per cent, mean / worst layer, median of {arguments.seeds} seeds; marks: of a prototype, one seed",
        "- series are summed over their windows",
        "",
        "| weights | slots/GPUs | FAST | NORMAL | MAX | marks | imbalance, MAX | avoidable duplicates |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with eplb.Context(num_threads=1) as context:
        lines += gap_rows(context, arguments.data, arguments.seeds)
        lines += ["", "## Growth", "", "FAST on measured layers joined to larger ones; S is the number of slots.", ""]
        lines += [
            "| experts | slots/GPUs | us per layer | time / (S log S), first row 1 | gap, % |",
            "|---|---|---|---|---|",
        ]
        lines += growth_rows(context, arguments.data)
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if arguments.markdown:
        with open(arguments.markdown, "w") as file:
            file.write(text)


if __name__ == "__main__":
    main()
