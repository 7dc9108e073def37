"""Static dispatch in plain Python: what a table must be, how good it can be, and that its vectors are up to date."""

import itertools
import random
from fractions import Fraction
from pathlib import Path

import eplb
import numpy as np
import pytest
from split import Graph, Split
from static_dispatch import FASTEST, StaticDispatch
from static_dispatch_vectors import FILE, random_problem, text

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def loads_of(problem, found):
    """From the table alone, in parts of a token: each rank has as many tokens of an expert as another."""
    each = len(problem["row"]) // len(problem["paces"])
    loads = [0] * len(problem["paces"])
    for row in found.table:
        for expert, slot in enumerate(row):
            if slot >= 0:
                assert found.row[slot] == expert
                loads[slot // each] += problem["tokens"][expert]
            else:
                assert expert not in problem["row"]
    return loads


def copies_of(problem, row):
    """How often experts are on GPUs, the largest first."""
    each = len(row) // len(problem["paces"])
    on = [(expert, slot // each) for slot, expert in enumerate(row) if expert >= 0]
    return len(on) - len(set(on))


def near(problem, found, place):
    """Tokens of ranks that go to a slot at their own place."""
    each, gpus = len(found.row) // len(problem["paces"]), len(problem["paces"])
    return sum(
        problem["tokens"][expert]
        for rank, row in enumerate(found.table)
        for expert, slot in enumerate(row)
        if slot >= 0 and place[rank * gpus // problem["ranks"]] == place[slot // each]
    )


def most_near(problem, found, place):
    """The most that these units allow: of an expert at a place, as many as there are ranks and units."""
    each, gpus = len(found.row) // len(problem["paces"]), len(problem["paces"])
    ranks = [place[rank * gpus // problem["ranks"]] for rank in range(problem["ranks"])]
    most = 0
    for there, (expert, tokens) in itertools.product(set(place), enumerate(problem["tokens"])):
        slots = (slot for slot, held in enumerate(found.row) if held == expert and place[slot // each] == there)
        most += tokens * min(ranks.count(there), sum(found.units[slot] for slot in slots))
    return most


@pytest.mark.parametrize("seed", range(300))
def test_tables(seed):
    problem = random_problem(seed)
    found = StaticDispatch(**problem)
    assert loads_of(problem, found) == found.load
    assert sorted(found.row) == sorted(problem["row"])
    assert (found.row == problem["row"]) == (found.swaps == 0) or found.swaps > 1
    assert copies_of(problem, found.row) <= copies_of(problem, problem["row"])
    times = [Fraction(load, pace * problem["ranks"]) for load, pace in zip(found.load, problem["paces"], strict=True)]
    assert max(times) >= found.bound
    gpus = list(range(len(problem["paces"])))
    assert near(problem, found, gpus) == most_near(problem, found, gpus)
    assert near(problem, found, problem["nodes"]) == most_near(problem, found, problem["nodes"])
    if problem["within_nodes"]:
        each = len(found.row) // len(gpus)
        for node in set(problem["nodes"]):
            slots = [slot for slot in range(len(found.row)) if problem["nodes"][slot // each] == node]
            assert sorted(found.row[slot] for slot in slots) == sorted(problem["row"][slot] for slot in slots)


def least_possible(problem):
    """The least largest load by pace of all ways to give units to GPUs."""
    graph = Graph(problem["row"], problem["paces"])
    base = [0] * len(graph.paces)
    for expert, gpu in graph.alone.items():
        base[gpu] += problem["tokens"][expert] * problem["ranks"]
    least = None
    for ways in itertools.product(*(parts(problem["ranks"], list(graph.copies[expert])) for expert in graph.split)):
        load = base[:]
        for expert, way in zip(graph.split, ways, strict=True):
            for gpu, units in way.items():
                load[gpu] += units * problem["tokens"][expert]
        most = max(each * FASTEST // pace for each, pace in zip(load, graph.paces, strict=True))
        least = most if least is None else min(least, most)
    return least


def parts(units, gpus):
    """All ways to give units to GPUs."""
    for cuts in itertools.combinations(range(units + len(gpus) - 1), len(gpus) - 1):
        ends = (-1, *cuts, units + len(gpus) - 1)
        yield {gpu: ends[i + 1] - ends[i] - 1 for i, gpu in enumerate(gpus)}


def test_most_small_layers_are_as_good_as_can_be():
    best = 0
    for seed in range(200):
        draw = random.Random(seed)
        gpus = draw.randint(2, 4)
        row = [*range(2 * gpus - 3), *(draw.randrange(2 * gpus - 3) for _ in range(3))]
        draw.shuffle(row)
        tokens = [draw.randint(0, 100) for _ in range(2 * gpus - 3)]
        problem = {"row": row, "paces": [1] * gpus, "tokens": tokens, "ranks": draw.choice([3, 4, 5])}
        found, least = StaticDispatch(**problem), least_possible(problem)
        assert max(found.load) * FASTEST >= least
        best += max(found.load) * FASTEST == least
    assert best > 190


def test_swaps_and_chains_help():
    """On average, in random layers."""
    start, chains, swaps = [], [], []
    for seed in range(100):
        problem = random_problem(seed) | {"tolerance": 0, "within_nodes": False}
        problem["tokens"] = [tokens + 1 for tokens in problem["tokens"]]
        least = sum(problem["tokens"]) / sum(problem["paces"])
        for times, limits in (
            (start, {"most_swaps": 0, "tolerance": 1 << 30}),
            (chains, {"most_swaps": 0}),
            (swaps, {"most_swaps": 99}),
        ):
            found = StaticDispatch(**problem | limits)
            loads = zip(found.load, problem["paces"], strict=True)
            times.append(max(load / pace for load, pace in loads) / problem["ranks"] / least)
    assert np.mean(swaps) < np.mean(chains) < np.mean(start)


def test_vectors_are_those_of_the_definition():
    assert FILE.read_text() == text()


@pytest.mark.skipif(not DATA.exists(), reason="no measured loads: ../shared/data is not there")
def test_measured_loads():
    """What an even split of BEST loses when ranks use one replica each comes back."""
    tokens = np.loadtxt(DATA / "deepseek-v3_prefill-in2048_L58xE256.csv", delimiter=",").astype(np.int64)[::12]
    with eplb.Context() as context:
        placement = context.solve(tokens, num_slots=288, num_gpus=32).physical_to_logical.tolist()
    imbalance = {0: [], 64: []}
    for row, weights in zip(placement, tokens.tolist(), strict=True):
        for swaps, found in imbalance.items():
            answer = StaticDispatch(row, [1] * 32, weights, tolerance=32, most_swaps=swaps)
            found.append(max(answer.load) / np.mean(answer.load))
            assert Split(Graph(row, [1] * 32), weights).bound * 32 <= Fraction(sum(weights)) * Fraction(10001, 10000)
    assert np.mean(imbalance[0]) < 1.009
    assert max(imbalance[64]) < 1.0006
