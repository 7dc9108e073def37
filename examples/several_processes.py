"""One rebalance of an engine, in 4 processes: counts are summed, layers are solved by all ranks, experts move.

    python examples/several_processes.py

The processes are on this machine and use gloo. An engine has one for each GPU, and its own group.
"""

import tempfile

import eplb.distributed
import torch
import torch.multiprocessing
from eplb.sample import sample_weights

RANKS, LAYERS, EXPERTS, PLACES = 4, 4, 16, 6
SLOTS = RANKS * PLACES


def contents(layer, expert):
    """What stands for an expert's parameters: a number that no other expert has."""
    return layer * EXPERTS + expert


def serve(rank, store):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=RANKS)
    with eplb.Context() as context:
        current = context.solve(sample_weights(LAYERS, EXPERTS), SLOTS, RANKS).physical_to_logical
    held = slice(rank * PLACES, (rank + 1) * PLACES)
    parameters = [
        {"up": torch.stack([torch.full((8, 4), float(contents(layer, e))) for e in current[layer, held]])}
        for layer in range(LAYERS)
    ]

    # What this rank has counted: each sees a share of the tokens.
    counted = torch.tensor(sample_weights(LAYERS, EXPERTS, seed=1) * (rank + 1), dtype=torch.int32)
    loads = eplb.distributed.all_reduce_loads(counted)
    plan = eplb.distributed.rebalance(loads, current, num_gpus=RANKS, max_moves=6, transfer_order="in_place")
    eplb.distributed.check_agreement(plan)
    eplb.distributed.move_experts(parameters, plan.moves, in_place=True)

    for layer, experts in enumerate(plan.physical_to_logical[:, held]):
        for slot, expert in enumerate(experts):
            assert (parameters[layer]["up"][slot] == contents(layer, expert)).all()
    if rank == 0:
        with eplb.Context() as context:
            before = context.evaluate(current, loads, num_gpus=RANKS).imbalance_mean
        report = plan.report
        print(
            f"imbalance {before:.3f} -> {report.imbalance_mean:.3f} by {report.moves} moves in {report.rounds} rounds"
        )
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def main():
    with tempfile.TemporaryDirectory() as folder:
        # Ends with an error if a process does.
        torch.multiprocessing.spawn(serve, (f"{folder}/store",), RANKS)
    print("every slot of every rank holds its expert")


if __name__ == "__main__":
    main()
