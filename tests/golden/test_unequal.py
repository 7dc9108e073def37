"""Clusters: the library against the plain program, slot by slot, and its figures against exact ones."""

import random
from fractions import Fraction

import eplb
import numpy as np
import pytest
from packing import STRATEGIES
from reference import Options, Problem
from unequal import gpus_of, solve


def random_cluster(draw, nodes, per_node, places, least, speeds):
    """(slots, speeds) of equal nodes with at least so many slots on each."""
    while True:
        slots = [draw.choice([places, draw.randint(0, places)]) for _ in range(per_node)]
        if sum(slots) >= least:
            break
    pace = [draw.choice([1, 1, 0.7, 0.5, 1.9, 0.001]) if speeds else 1 for _ in slots]
    return slots * nodes, pace * nodes


def random_problem(draw, speeds):
    nodes, per_node = draw.choice([1, 1, 2]), draw.randint(1, 5)
    groups = nodes * draw.randint(1, 2)
    experts = groups * draw.randint(1, 4)
    places = draw.randint(-(-experts // (nodes * per_node)), -(-experts // (nodes * per_node)) + 3)
    slots, pace = random_cluster(draw, nodes, per_node, places, experts // nodes, speeds)
    top = draw.choice([3, 1000, 2**40])
    weights = [[draw.choice([0, draw.randint(0, top)]) for _ in range(experts)] for _ in range(2)]
    cap = draw.choice([0, -(-sum(slots) // experts), -(-sum(slots) // experts) + 1])
    problem = Problem(places * nodes * per_node, nodes * per_node, nodes, groups, "hierarchical")
    return weights, problem, slots, pace, Options(draw.randint(0, 2**64 - 1), cap, draw.choice(["fast", "max"]))


def solve_with(context, name, weights, problem, slots, pace, options):
    return context.solve(
        weights,
        problem.num_slots,
        num_groups=problem.num_groups,
        cluster=eplb.Cluster(num_nodes=problem.num_nodes, slots=slots, speed=pace),
        strategy=name,
        policy=problem.policy,
        effort=options.effort,
        seed=options.seed,
        max_replicas=options.max_replicas or None,
    )


@pytest.mark.parametrize("seed", range(120))
def test_the_library_is_the_plain_program(seed):
    draw = random.Random(seed)
    speeds = seed % 3 > 0
    weights, problem, slots, pace, options = random_problem(draw, speeds)
    places = problem.num_slots // problem.num_gpus
    if slots == [places] * len(slots) and len({p for p, s in zip(pace, slots, strict=True) if s}) == 1:
        pytest.skip("equal GPUs")
    gpus = gpus_of(places, slots, pace)
    with eplb.Context() as context:
        for name in ("best", *STRATEGIES):
            if name == "greedy" and len(set(gpus.pace)) > 1:
                continue
            own = Options(options.seed, 0, options.effort) if name == "greedy" else options
            plan = solve_with(context, name, weights, problem, slots, pace, own)
            for layer, row in enumerate(weights):
                if name == "best":
                    continue
                want = solve(name, row, problem, gpus, own)
                assert plan.physical_to_logical[layer].tolist() == want.physical_to_logical, name
                assert plan.replica_slots[layer].tolist() == want.replica_slots, name
                assert plan.replica_count[layer].tolist() == want.replica_count, name
            check_figures(context, plan, weights, problem, slots, pace, own.max_replicas)


def check_figures(context, plan, weights, problem, slots, pace, cap):
    """Loads, times, duplicates and what is lost with a GPU, from the maps alone."""
    places = problem.num_slots // problem.num_gpus
    count, placed = plan.replica_count, plan.physical_to_logical
    listed = plan.logical_to_physical
    lost = []
    for layer, row in enumerate(weights):
        on = [[e for e in placed[layer][g * places : (g + 1) * places] if e >= 0] for g in range(problem.num_gpus)]
        assert [len(held) for held in on] == slots
        for e in range(len(row)):
            assert [s for s in listed[layer, e] if s >= 0] == list(listed[layer, e][: count[layer, e]])
            assert all(placed[layer, s] == e for s in listed[layer, e][: count[layer, e]])
        loads = [sum(Fraction(row[e], int(count[layer, e])) for e in held) for held in on]
        assert np.allclose(plan.gpu_load[layer], [float(load) for load in loads], rtol=1e-12)
        speed = [Fraction(p) for p in pace]
        total = sum(s for s, n in zip(speed, slots, strict=True) if n)
        times = [load / s for load, s in zip(loads, speed, strict=True)]
        want = float(max(times) * total / sum(row)) if sum(row) else 1.0
        assert plan.imbalance[layer] == pytest.approx(max(want, 1.0), rel=1e-9)
        open_gpus = sum(n > 0 for n in slots)
        scaled = max(times) * total / open_gpus
        assert Fraction(plan.bound[layer]) <= scaled * (1 + Fraction(1, 10**12))
        assert plan.duplicates[layer] == sum(len(held) - len(set(held)) for held in on)
        lost.append(max(sum(held.count(e) == count[layer, e] for e in set(held)) for held in on))
    assert plan.report.experts_on_one_gpu == max(lost)
    report = context.evaluate(placed, max_replicas=cap or None)
    for name in ("imbalance", "bound", "layer_duplicates"):
        assert np.array_equal(getattr(report, name), getattr(plan.report, name)), name
    assert report.experts_on_one_gpu == max(lost)


def test_a_closed_slot_holds_nothing():
    weights = np.arange(1, 9).reshape(1, 8)
    cluster = eplb.Cluster(slots=[3, 2, 3, 0])
    with eplb.Context() as context:
        plan = context.solve(weights, 12, cluster=cluster)
        placed = plan.physical_to_logical.copy()
        assert (placed.reshape(4, 3)[[1, 3, 3, 3], [2, 0, 1, 2]] == -1).all()
        placed[0, 5] = 3
        with pytest.raises(eplb.InvalidPlacement, match=r"slot 5\] is 3, must be -1: GPU 1 has 2 of 3 slots open"):
            context.evaluate(placed)


def test_an_open_slot_may_be_empty():
    weights = [[4.0, 2.0, 1.0]]
    with eplb.Context() as context:
        report = context.evaluate([[0, 1, 2, -1]], weights, num_gpus=2)
        assert report.imbalance[0] == pytest.approx(6 / 3.5)
        assert report.bound[0] <= 6 and report.duplicates == 0 and report.experts_on_one_gpu == 2
        with pytest.raises(eplb.InvalidPlacement, match="no replica of expert 2"):
            context.evaluate([[0, 1, -1, -1]], num_gpus=2)


def test_speeds_are_refused_by_name():
    cluster = eplb.Cluster(speed=[1, 0.5])
    with eplb.Context() as context, pytest.raises(eplb.InvalidArgument, match="strategy is greedy, .* no speeds"):
        context.solve([[1, 2, 3, 4]], 4, cluster=cluster, strategy="greedy")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"slots": [2, 2, 2, 1]}, "GPU 3 has 1 slots and GPU 1, in its place on node 0, 2"),
        ({"speed": [1, 1, 1, 2]}, "GPUs 3 and 1, in its place on node 0, differ in speed"),
        ({"node": [0, 1, 0, 1]}, "GPU 1 is on node 1, must be on 0"),
    ],
)
def test_hierarchical_needs_equal_nodes(arrays, words):
    cluster = eplb.Cluster(num_gpus=4, num_nodes=2, **arrays)
    with eplb.Context() as context:
        for policy in ("hierarchical", "auto"):
            with pytest.raises(eplb.InvalidArgument, match=f"hierarchical policy needs equal nodes .* {words}"):
                context.solve([[1, 2, 3, 4]], 8, num_groups=2, cluster=cluster, policy=policy)
        assert context.solve([[1, 2, 3, 4]], 8, num_groups=2, cluster=cluster, policy="global").report


def test_only_ratios_of_speeds_matter():
    weights = np.random.default_rng(1).lognormal(3, 1, (2, 32))
    with eplb.Context() as context:
        plans = [
            context.solve(weights, 48, cluster=eplb.Cluster(speed=[scale, scale / 2] * 4)).physical_to_logical
            for scale in (1.0, 2.0**-1000, 2.0**900)
        ]
    assert all(np.array_equal(plans[0], plan) for plan in plans)


def test_a_plan_keeps_its_cluster():
    """Also when its context has gone on, and in another process."""
    import pickle

    cluster, other = eplb.Cluster(slots=[3, 0, 3, 2], speed=[1, 1, 0.5, 1], node=[0, 1, 1, 0]), eplb.Cluster(4)
    weights = np.random.default_rng(2).lognormal(3, 1, (2, 7))
    current = np.tile(np.arange(12) % 7, (2, 1))
    with eplb.Context() as context:
        read = context.solve(weights, 12, cluster=cluster, current=current)
        want = (read.report.to_dict(), read.moves.table().tolist(), read.gpu_load.tolist(), read.fingerprint)
        late = context.solve(weights, 12, cluster=cluster, current=current)
        context.solve(weights + 1, 12, cluster=other)
    for plan in (late, pickle.loads(pickle.dumps(late))):
        report = plan.report.to_dict()
        for name in ("microseconds", "context_bytes"):
            report[name] = want[0][name]
        assert (report, plan.moves.table().tolist(), plan.gpu_load.tolist(), plan.fingerprint) == want
        assert plan.replica_slots[0, -4:].tolist() == [-1] * 4


@pytest.mark.parametrize("seed", range(20))
def test_sources_are_on_the_node_where_one_is(seed):
    """Nodes of any GPUs, not consecutive and not equally many."""
    draw = np.random.default_rng(seed)
    gpus, places, experts = 9, 4, 20
    node = draw.integers(0, 3, gpus)
    slots = np.where(draw.random(gpus) < 0.3, draw.integers(0, 4, gpus), places)
    slots[:6] = places
    cluster = eplb.Cluster(num_nodes=3, slots=slots, node=node)
    current = draw.integers(-1, experts, (2, gpus * places))
    with eplb.Context() as context:
        plan = context.solve(draw.lognormal(3, 1, (2, experts)), gpus * places, cluster=cluster, current=current)
    crossing = 0
    for layer, (before, after) in enumerate(zip(current, plan.physical_to_logical, strict=True)):
        for slot, expert in enumerate(after):
            source = plan.moves.source[layer, slot]
            holders = np.flatnonzero(before == expert)
            if expert < 0 or len(holders) == 0:
                assert source == (-1 if expert < 0 else -2)
                continue
            assert source in holders
            near = [(h // places == slot // places, node[h // places] == node[slot // places]) for h in holders]
            own = (source // places == slot // places, node[source // places] == node[slot // places])
            assert own == max(near)
            crossing += not own[1]
    assert plan.report.moves_between_nodes == crossing
    table = plan.moves.table()
    assert (table["kind"] == 2).sum() == crossing
