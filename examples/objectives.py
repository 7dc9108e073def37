"""Compares placements for several windows: one for their sum, and one that balances each of them.

    python examples/objectives.py WINDOW.csv WINDOW.csv ... --slots 288 --gpus 32 [--unseen LATER.csv] [--picture IMAGE]

Each CSV holds the tokens of one kind of work, a row per layer and a column per expert: prompts of several lengths and
decoding, for example, where one placement has to serve all of them. Windows are brought to the same load in every
layer: otherwise the sum is that of the largest window. Both placements are judged under each window, and under
--unseen, of which they know nothing. The picture shows the imbalance of every layer.
"""

import argparse
import re
from pathlib import Path

import eplb
import numpy as np

OBJECTIVES = ("sum", "windows")


def read(path):
    return np.loadtxt(path, delimiter=",", ndmin=2)


def name_of(path):
    """What sets files like MODEL_prefill-in512_L58xE256.csv apart."""
    return re.sub(r"_L\d+xE\d+$", "", path.stem).rpartition("_")[2]


def same_load(weights):
    """Every layer of a window sums up to 1, or to 0 where it has no load."""
    total = weights.sum(axis=-1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)


def imbalance_by_objective(windows, unseen, slots, gpus, effort):
    """By objective, the imbalance [rows,L] of a placement for windows [T,L,E]: in each, then in those unseen."""
    found = {}
    with eplb.Context() as context:
        for objective in OBJECTIVES:
            plan = context.solve(windows, slots, gpus, objective=objective, effort=effort)
            later = [context.evaluate(plan, weights).imbalance for weights in unseen]
            found[objective] = np.vstack([plan.window_imbalance.T, *later])
    return found


def show(names, found):
    width = max(map(len, names))
    print(f"{'imbalance':{width}}  {'sum':>8}  {'windows':>8}")
    for row, name in enumerate(names):
        print(f"{name:{width}}  " + "  ".join(f"{found[objective][row].mean():8.4f}" for objective in OBJECTIVES))


def draw(path, names, known, found):
    from eplb.picture import draw_scale, draw_window_heat
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure

    rows = 0.36 * len(names)
    height = rows + 2.1
    figure = Figure(figsize=(12.5, height), dpi=120)
    largest = max(1.1, *(float(table.max()) for table in found.values()))
    norm, images = TwoSlopeNorm(1, 0, largest), []
    for objective, x in zip(OBJECTIVES, (0.2, 0.61), strict=True):
        axes = figure.add_axes((x, 1.3 / (height), 0.38, rows / (height)))
        images.append(draw_window_heat(axes, found[objective].T, norm, f"Objective {objective}"))
        axes.set_yticks(range(len(names)), names if objective == "sum" else [""] * len(names))
        # Below are windows that no placement knew.
        axes.axhline(known - 0.5, color="#222222", lw=1.2)
    scale = figure.add_axes((0.2, 0.55 / (height), 0.79, 0.15 / (height)))
    draw_scale(figure, images[0], scale, largest)
    scale.set_xlim(1, largest)
    scale.set_xlabel("load of the busiest GPU over the mean")
    means = (found[objective][:known].mean() for objective in OBJECTIVES)
    headline = "One placement for every window: imbalance {:.3f} for their sum, {:.3f} for each".format(*means)
    figure.text(0.5, 1 - 0.16 / (height), headline, ha="center", va="top", fontsize=14, fontweight="bold")
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("windows", nargs="+", type=Path)
    parser.add_argument("--unseen", nargs="*", type=Path, default=[])
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    parser.add_argument("--effort", default="normal", choices=eplb.efforts())
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    windows = same_load(np.stack([read(path) for path in asked.windows]))
    found = imbalance_by_objective(
        windows, [read(path) for path in asked.unseen], asked.slots, asked.gpus, asked.effort
    )
    names = [*map(name_of, asked.windows), *(f"{name_of(path)}, unseen" for path in asked.unseen)]
    show(names, found)
    if asked.picture:
        draw(asked.picture, names, len(windows), found)


if __name__ == "__main__":
    main()
