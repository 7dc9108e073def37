#!/usr/bin/env python3
"""Turns the golden vectors into lines of words, which a program without a JSON reader can take in.

vectors_text.py VECTORS.json OUTPUT.txt

    case NAME
    weights DTYPE T L E WEIGHT...
    problem SLOTS GPUS NODES GROUPS POLICY SEED CAP
    refused STATUS STRATEGY TEXT...            strategy -1: whichever
    answer STRATEGY EFFORT
    MAP NUMBER...                              as often as the answer has maps, named by the map's number
    end

Numbers stand as in the file: nan, inf and what a double would not hold are words there, too.
"""

import json
import sys

DTYPES = ["float32", "float64", "int32", "int64"]
POLICIES = ["auto", "hierarchical", "global"]
STRATEGIES = ["greedy", "lpt_swap", "l2_swap", "random_restarts", "noise_spectrum", "hybrid_init", "best"]
FAST, NORMAL = 0, 1
MAPS = {"physical_to_logical": 0, "replica_count": 2, "replica_slots": 3, "imbalance": 5, "duplicates": 7}


def words(*values):
    return " ".join(value if isinstance(value, str) else repr(value) for value in values)


def lines_of(case):
    problem, options = case["problem"], case.get("options") or {}
    yield words("case", case["name"])
    yield words("weights", DTYPES.index(case["dtype"]), *case["shape"], *case["weights"])
    sizes = [problem["num_slots"], problem["num_gpus"], problem.get("num_nodes", 1), problem.get("num_groups", 1)]
    policy = POLICIES.index(problem.get("policy", "auto"))
    yield words("problem", *sizes, policy, options.get("seed", 0), options.get("max_replicas", 0))
    error = case.get("error")
    if error:
        strategy = STRATEGIES.index(error["strategy"]) if "strategy" in error else -1
        yield words("refused", error["status"], strategy, error["text"])
    for name, answer in case.get("answers", {}).items():
        strategy, effort = ("best", FAST) if name == "best_fast" else (name, NORMAL)
        yield words("answer", STRATEGIES.index(strategy), effort)
        yield from (words(MAPS[name], *values) for name, values in answer.items())
    yield "end"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        cases = json.load(source)["cases"]
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.writelines(line + "\n" for case in cases for line in lines_of(case))
