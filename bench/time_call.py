"""Times one call as time_call.c does with three-maps: rebalance_experts, BEST at normal effort, 288 slots on 32 GPUs.

python bench/time_call.py TRACE.csv [SECONDS]
"""

import json
import statistics
import sys
import time

import eplb
import numpy as np


def measure(weights, seconds):
    """Microseconds of each run."""
    eplb.rebalance_experts(weights, 288, 1, 1, 32)
    runs, start = [], time.perf_counter()
    while len(runs) < 5 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        eplb.rebalance_experts(weights, 288, 1, 1, 32)
        runs.append((time.perf_counter() - begin) * 1e6)
    return runs


if __name__ == "__main__":
    table = np.loadtxt(sys.argv[1], delimiter=",", ndmin=2).astype(np.float32)
    runs = measure(table, float(sys.argv[2]) if len(sys.argv) > 2 else 2)
    print(json.dumps({"language": "python", "microseconds": statistics.median(runs), "runs": len(runs)}))
