"""What Python adds to a solve, and how far ahead of the published program it is.

    python bench/python_overhead.py [--seconds S] [--markdown FILE] [--commit TEXT] [TRACE.csv ...]

Both sides take turns, and the median of their differences, or ratios, counts. C here means the same upload, solve and
fetch of the same int64 maps through cffi, in a context that is kept and, where nothing else is said, into buffers that
are kept. Times are CPU time of the calling thread: nothing here waits or has a second thread, and so other programs on
the machine disturb less. Where the memory of a context happens to lie can cost it 10 %, so several pairs of contexts
are measured, and none of them is freed before the last.
"""

import argparse
import collections
import glob
import os
import re
import statistics
import sys
import time

import cffi
import eplb
import numpy as np
import published
from eplb._thread_session import take_session

SLOTS, GPUS = 288, 32
# eplb_strategy and eplb_map of the header.
STRATEGIES = {"greedy": 0, "lpt_swap": 1}
ALL_MAPS = PHYSICAL_TO_LOGICAL, LOGICAL_TO_PHYSICAL, REPLICA_COUNT = range(3)
FLOAT32, INT64 = 0, 3
# Plans of a program that keeps many: in steady state, their memory is that of plans which it has dropped.
KEPT = 100
CONTEXTS = 8  # of each side and trace
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def load_library():
    """The very library that the package uses, or the sides would differ in more than Python."""
    with open(os.path.join(ROOT, "include", "eplb.h")) as file:
        header = re.sub(r"#ifdef __cplusplus.*?#endif", "", file.read(), flags=re.S)
    ffi = cffi.FFI()
    ffi.cdef(re.sub(r"^#.*$", "", header, flags=re.M))
    inside = glob.glob(os.path.join(os.path.dirname(eplb.__file__), "**", "libeplb.so*"), recursive=True)
    return ffi, ffi.dlopen(os.environ.get("EPLB_LIBRARY") or inside[0])


class CSide:
    def __init__(self, weights, strategy, maps):
        self.ffi, self.lib = load_library()
        ffi, lib = self.ffi, self.lib
        self.error = ffi.new("eplb_error *")
        self.problem, self.options = ffi.new("eplb_problem *"), ffi.new("eplb_solve_options *")
        self.check(lib.eplb_problem_init(self.problem, ffi.sizeof("eplb_problem"), self.error))
        self.check(lib.eplb_solve_options_init(self.options, ffi.sizeof("eplb_solve_options"), self.error))
        self.problem.num_slots, self.problem.num_gpus = SLOTS, GPUS
        self.options.strategy = strategy
        handle = ffi.new("eplb_context **")
        self.check(lib.eplb_context_create(handle, ffi.NULL, self.error))
        self.context = handle[0]
        self.weights = np.ascontiguousarray(weights, np.float32)
        layers, experts = weights.shape
        shapes = {
            PHYSICAL_TO_LOGICAL: (layers, SLOTS),
            LOGICAL_TO_PHYSICAL: (layers, experts, SLOTS - experts + 1),
            REPLICA_COUNT: (layers, experts),
        }
        self.maps = {which: np.empty(shapes[which], np.int64) for which in maps}
        self.pointers = {which: ffi.from_buffer("int64_t[]", array) for which, array in self.maps.items()}
        self.input = ffi.from_buffer("float[]", self.weights)

    def check(self, status):
        if status:
            raise RuntimeError(self.ffi.string(self.error.text).decode())

    def run_into_new_buffer(self):
        """The same, into memory of its own: returns the placement."""
        placement = np.empty_like(self.maps[PHYSICAL_TO_LOGICAL])
        self.pointers[PHYSICAL_TO_LOGICAL] = self.ffi.from_buffer("int64_t[]", placement)
        self.run()
        return placement

    def run(self):
        lib, error, size = self.lib, self.error, self.weights.size
        layers, experts = self.weights.shape
        self.check(lib.eplb_upload_weights(self.context, self.input, size, FLOAT32, 1, layers, experts, error))
        self.check(lib.eplb_solve(self.context, self.problem, self.options, error))
        for which, pointer in self.pointers.items():
            self.check(lib.eplb_fetch_map(self.context, which, INT64, pointer, self.maps[which].size, error))


