"""A serving loop that asks a Rebalancer after every window, carries out what it proposes, and survives a restart.

    python examples/serving_loop.py TRACE.npz --slots 40 --gpus 8 --state state.npz [--rule pays,move_ms=1,layer_ms=50]

TRACE.npz holds `counts` [windows, layers, experts], which stand for what an engine counts while it serves. Run it twice
with the same --state: the second run goes on with the placement and the memory of the first.
"""

import argparse
from pathlib import Path

import eplb
import numpy as np


class Engine:
    """Stands for an engine. What it keeps in a slot [L,S] is the number of the expert whose weights are there."""

    def __init__(self, slots):
        self.slots = slots

    def serve(self, window, gpus):
        """Serves a window, in which the busiest GPU makes all others wait: its load over the mean, over all layers."""
        held = np.array([np.bincount(row, minlength=window.shape[1]) for row in self.slots])
        loads = np.take_along_axis(window / held, self.slots, axis=1).reshape(len(window), gpus, -1).sum(axis=2)
        return float(loads.max(axis=1).sum() / loads.mean(axis=1).sum())

    def carry_out(self, moves):
        """Fills slots from those that hold the experts now: a buffer for each layer, as the default order wants."""
        table, before = moves.table(), self.slots.copy()
        self.slots[table["layer"], table["slot"]] = before[table["layer"], table["source_slot"]]


def first_rebalancer(rule, window, slots, gpus):
    """Begins with a placement for the first window, with which an engine then loads its weights."""
    with eplb.Context() as context:
        return eplb.Rebalancer(rule, context.solve(window, num_slots=slots, num_gpus=gpus))


def run(rebalancer, engine, windows, state):
    gpus = rebalancer.cluster.num_gpus
    for window in windows:
        imbalance = engine.serve(window, gpus)
        rebalancer.observe(window)
        plan = rebalancer.propose()
        line = f"window {rebalancer.windows_seen}: imbalance {imbalance:.3f}"
        if plan is None:
            print(f"{line}, nothing moves")
            continue
        # A real engine may go on serving, and observing, until the last expert has arrived.
        engine.carry_out(plan.moves)
        rebalancer.commit(plan)
        # After a commit, so that the file always says where experts are.
        rebalancer.save(state)
        print(f"{line}, {plan.report.moves} moves in {plan.report.layers_changed} layers")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--rule", default="pays,move_ms=1,layer_ms=50,memory=8")
    arguments = parser.parse_args()
    windows = eplb.read_loads(arguments.trace).counts
    if arguments.state.exists():
        rebalancer = eplb.Rebalancer.load(arguments.state)
    else:
        rebalancer = first_rebalancer(arguments.rule, windows[0], arguments.slots, arguments.gpus)
    engine = Engine(rebalancer.physical_to_logical)
    run(rebalancer, engine, windows, arguments.state)
    assert np.array_equal(engine.slots, rebalancer.physical_to_logical), "what was committed is what is there"
    rebalancer.save(arguments.state)
    print(rebalancer)


if __name__ == "__main__":
    main()
