"""BEST in plain Python against the library, slot for slot: on the golden vectors and on small random problems."""

import dataclasses
import itertools
import json
import random

import pytest
from arithmetic import Integer
from best import effort_of, group_attempts, search_chains
from best_counts import RULES, Node, Replicas, bound, count_by_rule
from edge_cases import near
from group_search import GroupSearch
from reference import EFFORTS, Options, Problem, solve
from test_reference import entry_weights
from vectors import FILE

EFFORT_OF = {"best": "normal", "best_fast": "fast"}


@pytest.fixture(scope="module")
def library():
    """solve() of the library: [L][S]."""
    eplb = pytest.importorskip("eplb")
    numpy = pytest.importorskip("numpy")
    with eplb.Context() as context:

        def placement(weights, problem, options):
            rows = numpy.array(weights, "int64" if isinstance(weights[0][0], int) else "float64")
            plan = context.solve(
                rows,
                **dataclasses.asdict(problem),
                strategy="best",
                effort=options.effort,
                seed=options.seed,
                max_replicas=options.max_replicas,
            )
            return plan.physical_to_logical.tolist()

        yield placement


def agree(library, weights, problem, options):
    expected = [layer.physical_to_logical for layer in solve("best", weights, problem, options)]
    assert library(weights, problem, options) == expected


def vector_answers():
    for entry in json.loads(FILE.read_text())["cases"]:
        for name in EFFORT_OF:
            if name in entry.get("answers", {}):
                yield pytest.param(entry, name, id=f"{entry['name']}-{name}")


@pytest.mark.parametrize(("entry", "name"), list(vector_answers()))
def test_the_library_answers_the_vectors(library, entry, name):
    """Reads nothing but the file: that the file is what the reference writes is test_reference.py's."""
    weights, slots = entry_weights(entry), entry["problem"]["num_slots"]
    options = Options(**{name: int(value) for name, value in entry.get("options", {}).items()}, effort=EFFORT_OF[name])
    flat = entry["answers"][name]["physical_to_logical"]
    expected = [flat[start : start + slots] for start in range(0, len(flat), slots)]
    assert library(weights, Problem(**entry["problem"]), options) == expected


def random_weights(draw, experts):
    """Loads of some law. Ties are where definitions part, so most laws have many."""
    law = draw.randrange(5)
    if law == 0:
        return [int(draw.lognormvariate(9, 0.8)) for _ in range(experts)]
    if law == 1:
        return [int(1e6 / (e + 1) ** 1.1) for e in draw.sample(range(experts), experts)]
    if law == 2:
        return [draw.randint(1, 5) for _ in range(experts)]
    if law == 3:
        return [draw.choice([0, int(draw.lognormvariate(6, 1.2))]) for _ in range(experts)]
    return [2**30 if e == 3 % experts else draw.randint(0, 1) for e in range(experts)]


def random_problem(draw):
    """One layer of some legal shape, few or many extras, sometimes with nodes and a cap."""
    nodes = draw.choice([1, 1, 1, 2, 3])
    groups, gpus, per_gpu = nodes * draw.randint(1, 4), draw.randint(1, 12), draw.randint(1, 7)
    slots = gpus * per_gpu
    experts = groups * draw.randint(1, max(1, nodes * slots // groups))
    slots, gpus = nodes * slots, nodes * gpus
    if experts > slots:
        experts = groups = nodes = 1
    cap = draw.choice([0, 0, 0, -(-slots // experts) + draw.randint(0, 2)])
    options = Options(draw.randint(0, 2**64 - 1), cap, draw.choice(EFFORTS[:2]))
    return [random_weights(draw, experts)], Problem(slots, gpus, nodes, groups), options


@pytest.mark.parametrize("seed", range(300))
def test_the_library_agrees_on_random_problems(library, seed):
    agree(library, *random_problem(random.Random(seed)))


@pytest.mark.parametrize("per_gpu", [2, 3, 4, 5])
def test_the_library_agrees_at_the_largest_effort(library, per_gpu):
    draw = random.Random(per_gpu)
    gpus = 30 // per_gpu
    for _ in range(4):
        experts = draw.randint(gpus, per_gpu * gpus - 1)
        options = Options(draw.randint(0, 2**64 - 1), effort="max")
        agree(library, [random_weights(draw, experts)], Problem(per_gpu * gpus, gpus), options)


@pytest.mark.parametrize(("experts", "gpus", "nodes"), [(18, 6, 1), (21, 7, 1), (30, 10, 1), (36, 12, 2)])
def test_packings_of_presets_at_the_largest_effort(library, experts, gpus, nodes):
    """Without redundancy, BEST at MAX is no worse than any preset, and sometimes needs one for that."""
    problem, won = Problem(experts, gpus, nodes, nodes), 0
    for seed in range(41, 47):
        weights = [near(1000, 900, experts, seed)]
        agree(library, weights, problem, Options(effort="max"))
        node = Node(Integer.read(weights[0]), experts, gpus, 0, 0, 0)
        effort = effort_of("max", experts)
        searched = search_chains(node, dataclasses.replace(effort, presets=False)).load
        won += search_chains(node, effort).load < searched
    assert won > 0


def test_efforts():
    """Steps and proposals of the shapes in docs/algorithms.md."""
    node = Node([1] * 256, 288, 32, 0, 0, 0)
    assert [effort_of(name, 288).steps(node) for name in EFFORTS] == [100, 592, 1744]
    assert [effort_of(name, 288).chains for name in EFFORTS] == [2, 3, 4]
    assert effort_of("max", 128).chains == 24
    assert [effort_of(name, 24).chains for name in EFFORTS] == [1, 1, 8]
    assert [group_attempts(name, 24, 3, 72) for name in EFFORTS] == [288, 576, 13968]
    assert [group_attempts("fast", groups, 2, 72) for groups in (16, 18)] == [None, 65536]


def test_the_bound_of_counts():
    """Three heavy replicas on two GPUs: two of them share one, with the lightest."""
    node = Node([10, 9, 8, 1, 1, 1], 6, 2, 0, 0, 0)
    assert bound(node, Replicas(node.weights, [1] * 6)) == 9 + 8 + 1


def test_rules_with_floors_fail_where_there_is_no_room():
    node = Node([100, 30, 1, 1, 1, 1], 12, 4, 0, 0, 0)
    assert count_by_rule(node, node.weights, RULES[7]) == [4, 4, 1, 1, 1, 1]
    assert count_by_rule(dataclasses.replace(node, max_replicas=3), node.weights, RULES[7]) is None


@pytest.mark.parametrize("seed", range(20))
def test_groups_on_nodes_are_optimal(seed):
    """Against all assignments of eight groups to two and to four nodes."""
    draw = random.Random(seed)
    sizes = [draw.randint(1, 50) for _ in range(8)]
    for nodes in (2, 4):
        node_of = GroupSearch(sizes, nodes, [g * nodes // 8 for g in range(8)], None).run()
        loads = [sum(s for s, n in zip(sizes, node_of, strict=True) if n == node) for node in range(nodes)]
        assert max(loads) == least_heaviest(tuple(sorted(sizes)), nodes)


def least_heaviest(sizes, nodes):
    """The least heaviest node of all assignments: the first group with every choice of companions."""
    if nodes == 1:
        return sum(sizes)
    best = sum(sizes)
    for others in itertools.combinations(range(1, len(sizes)), len(sizes) // nodes - 1):
        rest = tuple(s for i, s in enumerate(sizes) if i and i not in others)
        mine = sizes[0] + sum(sizes[i] for i in others)
        best = min(best, max(mine, least_heaviest(rest, nodes - 1)))
    return best
