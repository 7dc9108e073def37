"""Placements made for splits: imbalance in the next window, next to BEST's placement and to the study's figures.

    PYTHONPATH=bindings/python python bench/split.py [--stride N] [--effort NAME] [--shape SLOTS/GPUS] [--data FOLDER]

Needs the measured traces (../shared/data). A placement is made for one trace; the tokens of another one are split over
it, evenly and as well as can be. All figures are computed here, from the placement alone. In brackets the study's of
every second layer, typed in, in split_study.py; times are of the processor, as multiples of BEST at NORMAL.
"""

import argparse
import os
import sys

import eplb
import numpy as np
from split_measure import ROOT, judge, place
from split_study import HELD_OUT, MARKS, SPREAD, TRACES


def read(folder, name):
    """Tokens [L,E]; None if the trace is not there."""
    path = os.path.join(folder, f"deepseek-v3_{TRACES.get(name, name)}_L58xE256.csv")
    return np.loadtxt(path, delimiter=",").astype(np.int64) if os.path.exists(path) else None


def row(context, drift, shape, traces, asked):
    """Of a drift and a shape; asked: stride and effort."""
    study = (SPREAD.get(drift) or HELD_OUT[drift])[shape]
    before, after = traces
    plain = place(context, before, shape, "sum", repetitions=3)
    made = place(context, before, shape, "split", asked.effort, repetitions=3)
    then, now = (judge(each.placement, after, shape[1], asked.stride) for each in (plain, made))
    own = judge(made.placement, before, shape[1], asked.stride)
    mark = MARKS.get((*drift, shape))
    figures = (
        f"{then.even.mean():.4f} ({study.even:g})",
        f"{then.best.mean():.4f} ({study.best:g})",
        f"{now.best.mean():.4f} ({study.spread:g})" + (f", mark {mark:g}" if mark else ""),
        f"{now.best.max():.3f}",
        f"{now.even.mean():.4f}",
        f"{own.best.mean():.4f}" + (f" ({study.own:g})" if study.own else ""),
        f"{own.even.max():.4f}",
        f"{made.microseconds / plain.microseconds:.1f}",
    )
    return f"| {drift[0]} -> {drift[1]} | {shape[0]}/{shape[1]} | " + " | ".join(figures) + " |"


HEAD = (
    "| drift | slots/GPUs | BEST, even | BEST, split | made for splits, split | worst layer | its even split "
    "| own window, split | own, even, worst | times BEST |\n|" + "---|" * 10
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stride", type=int, default=2, help="of layers that are judged; as in the study: 2")
    parser.add_argument("--effort", default="normal", choices=("fast", "normal", "max"))
    parser.add_argument("--shape", help="one alone, such as 288/32")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(ROOT), "shared", "data"))
    asked = parser.parse_args()
    print(HEAD)
    missing = set()
    with eplb.Context() as context:
        for drift, shapes in (*SPREAD.items(), *HELD_OUT.items()):
            traces = [read(asked.data, name) for name in drift]
            missing |= {name for name, trace in zip(drift, traces, strict=True) if trace is None}
            for shape in shapes:
                if all(trace is not None for trace in traces) and asked.shape in (None, f"{shape[0]}/{shape[1]}"):
                    print(row(context, drift, shape, traces, asked), flush=True)
    if missing:
        print("traces are missing:", ", ".join(sorted(missing)), file=sys.stderr)


if __name__ == "__main__":
    main()
