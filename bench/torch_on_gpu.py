"""The torch programs of the five presets on a GPU, compared with libeplb's times on the same problems.

    python bench/torch_on_gpu.py --ours TIMES.tsv [--shared FOLDER] [--seconds S] [--device cuda] [--markdown FILE]
                                 [--commit TEXT] [TRACE.csv ...]

TIMES.tsv is what `eplb_gpu_bench --tsv` wrote; every row of it that has a torch program is run here. Both work from
device memory to device memory. Needs torch with CUDA and the folder seeds in --shared. This is about time;
seed_table.py tells how good the answers are. Without traces, the weights are made up.
"""

import argparse
import csv
import dataclasses
import importlib.util
import os
import statistics
import sys
import time

import torch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXPERTS = 256
PROGRAMS = {
    "LPT_SWAP": "vectorized_lpt_and_swap",
    "L2_SWAP": "l2_opt_packing_gpu",
    "RANDOM_RESTARTS": "gpu_parallel_randomized_greedy_refinement",
    "NOISE_SPECTRUM": "parallel_candidates_and_gpu_fix",
    "HYBRID_INIT": "hybrid_init_packing",
}
LEAST_RUNS = 3


@dataclasses.dataclass(frozen=True)
class Problem:
    """One row of eplb_gpu_bench: a strategy on a problem, its median time and mean imbalance."""

    strategy: str
    layers: int
    slots: int
    gpus: int
    nodes: int
    groups: int
    microseconds: float
    imbalance: float

    def __str__(self):
        where = f", {self.groups} groups on {self.nodes} nodes" if self.nodes > 1 else ""
        return f"{self.layers} layer{'s' if self.layers > 1 else ''}, {self.slots}/{self.gpus}{where}"


def read_problems(path):
    with open(path, newline="") as file:
        for name, *sizes, microseconds, imbalance in csv.reader(file, delimiter="\t"):
            if name in PROGRAMS:
                yield Problem(name, *map(int, sizes), float(microseconds), float(imbalance))


def read_trace(path):
    with open(path, newline="") as file:
        return torch.tensor([[float(cell) for cell in row] for row in csv.reader(file)])


def made_up_trace():
    torch.manual_seed(0)
    return torch.exp(0.6 * torch.randn(58, EXPERTS)).mul(10000).floor()


def torch_programs(folder):
    spec = importlib.util.spec_from_file_location("seed_programs", os.path.join(folder, "seed_programs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.all_seeds(folder)


# ----------------------------------------------------------------------------------------------------------- measuring


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def run(program, problem, weights):
    return program(weights, problem.slots, problem.groups, problem.nodes, problem.gpus)[0]


def imbalance(problem, weights, placement):
    count = torch.zeros_like(weights).scatter_add_(1, placement, torch.ones_like(placement, dtype=weights.dtype))
    loads = (weights / count).gather(1, placement).view(len(weights), problem.gpus, -1).sum(-1)
    return (loads.max(1).values / loads.mean(1)).mean().item()


def measure(program, problem, traces, device, seconds):
    """Microseconds of each run and the mean imbalance over the traces."""
    times, found = [], []
    # The programs make some tensors without saying where; this is where.
    with torch.device(device):
        for trace in traces:
            weights = trace[: problem.layers].to(device)
            found.append(imbalance(problem, weights, run(program, problem, weights)))  # and warms up
            end, runs = time.perf_counter() + seconds / len(traces), 0
            while runs < LEAST_RUNS or time.perf_counter() < end:
                wait(device)
                start = time.perf_counter()
                run(program, problem, weights)
                wait(device)
                times.append(1e6 * (time.perf_counter() - start))
                runs += 1
    return times, statistics.mean(found)


# ------------------------------------------------------------------------------------------------------------- telling


def heading(arguments):
    where = torch.cuda.get_device_name(0) if arguments.device == "cuda" else "CPU"
    yield "# The torch programs on a GPU\n"
    yield f"- machine: {where}; torch {torch.__version__}"
    yield f"- library: commit {arguments.commit}; its times are from eplb_gpu_bench, on the same GPU"
    yield "- both from device memory to device memory; medians; the torch program's by the host's clock"
    names = ", ".join(os.path.basename(path) for path in arguments.traces) or "made up, of the same shape"
    yield f"- weights: {names}\n"
    yield "| problem | strategy | torch, us | libeplb, us | torch / libeplb | imbalance: torch | libeplb |"
    yield "|---|---|---|---|---|---|---|"


def row(problem, program, traces, arguments):
    cells = [problem, problem.strategy]
    try:
        times, found = measure(program, problem, traces, arguments.device, arguments.seconds)
    except (RuntimeError, torch.OutOfMemoryError) as error:
        return "| " + " | ".join(map(str, [*cells, f"does not run: {str(error).splitlines()[0]}"])) + " | | | | |"
    median = statistics.median(times)
    cells += [f"{median:.0f}", f"{problem.microseconds:.1f}", f"**{median / problem.microseconds:.0f}**"]
    cells += [f"{found:.4f}", f"{problem.imbalance:.4f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def lines(arguments):
    programs = torch_programs(os.path.join(arguments.shared, "seeds"))
    traces = [read_trace(path) for path in arguments.traces] or [made_up_trace()]
    yield from heading(arguments)
    for problem in read_problems(arguments.ours):
        yield row(problem, programs[PROGRAMS[problem.strategy]], traces, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True, metavar="TIMES.tsv")
    parser.add_argument("--shared", default=os.path.join(ROOT, "..", "shared"), help="has the folder seeds")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each problem")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--markdown")
    parser.add_argument("--commit", default="not stated")
    parser.add_argument("traces", nargs="*", metavar="TRACE.csv")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device")
    printed = []
    for line in lines(arguments):
        print(line, flush=True)
        printed.append(line)
        if arguments.markdown:  # after every line: a time limit may end this
            with open(arguments.markdown, "w") as file:
                file.write("\n".join(printed) + "\n")
    return int(any("does not run" in line for line in printed))


if __name__ == "__main__":
    sys.exit(main())