def timed(work, *arguments):
    start = time.thread_time()
    work(*arguments)
    return (time.thread_time() - start) * 1e6


def take_turns(first, second, seconds, least, before_second=None):
    """Microseconds of both, run by turns. The second is given what before_second returns, whose time does not count."""

    def prepared():
        return () if before_second is None else (before_second(),)

    first(), second(*prepared())
    end = time.perf_counter() + seconds
    pairs = []
    while len(pairs) < least or time.perf_counter() < end:
        pairs.append((timed(first), timed(second, *prepared())))
    return pairs


def kinds_of_input(weights):
    kinds = {"numpy float32": weights.astype(np.float32), "numpy float64": weights}
    if published.torch is not None:
        kinds["torch float32"] = published.torch.tensor(weights, dtype=published.torch.float32)
        kinds["torch float64"] = published.torch.tensor(weights)
    return kinds


def overhead_rows(traces, seconds):
    sessions = []
    for strategy, number in STRATEGIES.items():
        for kind in kinds_of_input(traces[0]):
            pairs = []
            for weights in traces * CONTEXTS:
                tensor, c_side = kinds_of_input(weights)[kind], CSide(weights, number, ALL_MAPS)

                def through_python(tensor=tensor, strategy=strategy):
                    return eplb.rebalance_experts(tensor, SLOTS, 1, 1, GPUS, strategy=strategy)

                # The next call makes another.
                sessions.append(take_session())
                pairs += take_turns(c_side.run, through_python, seconds / CONTEXTS, 20)
            through_c = statistics.median(c for c, _ in pairs)
            added = sorted(python - c for c, python in pairs)
            median, slow = statistics.median(added), added[int(0.95 * (len(added) - 1))]
            yield f"| {strategy} | {kind} | {through_c:.0f} | **{median:.0f}** | {slow:.0f} |"


def plan_cases(weights, context, c_side):
    """What is done, the sides, and what comes before the second one without being counted."""

    def solve():
        return context.solve(weights, SLOTS, GPUS, strategy="greedy")

    def solve_and_read():
        plan = solve()
        plan.physical_to_logical  # noqa: B018
        return plan

    def solve_and_go_on():
        plan = solve()
        solve()
        return plan

    def read_everything(plan):
        plan.report, plan.logical_to_physical, plan.replica_count, plan.replica_slots  # noqa: B018

    latest, plans, placements = (collections.deque(maxlen=most) for most in (1, KEPT, KEPT))
    c, c_keeps = c_side.run, lambda: placements.append(c_side.run_into_new_buffer())
    yield "solve, read physical_to_logical, drop the plan", c, solve_and_read, None
    yield "the same, the plan kept until the next one is there", c, lambda: latest.append(solve_and_read()), None
    yield f"the same, {KEPT} plans kept; C keeps placements", c_keeps, lambda: plans.append(solve_and_read()), None
    yield "solve, read the report, drop the plan", c, lambda: solve().report, None
    yield "the report alone", c, lambda plan: plan.report, solve
    yield "everything but the solve", c, read_everything, solve
    yield "everything but the solve, after the context has solved again", c, read_everything, solve_and_go_on


def plan_rows(traces, seconds):
    pairs = collections.defaultdict(list)
    contexts = []
    for weights in traces * CONTEXTS:
        contexts.append(eplb.Context())
        table, c_side = weights.astype(np.float32), CSide(weights, STRATEGIES["greedy"], [PHYSICAL_TO_LOGICAL])
        for name, through_c, through_python, before in plan_cases(table, contexts[-1], c_side):
            pairs[name] += take_turns(through_c, through_python, seconds / CONTEXTS, 2 * KEPT, before)
    for name, runs in pairs.items():
        c, python = (statistics.median(side) for side in zip(*runs, strict=True))
        ratio = statistics.median(python / c for c, python in runs)
        yield f"| {name} | {c:.0f} | {python:.0f} | **{ratio:.2f}** |"


