"""eplb_static_dispatch against its plain definition, slot for slot: small random layers, and measured ones."""

import random
from fractions import Fraction
from pathlib import Path

import eplb
import numpy as np
import pytest
from split import UNIT
from static_dispatch import StaticDispatch
from static_dispatch_vectors import random_problem
from unequal import gpus_of

DATA = Path(__file__).parents[2].parent / "shared" / "data"
HUNDREDS = range(0, 600, 100)


def of_experts_that_are_there(problem):
    """The library refuses a placement without some: these get no number."""
    there = sorted(set(problem["row"]) - {-1})
    number = {-1: -1, **{expert: at for at, expert in enumerate(there)}}
    row, tokens = [number[expert] for expert in problem["row"]], [problem["tokens"][expert] for expert in there]
    return {**problem, "row": row, "tokens": tokens, "within_nodes": False} if there else None


def random_groups(seed):
    """Groups that are whole on their nodes, which swaps must keep."""
    draw = random.Random(seed)
    nodes, gpus, each = draw.randint(2, 4), draw.randint(1, 4), draw.randint(1, 4)
    experts = draw.randint(1, gpus * each)  # of a group
    row = []
    for group in draw.sample(range(nodes), nodes):
        first = group * experts
        slots = [*range(first, first + experts)]
        slots += (draw.randrange(first, first + experts) for _ in range(gpus * each - experts))
        draw.shuffle(slots)
        row += slots
    return {
        "row": row,
        "paces": [1] * (nodes * gpus),
        "tokens": [draw.randint(0, 100) for _ in range(nodes * experts)],
        "ranks": draw.choice([nodes * gpus, nodes, 5]),
        "nodes": [gpu // gpus for gpu in range(nodes * gpus)],
        "tolerance": draw.choice([0, 0, 5000]),
        "most_swaps": draw.choice([0, 3, None]),
        "within_nodes": True,
        "closed": [],
    }


def answer_of(context, problem):
    paces, row, node = problem["paces"], problem["row"], problem["nodes"]
    slots = [0 if gpu in problem["closed"] else len(row) // len(paces) for gpu in range(len(paces))]
    groups = {}
    if problem["within_nodes"]:
        groups = {"num_groups": len(set(node)), "policy": "hierarchical"}
    return context.static_dispatch(
        [problem["tokens"]],
        [row],
        cluster=eplb.Cluster(slots=slots, speed=paces, node=node),
        num_ranks=problem["ranks"],
        max_swaps=problem["most_swaps"],
        tolerance=problem["tolerance"] / UNIT,
        **groups,
    )


def definition_of(problem):
    """With paces as the library has them, which are not quite those of the problem."""
    paces, each = problem["paces"], len(problem["row"]) // len(problem["paces"])
    slots = [0 if gpu in problem["closed"] else each for gpu in range(len(paces))]
    most = 10**9 if problem["most_swaps"] is None else problem["most_swaps"]
    return StaticDispatch(**{**problem, "paces": list(gpus_of(each, slots, paces).pace), "most_swaps": most})


def check(context, problem):
    found, known = answer_of(context, problem), definition_of(problem)
    assert found.slot[0].tolist() == known.table
    assert found.placement[0].tolist() == known.row
    assert found.ranks[0].tolist() == known.units
    check_figures(problem, found)
    return known.swaps


def check_figures(problem, found):
    """From the table alone, in fractions: what a rank uses holds the expert, ranks are counted, loads are theirs."""
    (table,), (row,), ranks = found.slot.tolist(), found.placement.tolist(), problem["ranks"]
    paces, tokens, each = problem["paces"], problem["tokens"], len(problem["row"]) // len(problem["paces"])
    uses, loads = [0] * len(row), [Fraction()] * len(paces)
    for of_rank in table:
        for expert, slot in enumerate(of_rank):
            assert row[slot] == expert
            uses[slot] += 1
            loads[slot // each] += Fraction(tokens[expert], ranks)
    assert found.ranks[0].tolist() == uses
    assert sorted(row) == sorted(problem["row"])
    assert found.slots_written[0] == sum(now != then for now, then in zip(row, problem["row"], strict=True))
    assert found.gpu_load[0].tolist() == pytest.approx([float(load) for load in loads], rel=1e-12)
    is_open = [gpu for gpu in range(len(paces)) if gpu not in problem["closed"]]
    mean_pace = Fraction(sum(paces[gpu] for gpu in is_open), len(is_open))
    busiest = max(loads[gpu] * mean_pace / paces[gpu] for gpu in is_open)
    mean = Fraction(sum(tokens), len(is_open))
    assert found.imbalance[0] == pytest.approx(float(busiest / mean) if mean else 1, rel=1e-12)
    # Speeds are rounded for the search and for the set that the bound is of, not for what it comes to.
    assert found.bound[0] <= float(busiest) * (1 + 1e-12)
    if problem["most_swaps"] != 0:
        assert found.bound[0] == pytest.approx(float(mean), rel=1e-11)


@pytest.mark.parametrize("first", HUNDREDS)
def test_random_layers(first):
    swaps = 0
    with eplb.Context() as context:
        for seed in range(first, first + 100):
            problem = of_experts_that_are_there(random_problem(seed))
            swaps += check(context, problem) if problem else 0
    assert swaps > 20


def test_groups_stay_on_their_nodes():
    swaps = differ = 0
    with eplb.Context() as context:
        for seed in range(300):
            problem = random_groups(seed)
            made = check(context, problem)
            swaps += made
            anywhere = answer_of(context, {**problem, "within_nodes": False})
            differ += anywhere.placement.tolist() != answer_of(context, problem).placement.tolist()
    assert swaps > 100
    assert differ > 50


@pytest.mark.skipif(not DATA.exists(), reason="no measured loads: ../shared/data is not there")
@pytest.mark.parametrize(("slots", "gpus", "nodes"), [(288, 32, 4), (320, 64, 1), (288, 72, 6)])
@pytest.mark.parametrize("swaps", [0, 5, None])
def test_measured_layers(slots, gpus, nodes, swaps):
    """Of loads that a placement was made for, and of others."""
    names = (f"deepseek-v3_prefill-{inputs}_L58xE256.csv" for inputs in ("in512", "in2048"))
    before, after = (np.loadtxt(DATA / name, delimiter=",").astype(np.int64)[::19] for name in names)
    problem = {"paces": [1] * gpus, "nodes": [gpu * nodes // gpus for gpu in range(gpus)], "closed": []}
    problem |= {"ranks": gpus, "most_swaps": swaps, "tolerance": 0, "within_nodes": False}
    with eplb.Context(num_threads=2) as context:
        plan = context.solve(before, slots, gpus)
        for tokens in before, after:
            found = context.static_dispatch(tokens, plan, num_nodes=nodes, max_swaps=swaps)
            for layer, row in enumerate(plan.physical_to_logical.tolist()):
                known = definition_of({**problem, "row": row, "tokens": tokens[layer].tolist()})
                assert found.slot[layer].tolist() == known.table
                assert found.placement[layer].tolist() == known.row
