"""Places experts inside a CUDA graph: captured once, replayed whenever there are new weights in the same tensor.

    python examples/torch_cuda_graph.py

Nothing waits for the device until its answers are compared with those of the CPU, which are the same, bit for bit.
"""

import eplb
from eplb.sample import sample_weights

LAYERS, EXPERTS, REPLAYS = 58, 256, 4
PROBLEM = {"num_slots": 288, "num_gpus": 32, "num_nodes": 4, "num_groups": 8}


def what_is_missing():
    try:
        import torch
    except ModuleNotFoundError:
        return "torch is not installed"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    cuda = eplb.backends()["cuda"]
    return None if cuda.usable else cuda.text


def replay(context):
    """Yields what the device and what the CPU answer to the same weights."""
    import torch

    weights = torch.zeros(LAYERS, EXPERTS, device="cuda:0")
    # Memory can be had before the capture only. One solve before it would do as well.
    context.reserve(weights.shape, dtype=weights.dtype, **PROBLEM)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        plan = context.solve(weights, **PROBLEM)
    # From here on the graph needs the context, the weights' tensor and the plan's.
    for seed in range(REPLAYS):
        routed = torch.tensor(sample_weights(LAYERS, EXPERTS, seed), dtype=weights.dtype)
        weights.copy_(routed)
        graph.replay()
        with eplb.Context(device="cpu") as on_host:
            expected = on_host.solve(routed, **PROBLEM)
        # .cpu() waits for the replay; bad weights would show here.
        answer = plan.physical_to_logical.cpu().numpy()
        context.synchronize()
        yield answer, expected.physical_to_logical, plan.report


def main():
    missing = what_is_missing()
    if missing is not None:
        print(f"Nothing to show here: {missing}.")
        return
    with eplb.Context(device="cuda:0") as context:
        for number, (answer, expected, report) in enumerate(replay(context)):
            if (answer != expected).any():
                raise SystemExit(f"replay {number} differs from the CPU: please report it")
            print(f"replay {number}: imbalance {report.imbalance_mean:.4f}, as on the CPU")


if __name__ == "__main__":
    main()
