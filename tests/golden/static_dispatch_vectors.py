"""Small cases of static dispatch with the answers of the plain definition, which the stage must have.

python3 tests/golden/static_dispatch_vectors.py
"""

import json
import random
from pathlib import Path

from static_dispatch import StaticDispatch

FILE = Path(__file__).with_name("static_dispatch.json")
CASES = 80


def random_problem(seed):
    """The arguments of StaticDispatch."""
    draw = random.Random(seed)
    gpus, each = draw.randint(1, 12), draw.randint(1, 6)
    nodes = draw.choice([divisor for divisor in range(1, gpus + 1) if gpus % divisor == 0])
    experts = draw.randint(1, gpus * each)
    lowest = draw.choice([0, 0, -1])
    row = [*range(experts), *(draw.randrange(lowest, experts) for _ in range(gpus * each - experts))]
    draw.shuffle(row)
    closed = [gpu for gpu in range(1, gpus) if draw.random() < 0.1]
    row = [-1 if slot // each in closed else expert for slot, expert in enumerate(row)]
    top = draw.choice([1, 5, 100, 2 * 10**6])
    return {
        "row": row,
        "paces": [draw.randint(1, 8) for _ in range(gpus)] if draw.random() < 0.4 else [1] * gpus,
        "tokens": [draw.choice([0, draw.randint(0, top), draw.randint(0, top)]) for _ in range(experts)],
        "ranks": draw.choice([gpus, gpus, 1, 2 * gpus, 5]),
        "nodes": [gpu * nodes // gpus for gpu in range(gpus)],
        "tolerance": draw.choice([0, 0, 5000]),
        "most_swaps": draw.choice([0, 3, 100]),
        "within_nodes": nodes > 1 and draw.random() < 0.5,
        "closed": closed,
    }


def vectors():
    for problem in map(random_problem, range(CASES)):
        found = StaticDispatch(**problem)
        names = ("row", "units", "load", "swaps", "tries", "table")
        yield {"given": problem, "answer": {name: getattr(found, name) for name in names}}


def text():
    return "[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in vectors()) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(text())
