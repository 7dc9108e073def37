"""Split tokens, in plain Python: sums, the certificate, and that no split is better."""

import math
import random
from fractions import Fraction
from pathlib import Path

import eplb
import numpy as np
import pytest
from split import SHARES, UNIT, Graph, Split

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def random_case(seed):
    draw = random.Random(seed)
    gpus, each = draw.randint(1, 9), draw.randint(1, 5)
    experts = draw.randint(1, gpus * each)
    lowest = draw.choice([0, 0, -1])
    row = [*range(experts), *(draw.randrange(lowest, experts) for _ in range(gpus * each - experts))]
    draw.shuffle(row)
    top = draw.choice([1, 5, 100, 2 * 10**6])
    tokens = [draw.choice([0, draw.randint(0, top), draw.randint(0, top)]) for _ in range(experts)]
    paces = [draw.randint(1, 8) for _ in range(gpus)] if draw.random() < 0.4 else [1] * gpus
    return Graph(row, paces), tokens


def density(graph, tokens, gpus):
    """Tokens that these GPUs cannot give to others, by their paces."""
    inside = (tokens[expert] for expert, on in graph.copies.items() if on.keys() <= set(gpus))
    return Fraction(sum(inside), sum(graph.paces[gpu] for gpu in gpus))


def least_possible(graph, tokens):
    """The least largest load by pace, if tokens could be parted: over all sets of GPUs, the largest density."""
    gpus = range(len(graph.paces))
    sets = ([gpu for gpu in gpus if number >> gpu & 1] for number in range(1, 1 << len(gpus)))
    return max(density(graph, tokens, each) for each in sets)


def check(graph, tokens, split):
    """All but that the bound is reached."""
    for quotas, total_of in ((split.quotas(), tokens.__getitem__), (split.shares(), lambda expert: SHARES)):
        assert min(quotas) >= 0
        for expert, on in graph.copies.items():
            slots = [slot for slot, there in enumerate(graph.row) if there == expert]
            assert sum(quotas[slot] for slot in slots) == total_of(expert)
            lowest = {min(slot for slot in slots if slot // graph.each == gpu) for gpu in on}
            assert not any(quotas[slot] for slot in slots if slot not in lowest)
    loads = np.reshape(split.quotas(), (len(graph.paces), -1)).sum(axis=1)
    assert loads.tolist() == split.load
    assert density(graph, tokens, split.tight) == split.bound


def is_reached(graph, split):
    return all(load <= math.ceil(split.bound * pace) for load, pace in zip(split.load, graph.paces, strict=True))


@pytest.mark.parametrize("hundred", range(10))
def test_no_split_is_better(hundred):
    for seed in range(100 * hundred, 100 * hundred + 100):
        graph, tokens = random_case(seed)
        split = Split(graph, tokens)
        check(graph, tokens, split)
        assert is_reached(graph, split), seed
        least = least_possible(graph, tokens)
        assert split.bound <= least
        if len(set(graph.paces)) == 1:
            assert math.ceil(split.bound * graph.paces[0]) == math.ceil(least * graph.paces[0])


def test_a_tolerance_is_met_and_costs_no_more_waves():
    fewer = 0
    for seed in range(300):
        graph, tokens = random_case(seed)
        exact, rough = Split(graph, tokens), Split(graph, tokens, tolerance=UNIT // 8)
        check(graph, tokens, rough)
        assert rough.bound <= exact.bound
        goal = rough.bound * Fraction(9, 8)
        assert all(load <= math.ceil(goal * pace) for load, pace in zip(rough.load, graph.paces, strict=True))
        fewer += rough.waves < exact.waves
    assert fewer > 20


def test_waves_are_limited():
    missed = 0
    for seed in range(300):
        graph, tokens = random_case(seed)
        split = Split(graph, tokens, most_waves=1)
        check(graph, tokens, split)
        assert split.missed != is_reached(graph, split)
        missed += split.missed
    assert missed > 5


def test_layers_that_cannot_be_split():
    graph = Graph([0, 1, 2, -1], [1, 1])
    split = Split(graph, [5, 1, 4])
    assert (split.bound, split.tight, split.load) == (6, [0], [6, 4])
    assert split.shares() == [SHARES, SHARES, SHARES, 0]


def test_experts_without_tokens_have_even_shares():
    split = Split(Graph([0, 0, 0, 1, 0, 2], [1, 1, 2]), [0, 0, 0])
    assert split.bound == 0
    assert split.shares() == [26215, 0, 13107, SHARES, 26214, SHARES]


@pytest.mark.skipif(not DATA.exists(), reason="no measured loads: ../shared/data is not there")
def test_drifting_loads():
    """More than a third of what an even split is above the mean after a drift goes."""
    names = (f"deepseek-v3_prefill-{inputs}_L58xE256.csv" for inputs in ("in512", "in2048"))
    before, after = (np.loadtxt(DATA / name, delimiter=",").astype(np.int64) for name in names)
    with eplb.Context() as context:
        placement = context.solve(before, num_slots=288, num_gpus=32).physical_to_logical.tolist()
    even, best = [], []
    for layer in range(0, len(placement), 8):
        graph, tokens = Graph(placement[layer], [1] * 32), after[layer].tolist()
        split = Split(graph, tokens)
        check(graph, tokens, split)
        assert is_reached(graph, split)
        mean = sum(tokens) / 32
        best.append(max(split.load) / mean)
        split.split_evenly()
        even.append(max(split.load) / mean)
    assert np.mean(best) - 1 < 2 / 3 * (np.mean(even) - 1)
