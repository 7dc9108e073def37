"""What a rebalance for splits changes: the library's placements are those of the plain definition."""

import random

import eplb
import numpy as np
import pytest
from split import Graph, Split
from split_moves import FASTEST, Limits, SplitMoves

UNIT = 1 << 20  # of a target
TRIES = {"fast": 32, "normal": 128, "max": 512}


def placement(draw, experts, gpus, each):
    """Every expert somewhere, and no GPU has one twice: there are at least as many experts as slots of a GPU."""
    dealt = draw.sample(range(experts), experts)
    on = [dealt[gpu::gpus] for gpu in range(gpus)]
    for experts_of_gpu in on:
        others = sorted(set(range(experts)) - set(experts_of_gpu))
        experts_of_gpu += draw.sample(others, each - len(experts_of_gpu))
        draw.shuffle(experts_of_gpu)
    return [expert for experts_of_gpu in on for expert in experts_of_gpu]


def quanta(weights):
    """As the library's searches have them: times the largest power of two for which they sum to less than 2^29."""
    shift = 0
    while sum(weights) << (shift + 1) < 1 << 29:
        shift += 1
    return [weight << shift for weight in weights]


def goal_of(tokens, paces, target, each):
    mean = -(-sum(tokens) * FASTEST // sum(paces))
    if target == 0:
        return mean
    exact = sum(tokens) * int(target * UNIT) // UNIT * FASTEST // sum(paces)
    return max(mean, exact - min(exact // 1024, 2 * each))


def random_case(seed):
    draw = random.Random(seed)
    gpus, each = draw.randint(2, 6), draw.randint(2, 4)
    experts = draw.randint(each, gpus * each - 1)
    row = placement(draw, experts, gpus, each)
    weights = [draw.randint(1, draw.choice([3, 40, 1000])) for _ in range(experts)]
    options = {
        "target": draw.choice([0.0, 1.02, 1.1, 1.5]),
        "max_moves": draw.choice([None, 1, 2, 5]),
        "max_arrivals": draw.choice([None, None, 1]),
        "max_replicas": draw.choice([None, None, max(row.count(expert) for expert in row)]),
        "effort": draw.choice(list(TRIES)),
    }
    return gpus, each, row, weights, options


@pytest.mark.parametrize("hundred", range(3))
def test_the_librarys_placements(hundred):
    changed = 0
    with eplb.Context() as context:
        for seed in range(100 * hundred, 100 * hundred + 100):
            gpus, each, row, weights, options = random_case(seed)
            tokens, paces = quanta(weights), [FASTEST] * gpus
            limits = Limits(
                options["max_moves"] if options["max_moves"] is not None else 1 << 30,
                options["max_arrivals"] or 1 << 30,
                options["max_replicas"] or 1 << 30,
                TRIES[options["effort"]],
            )
            goal = goal_of(tokens, paces, options["target"], each)
            wanted = SplitMoves(row, row, tokens, paces, [0] * gpus, goal, limits).run()
            current = np.array([row])
            plan = context.rebalance(np.array([weights]), current, gpus, objective="split", policy="global", **options)
            assert plan.physical_to_logical.tolist() == [wanted], seed
            changed += wanted != row
    assert changed > 30


def test_a_step_that_helps_is_found_among_all():
    """With one move left, no replacement and no exchange would have been better than what was done."""
    better = 0
    for seed in range(60):
        gpus, each, row, weights, _ = random_case(seed)
        tokens, paces = quanta(weights), [FASTEST] * gpus
        goal = goal_of(tokens, paces, 1.02, each)
        moves = SplitMoves(row, row, tokens, paces, [0] * gpus, goal, Limits(1, 1, 1 << 30, 1 << 30))
        before, done = moves.split().above, moves.run()
        after = SplitMoves(done, done, tokens, paces, [0] * gpus, goal, Limits(0, 0, 0, 0)).split().above
        least = before
        for slot in (slot for slot in range(len(row)) if row.count(row[slot]) > 1):
            for expert in set(range(len(weights))) - moves.on(row, slot // each):
                other = row[:slot] + [expert] + row[slot + 1 :]
                trial = SplitMoves(other, other, tokens, paces, [0] * gpus, goal, Limits(0, 0, 0, 0))
                heavy = tokens[expert] * 64 > goal
                least = min(least, trial.split().above) if heavy else least
        assert after <= least or after == before, seed
        better += after < before
        assert max(Split(Graph(done, paces), tokens).load) <= max(Split(Graph(row, paces), tokens).load)
    assert better > 10
