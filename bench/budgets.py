"""One total of slots for all layers: what shares by gain reach at the memory of equal ones.

    PYTHONPATH=bindings/python python bench/budgets.py [--effort NAME] [--markdown FILE] [--commit TEXT] [--data FOLDER]

Needs the measured traces of DeepSeek-V3 (../shared/data). A total is given as redundant experts per layer on average.
Four ways to spend it: as many slots in every layer on every GPU, which is what engines have; as many in every layer, of
which some GPUs have one more; as many on every GPU of a layer, layers by gain; and by gain alone, eplb.plan_budget.
Each placement is judged by the trace that it was made for, and by another of the same kind that it has not seen. All
figures are computed here, from the maps alone.
"""

import argparse
import os
import sys

import eplb
import numpy as np
from rebalance_measure import holders
from transfers import ROOT, processor

GPUS = (32, 64)
REDUNDANT = (0, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# Each trace, and the one that judges its placements unseen.
UNSEEN = {
    "prefill-in512": "prefill-in1024",
    "prefill-in1024": "prefill-in2048",
    "prefill-in2048": "prefill-in1024",
    "decode-in500out1500": "decode-in1000out1000",
    "decode-in1000out1000": "decode-in500out1500",
}
EQUAL, LAYERS_EQUAL, GPUS_EQUAL, BY_GAIN = WAYS = ("equal", "layers equal", "GPUs equal", "by gain")
ENOUGH = (1.05, 1.01, 1.001)
# One placement for several kinds of load, and what judges it unseen; on every other layer of 32 GPUs.
WINDOWS = ("prefill-in512", "prefill-in1024", "decode-in500out1500")
JUDGES = ("prefill-in2048", "decode-in1000out1000")
WINDOWS_REDUNDANT = (2, 8, 32)


def judge(placement, weights, gpus):
    """Mean over layers of the imbalance of a placement, which has to be valid and equally large on all GPUs."""
    held = holders(placement, gpus, weights.shape[1])
    copies, filled = held.sum(axis=1, keepdims=True), held.sum(axis=(0, 2))
    if copies.min() < 1 or held.max() > 1 or np.ptp(filled) > 1:
        sys.exit(f"a placement is wrong: {placement.shape[1]} slots, {gpus} GPUs")
    loads = np.einsum("lge,le->lg", held / copies, weights)
    return (loads.max(axis=1) / loads.mean(axis=1)).mean()


class Spender:
    """Placements of one trace on some GPUs. Ways that a total changes nothing for are solved once."""

    def __init__(self, weights, gpus, effort):
        self.weights, self.gpus = weights, gpus
        self.options = {"policy": "global", "effort": effort}
        self.context, self.kept = eplb.Context(), {}

    def place(self, way, total):
        layers, experts = self.weights.shape
        if way in (GPUS_EQUAL, BY_GAIN):
            step = self.gpus if way == GPUS_EQUAL else None
            budget = eplb.plan_budget(self.weights, total, self.gpus, slot_step=step, **self.options)
            return budget.physical_to_logical
        slots = total // layers
        if way == EQUAL:
            slots -= slots % self.gpus
        if slots not in self.kept:
            each, more = divmod(slots, self.gpus)
            cluster = eplb.Cluster(slots=[each + (gpu < more) for gpu in range(self.gpus)])
            places = (each + (more > 0)) * self.gpus
            plan = self.context.solve(self.weights, num_slots=places, cluster=cluster, **self.options)
            self.kept[slots] = turned(plan.physical_to_logical, self.gpus, more)
        return self.kept[slots]


def turned(placement, gpus, more):
    """With another `more` GPUs that have one slot more in each layer, so that GPUs have equal memory."""
    layers = placement.reshape(len(placement), gpus, -1)
    rows = [np.roll(row, layer * more, axis=0).ravel() for layer, row in enumerate(layers)]
    return np.array(rows)


def measure(traces, effort):
    """By GPUs, redundant experts and way: imbalance by trace, of itself and of the unseen one."""
    found = {}
    for gpus in GPUS:
        for name, other in UNSEEN.items():
            spender = Spender(traces[name], gpus, effort)
            for redundant in REDUNDANT:
                total = int(len(traces[name]) * (traces[name].shape[1] + redundant))
                for way in WAYS:
                    placement = spender.place(way, total)
                    figures = (judge(placement, traces[each], gpus) for each in (name, other))
                    found.setdefault((gpus, redundant, way), []).append(tuple(figures))
            print(f"{gpus} GPUs, {name}", file=sys.stderr, flush=True)
    return {key: np.array(figures) for key, figures in found.items()}


def windows_rows(traces, effort):
    """Of each objective, with slots by gain and with as many in each layer where that is legal."""
    every = {name: each[::2] / each[::2].sum(axis=1, keepdims=True) for name, each in traces.items()}
    windows, gpus = np.stack([every[name] for name in WINDOWS]), GPUS[0]
    layers, experts = windows.shape[1:]
    with eplb.Context() as context:
        for redundant in WINDOWS_REDUNDANT:
            for objective in ("sum", "windows"):
                asked = {"policy": "global", "objective": objective, "effort": effort}
                placed = {BY_GAIN: eplb.plan_budget(windows, layers * (experts + redundant), gpus, **asked)}
                if redundant % gpus == 0:
                    placed[EQUAL] = context.solve(windows, num_slots=experts + redundant, num_gpus=gpus, **asked)
                for way, placement in placed.items():
                    slots = placement.physical_to_logical
                    used = (slots >= 0).sum() / layers - experts
                    inside = np.mean([judge(slots, window, gpus) for window in windows])
                    unseen = [f"{judge(slots, every[name], gpus):.4f}" for name in JUDGES]
                    yield f"| {redundant} | {used:.1f} | {objective} | {way} | {inside:.4f} | {' | '.join(unseen)} |"


def ratio(figures, gpus, redundant, column):
    """How much worse equal shares are: the mean over traces."""
    equal, by_gain = (figures[gpus, redundant, way][:, column] for way in (EQUAL, BY_GAIN))
    return f"{(equal / by_gain).mean():.2f}x"


def rows(figures):
    for gpus in GPUS:
        for redundant in REDUNDANT:
            seen = [f"{figures[gpus, redundant, way][:, 0].mean():.4f}" for way in WAYS]
            unseen = [f"{figures[gpus, redundant, way][:, 1].mean():.4f}" for way in (EQUAL, LAYERS_EQUAL, BY_GAIN)]
            own, other = (ratio(figures, gpus, redundant, column) for column in (0, 1))
            yield f"| {gpus} | {redundant:g} | {' | '.join([*seen, own, *unseen, other])} |"


def least(figures, gpus, way, enough):
    """The fewest redundant experts per layer with which every trace has such a mean imbalance."""
    good = (each for each in REDUNDANT if figures[gpus, each, way][:, 0].max() <= enough)
    return next((f"{each:g}" for each in good), f"above {REDUNDANT[-1]}")


def needs(figures):
    for gpus in GPUS:
        for enough in ENOUGH:
            yield f"| {gpus} | {enough:g} | {' | '.join(least(figures, gpus, way, enough) for way in WAYS)} |"


def document(figures, of_windows, effort, commit):
    return f"""# One total of slots for all layers

- machine: {processor()}; {eplb.backends()["cpu"].text}
- library: libeplb {eplb.__version__}, commit {commit}
- command: python bench/budgets.py{"" if effort == "fast" else f" --effort {effort}"}
- DeepSeek-V3, 58 layers of 256 experts; BEST at {effort.upper()}, policy global; imbalance: mean over layers, then over
  {len(UNSEEN)} traces
- equal: as many slots in every layer on every GPU, the largest multiple of the GPUs that the total allows; layers
  equal: some GPUs have one slot more; GPUs equal: all GPUs have as many in a layer, layers differ by gain; by gain:
  `eplb.plan_budget`
- over all layers no GPU has more than one slot above another, in all of them
- ratio: equal over by gain, mean over the traces; unseen: judged by another trace of the same kind

## Balance at equal memory

| GPUs | redundant | {" | ".join(WAYS)} | ratio | unseen: equal | layers equal | by gain | ratio |
|---|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows(figures))}

## Memory for a balance

The fewest redundant experts per layer, of those above, with which each trace has at most this imbalance.

| GPUs | imbalance | {" | ".join(WAYS)} |
|---|---|---|---|---|---|
{chr(10).join(needs(figures))}

## Loads of several kinds

Made for {len(WINDOWS)} windows ({", ".join(WINDOWS)}), each scaled to the same
load, on {GPUS[0]} GPUs, every other layer; in the windows, and judged by two unseen traces. What the sum does not gain
by stays unused, up to the share that all layers equal would have: windows show what more slots are good for.

| redundant | used | objective | way | in the windows | {" | ".join(JUDGES)} |
|---|---|---|---|---|---|---|
{chr(10).join(of_windows)}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", default="fast", choices=eplb.efforts())
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(ROOT), "shared", "data"))
    arguments = parser.parse_args()
    paths = {name: os.path.join(arguments.data, f"deepseek-v3_{name}_L58xE256.csv") for name in UNSEEN}
    missing = [path for path in paths.values() if not os.path.exists(path)]
    if missing:
        sys.exit(f"no measured trace {missing[0]}")
    traces = {name: np.loadtxt(path, delimiter=",") for name, path in paths.items()}
    of_windows = list(windows_rows(traces, arguments.effort))
    text = document(measure(traces, arguments.effort), of_windows, arguments.effort, arguments.commit)
    print(text)
    if arguments.markdown:
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