def published_rows(traces, seconds):
    for use_torch in (True, False) if published.torch is not None else (False,):
        for fast in (False, True):
            through_c, through_python = [], []
            for weights in traces:
                tensor = kinds_of_input(weights)["torch float32" if use_torch else "numpy float32"]
                c_side = CSide(weights, STRATEGIES["greedy"], [PHYSICAL_TO_LOGICAL])

                def program(tensor=tensor, fast=fast, use_torch=use_torch):
                    return published.rebalance(tensor, SLOTS, 1, 1, GPUS, fast=fast, use_torch=use_torch)

                def ours(tensor=tensor):
                    return eplb.rebalance_experts(tensor, SLOTS, 1, 1, GPUS, strategy="greedy")

                if not fast and not np.array_equal(np.asarray(program()[0]), np.asarray(ours()[0])):
                    raise RuntimeError("GREEDY and the published program differ")
                through_c += take_turns(program, c_side.run, seconds, 3)
                through_python += take_turns(program, ours, seconds, 3)
            form = "lists of floats, as engines have it since" if fast else "element by element, as published"
            milliseconds = statistics.median(program for program, _ in through_c) / 1000
            over_c, over_python = (
                statistics.median(program / own for program, own in pairs) for pairs in (through_c, through_python)
            )
            name = published.arrays(use_torch).name
            yield f"| {name}, {form} | {milliseconds:.1f} | **{over_c:.0f}** | {over_python:.0f} |"


def read_traces(files):
    if files:
        return [np.loadtxt(file, delimiter=",", ndmin=2) for file in files]
    # No measured weights at hand: the same law as bench/trace.cpp, from another source of chance.
    random = np.random.default_rng(0)
    weights = random.lognormal(0, 0.6, (58, 256))
    for layer in weights:
        hot = random.integers(0, 256, random.integers(1, 4))
        layer[hot] = random.uniform(4, 13, len(hot)) * np.exp(0.18)
    return [np.floor(weights * 10000)]


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown processor")


def tables(arguments):
    traces = read_traces(arguments.traces)
    versions = f"Python {sys.version.split()[0]}, numpy {np.__version__}"
    if published.torch is not None:
        versions += f", torch {published.torch.__version__} on one thread"
    names = ", ".join(os.path.basename(file) for file in arguments.traces) or "made up"
    yield "# What Python adds, and the published program\n"
    yield f"- machine: {processor()}; {versions}"
    yield f"- library: libeplb {eplb.__version__}, commit {arguments.commit}"
    yield f"- {SLOTS} slots on {GPUS} GPUs, global; weights, pooled: {names}"
    yield "- CPU time; medians of runs by turns\n"
    yield "## rebalance_experts over the same upload, solve and fetches of the three int64 maps through cffi\n"
    yield "| strategy | input | C, us | added by Python, us: median | 95 % of calls at most |\n|---|---|---|---|---|"
    yield from overhead_rows(traces, arguments.seconds)
    yield "\n## Context.solve with GREEDY over upload, solve and fetch of physical_to_logical through cffi\n"
    yield "| numpy float32 | C, us | Python, us | Python / C |\n|---|---|---|---|"
    yield from plan_rows(traces, arguments.seconds)
    yield "\n## The published program over GREEDY\n"
    yield "| program | ms | times the C call (one map) | times rebalance_experts (three maps) |\n|---|---|---|---|"
    yield from published_rows(traces, arguments.seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each pair of sides and trace")
    parser.add_argument("--markdown")
    parser.add_argument("--commit", default="not stated")
    parser.add_argument("traces", nargs="*")
    arguments = parser.parse_args()
    if published.torch is not None:
        published.torch.set_num_threads(1)
    lines = []
    for line in tables(arguments):
        print(line, flush=True)
        lines.append(line)
    if arguments.markdown:
        with open(arguments.markdown, "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
