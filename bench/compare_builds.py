"""Whether one build of the library is slower than another: at the shapes of eplb_bench, call by call in turns.

    python bench/compare_builds.py OLD/libeplb.so NEW/libeplb.so [--seconds S] [--only NAME] [TRACE.csv ...]

Both libraries are loaded into this process. A call is upload, solve and fetch of physical_to_logical as int32 into a
buffer that is kept, on one thread. Prints the median of the ratios NEW / OLD of neighbouring calls with its quartiles,
and whether both gave the same placement.
"""

import argparse
import os
import random
import re
import sys
import time

import cffi
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TRACE = os.path.join(ROOT, "..", "shared", "data", "deepseek-v3_prefill-in2048_L58xE256.csv")
# slots, GPUs, nodes, groups
SHAPES = [
    (288, 32, 1, 1),
    (320, 64, 1, 1),
    (288, 72, 1, 1),
    (256, 32, 1, 1),
    (384, 128, 1, 1),
    (288, 144, 1, 1),
    (288, 32, 4, 8),
]
# strategy and effort, by their numbers in eplb.h
CANDIDATES = {"GREEDY": (0, 1), "BEST, FAST": (6, 0), "BEST, NORMAL": (6, 1), "BEST, MAX": (6, 2)}
FLOAT32, INT32, PHYSICAL_TO_LOGICAL = 0, 2, 0


def declarations():
    with open(os.path.join(ROOT, "include", "eplb.h")) as file:
        header = re.sub(r"#ifdef __cplusplus.*?#endif", "", file.read(), flags=re.S)
    return re.sub(r"^#.*$", "", header, flags=re.M)


class Side:
    def __init__(self, ffi, path, weights, shape, candidate):
        self.ffi, self.library = ffi, ffi.dlopen(os.path.abspath(path))
        self.error = ffi.new("eplb_error *")
        self.problem, self.options = ffi.new("eplb_problem *"), ffi.new("eplb_solve_options *")
        self.check(self.library.eplb_problem_init(self.problem, ffi.sizeof("eplb_problem"), self.error))
        self.check(self.library.eplb_solve_options_init(self.options, ffi.sizeof("eplb_solve_options"), self.error))
        problem = self.problem
        problem.num_slots, problem.num_gpus, problem.num_nodes, problem.num_groups = shape
        self.options.strategy, self.options.effort = candidate
        handle = ffi.new("eplb_context **")
        self.check(self.library.eplb_context_create(handle, ffi.NULL, self.error))
        self.context = ffi.gc(handle[0], self.library.eplb_context_destroy)
        self.layers, self.experts = weights.shape
        self.weights = ffi.from_buffer("float[]", weights)
        self.placement = np.empty((self.layers, shape[0]), np.int32)
        self.buffer = ffi.from_buffer("int32_t[]", self.placement)

    def check(self, status):
        if status:
            raise RuntimeError(self.ffi.string(self.error.text).decode())

    def run(self):
        library, size = self.library, self.layers * self.experts
        begin = time.perf_counter()
        self.check(
            library.eplb_upload_weights(
                self.context, self.weights, size, FLOAT32, 1, self.layers, self.experts, self.error
            )
        )
        self.check(library.eplb_solve(self.context, self.problem, self.options, self.error))
        self.check(
            library.eplb_fetch_map(
                self.context, PHYSICAL_TO_LOGICAL, INT32, self.buffer, self.placement.size, self.error
            )
        )
        return time.perf_counter() - begin


PAIRS = 10  # of calls with one pair of contexts


def compare(ffi, paths, weights, shape, candidate, seconds):
    end, ratios, same, kept = time.perf_counter() + seconds, [], True, []
    while len(ratios) < 3 * PAIRS or time.perf_counter() < end:
        # Where the memory of a context happens to lie can cost one side 10 %: contexts are made again and again, behind
        # allocations that move them.
        kept.append(bytearray(random.randrange(1 << 16)))
        old, new = (Side(ffi, path, weights, shape, candidate) for path in paths)
        old.run(), new.run()
        same &= np.array_equal(old.placement, new.placement)
        for i in range(PAIRS):
            # Who goes first changes: a neighbour's caches and a drifting clock favour neither.
            first, second = (old, new) if i % 2 else (new, old)
            times = {first: first.run(), second: second.run()}
            ratios.append(times[new] / times[old])
    return np.percentile(ratios, [50, 25, 75]), same


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("libraries", nargs=2, metavar="LIBRARY", help="the old one, then the new one")
    parser.add_argument("traces", nargs="*", metavar="TRACE", default=[TRACE], help="CSV, a row per layer")
    parser.add_argument("--seconds", type=float, default=2, help="for each row of the table (default: 2)")
    parser.add_argument("--only", default="", metavar="NAME", help="strategies that begin with this")
    arguments = parser.parse_args()
    ffi = cffi.FFI()
    ffi.cdef(declarations())
    weights = np.concatenate([np.loadtxt(path, np.float32, delimiter=",", ndmin=2) for path in arguments.traces])
    print("| slots / GPUs / nodes / groups | strategy | new / old (quartiles) | same placement |\n|---|---|---|---|")
    for shape in SHAPES:
        for name, candidate in CANDIDATES.items():
            if not name.startswith(arguments.only):
                continue
            (median, low, high), same = compare(ffi, arguments.libraries, weights, shape, candidate, arguments.seconds)
            print(
                f"| {' / '.join(map(str, shape))} | {name} | {median:.3f} ({low:.3f} to {high:.3f}) | "
                f"{'yes' if same else 'NO'} |",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
