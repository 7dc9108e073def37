"""Replays recorded windows as an engine would see them, and places anew only when the last placement has grown old.

    python examples/replay.py TRACE.npz --slots 40 --gpus 8 [--threshold 1.2] [--step 16]

TRACE.npz holds `counts` [windows, layers, experts]; --step windows are summed to one interval. A placement is computed
from an interval and serves the following ones, as in production, where the future is not known.
"""

import argparse

import eplb
import numpy as np


def intervals(counts, step):
    """Sums of `step` windows each; what is left over at the end is too short to compare with."""
    whole = len(counts) // step * step
    return counts[:whole].reshape(-1, step, *counts.shape[1:]).sum(axis=1)


def replay(counts, problem, threshold):
    """Yields for each interval but the first: imbalance of the placement in force, and whether it is then renewed."""
    with eplb.Context() as context:
        placement = context.solve(counts[0], **problem).physical_to_logical
        for weights in counts[1:]:
            report = context.evaluate(placement, weights)
            renew = report.imbalance_mean > threshold
            yield report.imbalance_mean, renew
            if renew:
                placement = context.solve(weights, **problem).physical_to_logical


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    parser.add_argument("--threshold", type=float, default=1.2)
    parser.add_argument("--step", type=int, default=1)
    arguments = parser.parse_args()
    with np.load(arguments.trace, allow_pickle=False) as arrays:
        counts = intervals(arrays["counts"], arguments.step)
    problem = {"num_slots": arguments.slots, "num_gpus": arguments.gpus}
    answers = list(replay(counts, problem, arguments.threshold))
    for number, (imbalance, renewed) in enumerate(answers, start=1):
        print(f"interval {number}: imbalance {imbalance:.3f}{', placed again' if renewed else ''}")
    mean = np.mean([imbalance for imbalance, _ in answers])
    print(f"mean imbalance {mean:.3f} with {1 + sum(renewed for _, renewed in answers)} placements")


if __name__ == "__main__":
    main()
