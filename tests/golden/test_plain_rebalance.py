"""REBALANCE in plain Python against the library, slot for slot: small random problems, and layers of measured loads."""

import random

import eplb
import numpy as np
import pytest
from arithmetic import quantise
from move_shares import shares
from rebalance import ANY, UNIT, Asked, Rebalance, homes
from rebalance_state import FASTEST, Old
from reference import Options, Problem, solve
from test_real_traces import counts_of, traces
from unequal import gpus_of


def random_current(draw, weights, problem):
    """Good for other loads, with holes and experts in wrong places."""
    other = [[draw.choice([w, draw.randint(0, 100)]) for w in row] for row in weights]
    stays = draw.choice([0.5, 0.9, 1])
    return [
        [e if draw.random() < stays else draw.choice([-1, draw.randrange(len(row))]) for e in layer.physical_to_logical]
        for row, layer in zip(other, solve("lpt_swap", other, problem, Options()), strict=True)
    ]


def random_sizes(draw):
    places = draw.randint(1, 4)
    if draw.random() < 0.7:
        gpus = draw.randint(2, 6)
        return draw.randint(1, places * gpus), Problem(places * gpus, gpus, 1, 1, "global")
    nodes, each = 2, draw.randint(1, 3)
    groups = nodes * draw.randint(1, min(2, places * each))
    experts = groups * draw.randint(1, places * each * nodes // groups)
    return experts, Problem(places * each * nodes, each * nodes, nodes, groups, "hierarchical")


def random_gpus(draw, experts, problem):
    """Slots and speeds."""
    places, gpus = problem.num_slots // problem.num_gpus, problem.num_gpus
    slots, speeds = [places] * gpus, [1] * gpus
    if problem.policy == "global" and draw.random() < 0.4:
        while sum(few := [draw.choice([0, places, places, draw.randint(0, places)]) for _ in slots]) < experts:
            pass
        slots = few
    if problem.policy == "global" and draw.random() < 0.3:
        speeds = [draw.choice([1, 0.5, 0.3]) for _ in slots]
    return slots, speeds


def random_limits(draw, problem, layers):
    chosen = {
        "max_moves": draw.randint(0, problem.num_slots),
        "max_moves_total": draw.randint(0, layers * problem.num_slots // 2),
        "max_arrivals": draw.randint(1, 3),
        "target": draw.choice([0, 1, 1.02, 1.1, 1.5, 40]),
        "move_price": draw.choice([1e-4, 1e-2, 0.2]),
        "allow_empty": True,
    }
    return {name: value for name, value in chosen.items() if draw.random() < 0.3}


def target_of(limits):
    if "target" in limits:
        return limits["target"]
    return 0 if {"max_moves", "max_moves_total", "move_price"} & set(limits) else 1.02


def old_layer(weights, current, problem, slots, speeds, limits):
    places, gpus = problem.num_slots // problem.num_gpus, problem.num_gpus
    pace = gpus_of(places, slots, speeds).pace
    if len({p for p, count in zip(pace, slots, strict=True) if count}) == 1:
        pace = [FASTEST] * gpus
    node = [gpu * problem.num_nodes // gpus for gpu in range(gpus)]
    was = [current[gpu * places : (gpu + 1) * places] for gpu in range(gpus)]
    most_arrivals = limits.get("max_arrivals", ANY)
    old = Old(quantise(weights), places, slots, pace, node, was, sum(map(bool, slots)), most_arrivals)
    if problem.policy == "hierarchical":
        old.home = homes(old, problem.num_nodes, problem.num_groups)
    return old


def best(weights, problem, options):
    return [layer.physical_to_logical for layer in solve("best", weights, problem, options)]


def best_of_library(weights, problem, slots, speeds, options):
    """GPUs differ, and BEST has no plain program for such."""
    cluster = eplb.Cluster(problem.num_gpus, num_nodes=problem.num_nodes, slots=slots, speed=speeds)
    with eplb.Context() as context:
        return context.solve(
            np.array(weights), num_slots=problem.num_slots, cluster=cluster, num_groups=problem.num_groups,
            policy=problem.policy, effort=options.effort, seed=options.seed,
        ).physical_to_logical.tolist()  # fmt: skip


def plain(weights, current, problem, slots, speeds, limits, options):
    """[L][S]."""
    total = limits.get("max_moves_total")
    asked = Asked(
        limits.get("max_moves", ANY), int(target_of(limits) * UNIT), int(limits.get("move_price", 0) * UNIT),
        total is not None, limits.get("allow_empty", False), options.effort, options.seed,
    )  # fmt: skip
    layers = [old_layer(row, now, problem, slots, speeds, limits) for row, now in zip(weights, current, strict=True)]
    equal = all(count == layers[0].rows for count in slots) and set(layers[0].pace) == {FASTEST}
    fresh = best(weights, problem, options) if equal else best_of_library(weights, problem, slots, speeds, options)
    nodes = problem.num_nodes if problem.policy == "hierarchical" else 1
    programs = [Rebalance(old, asked, own, nodes) for old, own in zip(layers, fresh, strict=True)]
    if total is not None:
        most = min(problem.num_slots, asked.budget, total)
        paths = [program.path(most, any(row)) for program, row in zip(programs, weights, strict=True)]
        share = shares(paths, [program.mean for program in programs], total)
        for program, budget in zip(programs, share, strict=True):
            program.budget = budget
    return [program.solve(any(row)) for program, row in zip(programs, weights, strict=True)]


def is_kept(placements, current, problem, limits):
    """Is every expert somewhere, within the limits? What a layer has of a budget for all is not looked at."""
    total = 0
    for then, now in zip(placements, current, strict=True):
        rows = [np.reshape(each, (problem.num_gpus, -1)).tolist() for each in (now, then)]
        arrivals = [len(set(after) - set(before) - {-1}) for before, after in zip(*rows, strict=True)]
        if max(arrivals) > limits.get("max_arrivals", ANY) or sum(arrivals) > limits.get("max_moves", ANY):
            return False
        total += sum(arrivals)
    return total <= limits.get("max_moves_total", ANY)


def library(weights, current, problem, slots, speeds, limits, options):
    cluster = eplb.Cluster(problem.num_gpus, num_nodes=problem.num_nodes, slots=slots, speed=speeds)
    with eplb.Context() as context:
        return context.rebalance(
            np.array(weights), np.array(current), cluster=cluster, num_groups=problem.num_groups, policy=problem.policy,
            effort=options.effort, seed=options.seed, **limits,
        ).physical_to_logical.tolist()  # fmt: skip


@pytest.mark.parametrize("seed", range(150))
def test_the_library_is_the_plain_program(seed):
    draw = random.Random(seed)
    experts, problem = random_sizes(draw)
    slots, speeds = random_gpus(draw, experts, problem)
    layers, top = draw.randint(1, 2), draw.choice([3, 1000])
    weights = [
        [draw.choice([0, draw.randint(0, top), draw.randint(0, top)]) for _ in range(experts)] for _ in range(layers)
    ]
    current = random_current(draw, weights, problem)
    limits = random_limits(draw, problem, layers)
    options = Options(draw.randint(0, 2**64 - 1), 0, draw.choice(["fast", "fast", "normal"]))
    case = weights, current, problem, slots, speeds, limits, options
    want = plain(*case)
    try:
        found = library(*case)
    except eplb.InvalidArgument as error:
        assert "max_moves" in str(error) or "max_arrivals" in str(error)
        assert "leaves" in str(error) or not is_kept(want, current, problem, limits)
        return
    assert found == want


@pytest.mark.parametrize("path", traces() or [None], ids=lambda path: path.name if path else "no traces")
def test_measured_loads(path):
    """From what was good for the layer before: the few moves of a descent."""
    if path is None:
        pytest.skip("no measured loads: ../shared/data is not there")
    counts = counts_of(path)[0]
    experts = min(counts.shape[1], 32)
    weights = [counts[layer, :experts].tolist() for layer in (0, -1)]
    problem = Problem(experts + 8, 8, 1, 1, "global")
    current = [layer.physical_to_logical for layer in solve("lpt_swap", weights[::-1], problem, Options())]
    case = (
        current,
        problem,
        [problem.num_slots // 8] * 8,
        [1] * 8,
        {"max_moves": 4, "target": 1.3},
        Options(1, 0, "fast"),
    )
    assert library(weights, *case) == plain(weights, *case)
