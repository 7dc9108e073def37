"""Replays recorded windows as an engine would see them, and changes the placement by few moves when it has grown old.

    python examples/replay.py TRACE.npz --slots 40 --gpus 8 [--threshold 1.1] [--max-moves 4] [--step 16] [--kill 3:0,5]

TRACE.npz holds `counts` [windows, layers, experts]; --step windows are summed to one interval. A placement is computed
from an interval and serves the following ones, as in production, where the future is not known. --kill 3:0,5 lets GPUs
0 and 5 die before interval 3: what they held is gone, and the repair is made at once.
"""

import argparse

import eplb
import numpy as np


def intervals(counts, step):
    """Sums of `step` windows each; what is left over at the end is too short to compare with."""
    whole = len(counts) // step * step
    return counts[:whole].reshape(-1, step, *counts.shape[1:]).sum(axis=1)


class Engine:
    """What an engine keeps: where experts are, and how many slots each GPU has."""

    def __init__(self, context, weights, slots, gpus):
        self.context, self.last = context, weights
        self.slots = [slots // gpus] * gpus
        self.experts = context.solve(weights, slots, gpus).physical_to_logical

    @property
    def cluster(self):
        return eplb.Cluster(slots=self.slots)

    def lose(self, gpus):
        """These GPUs are dead. Experts of which no replica is left come from storage."""
        held = self.experts.reshape(len(self.experts), len(self.slots), -1)
        held[:, gpus] = -1
        for gpu in gpus:
            self.slots[gpu] = 0
        return self.rebalance(self.last)

    def rebalance(self, weights, **limits):
        plan = self.context.rebalance(weights, self.experts, cluster=self.cluster, **limits)
        # An engine now carries out plan.moves.table(), layer by layer and round by round.
        self.experts = plan.physical_to_logical
        return f"{plan.report.moves} moves, {plan.report.reloads} from storage, {plan.report.rounds} rounds"

    def serve(self, weights, threshold, limits):
        """Imbalance under weights that were not known when experts were placed, and the work that follows from it."""
        self.last = weights
        imbalance = self.context.evaluate(self.experts, weights, cluster=self.cluster).imbalance_mean
        return imbalance, self.rebalance(weights, **limits) if imbalance > threshold else "nothing moves"


def deaths(text):
    """3:0,5 as (3, [0, 5])."""
    interval, _, gpus = text.partition(":")
    return int(interval), [int(gpu) for gpu in gpus.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    parser.add_argument("--threshold", type=float, default=1.1)
    parser.add_argument("--max-moves", type=int, metavar="N", help="of a layer; without it, what 1.02 takes")
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--kill", type=deaths, action="append", default=[], metavar="INTERVAL:GPU,GPU")
    arguments = parser.parse_args()
    with np.load(arguments.trace, allow_pickle=False) as arrays:
        counts = intervals(arrays["counts"], arguments.step)
    dying, found = dict(arguments.kill), []
    with eplb.Context() as context:
        engine = Engine(context, counts[0], arguments.slots, arguments.gpus)
        for number, weights in enumerate(counts[1:], start=1):
            if number in dying:
                print(f"GPUs {dying[number]} are lost: {engine.lose(dying[number])}")
            imbalance, work = engine.serve(weights, arguments.threshold, {"max_moves": arguments.max_moves})
            print(f"interval {number}: imbalance {imbalance:.3f}, {work}")
            found.append(imbalance)
    print(f"mean imbalance {np.mean(found):.3f}")


if __name__ == "__main__":
    main()
