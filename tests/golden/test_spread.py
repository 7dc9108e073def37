"""BEST with the objective SPLIT: its search in plain Python, slot for slot, and what it is for."""

import random

import eplb
import numpy as np
import pytest
from arithmetic import quantise
from split import Graph, Split
from spread import FASTEST, Layer, Spread
from unequal import gpus_of

UNIT = 1 << 20


def random_cluster(draw):
    """Experts, slots of a GPU, nodes, groups; then slots and speeds by GPU."""
    gpus, places = draw.randint(2, 8), draw.randint(2, 5)
    nodes = draw.choice([n for n in (1, 1, 2) if gpus % n == 0])
    each = draw.randint(gpus * places // nodes // 2, gpus * places // nodes)
    slots, speeds = [places] * gpus, [1] * gpus
    if nodes == 1 and draw.random() < 0.3:
        slots = [draw.randint(max(1, places - 2), places) for _ in slots]
        each = min(each, sum(slots))
    if nodes == 1 and draw.random() < 0.3:
        speeds = [draw.choice([1, 1, 0.7]) for _ in speeds]
    return each * nodes, places, nodes, slots, speeds


def layer_of(weights, places, nodes, slots, speeds):
    gpus = len(slots)
    pace = list(gpus_of(places, slots, speeds).pace)
    if len(set(pace)) == 1:
        pace = [FASTEST] * gpus
    return Layer(quantise(weights), places, slots, pace, [gpu * nodes // gpus for gpu in range(gpus)])


def solve(weights, places, nodes, slots, speeds, **options):
    cluster = eplb.Cluster(len(slots), num_nodes=nodes, slots=slots, speed=speeds)
    with eplb.Context() as context:
        return context.solve(
            np.array([weights]), places * len(slots), cluster=cluster, num_groups=nodes,
            policy="hierarchical" if nodes > 1 else "global", **options,
        )  # fmt: skip


def splits(plan, tokens, gpus):
    """Imbalances of tokens that are split as well as the placements allow."""
    rows = zip(plan.physical_to_logical.tolist(), tokens.tolist(), strict=True)
    return [max(Split(Graph(row, [1] * gpus), layer).load) * gpus / sum(layer) for row, layer in rows]


@pytest.mark.parametrize("ten", range(15))
def test_the_library_is_the_plain_program(ten):
    changed = 0
    for seed in range(10 * ten, 10 * ten + 10):
        draw = random.Random(seed)
        experts, *cluster = random_cluster(draw)
        top = draw.choice([3, 50, 100_000])
        weights = [draw.choice([0, draw.randint(0, top), draw.randint(1, top)]) for _ in range(experts)]
        weights[draw.randrange(experts)] = top
        options = {"effort": draw.choice(["fast", "normal"]), "seed": draw.randrange(2**64)}
        target = draw.choice([0, 0, 1.0, 1.1, 2.0])
        best = solve(weights, *cluster, **options)
        found = solve(weights, *cluster, **options, objective="split", target=target)
        if best.duplicates.any():  # these are parted at the end
            continue
        before = best.physical_to_logical[0].tolist()
        search = Spread(layer_of(weights, *cluster), before, int((target or 1.01) * UNIT), options["seed"])
        search.run(options["effort"])
        assert found.physical_to_logical[0].tolist() == search.placement(), seed
        changed += search.placement() != before
    assert changed


@pytest.mark.skipif(not DATA.exists(), reason="no measured loads: ../shared/data is not there")
@pytest.mark.parametrize(
    "traces", [("prefill-in1024", "prefill-in2048"), ("decode-in500out1500", "decode-in1000out1000")]
)
def test_drifting_loads(traces):
    """Of what splits over BEST's placements leave above the mean, two thirds go; an even split keeps its target."""
    before, after = (counts_of(DATA / f"deepseek-v3_{name}_L58xE256.csv")[0, ::6] for name in traces)
    with eplb.Context() as context:
        best, spread = (context.solve(before, 288, 32, objective=objective) for objective in ("sum", "split"))
    assert spread.imbalance.max() <= 1.01
    assert np.array_equal(best.replica_count, spread.replica_count)
    assert not spread.duplicates.any()
    assert np.mean(splits(spread, after, 32)) - 1 < (np.mean(splits(best, after, 32)) - 1) / 3


def test_a_layer_without_load_stays_as_it_is():
    with eplb.Context() as context:
        plans = [context.solve(np.zeros((1, 12)), 18, 6, objective=objective) for objective in ("sum", "split")]
    assert np.array_equal(plans[0].physical_to_logical, plans[1].physical_to_logical)
