"""What splits of tokens come to over a placement, for split.py: imbalance in a window that it was not made for.

A split is that of the plain definition, tests/golden/split.py: any other one that is the best has the same busiest GPU.
"""

import importlib.util
import os
import time
from dataclasses import dataclass

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def plain_definition():
    """By its path: here, split is the program."""
    spec = importlib.util.spec_from_file_location("plain_split", os.path.join(ROOT, "tests", "golden", "split.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_PLAIN = plain_definition()


@dataclass
class Placed:
    """A placement [L,S], and microseconds of the processor per layer."""

    placement: np.ndarray
    microseconds: float


@dataclass
class Judged:
    """By layer: imbalance of the tokens of a window, split evenly and as well as can be."""

    even: np.ndarray
    best: np.ndarray


def place(context, weights, shape, objective, effort="normal", repetitions=1):
    """BEST's placement of weights [L,E] for an objective; the least time of some repetitions."""
    slots, gpus = shape
    options = {"num_slots": slots, "num_gpus": gpus, "policy": "global", "effort": effort, "objective": objective}
    least = float("inf")
    for _ in range(repetitions):
        start = time.process_time()
        plan = context.solve(weights, **options)
        least = min(least, time.process_time() - start)
    return Placed(np.asarray(plan.physical_to_logical), least / len(weights) * 1e6)


def even_imbalance(row, tokens, gpus):
    each = tokens / np.bincount(row, minlength=len(tokens))
    return each[row].reshape(gpus, -1).sum(axis=1).max() * gpus / tokens.sum()


def best_imbalance(row, tokens, gpus):
    return max(_PLAIN.Split(_PLAIN.Graph(row.tolist(), [1] * gpus), tokens.tolist()).load) * gpus / tokens.sum()


def judge(placement, tokens, gpus, stride=1):
    """Of every stride-th layer, tokens [L,E]."""
    rows = [(placement[layer], tokens[layer]) for layer in range(0, len(tokens), stride)]
    return Judged(*(np.array([of(*row, gpus) for row in rows]) for of in (even_imbalance, best_imbalance)))
