"""Policy SOFT in plain Python against the library, slot for slot; and what answers on measured loads must be like."""

import itertools
import random
from fractions import Fraction

import eplb
import pytest
from reference import Problem
from soft_figures import check_row, doubles, imbalance_of, off_home_of, paid_of
from soft_homes import Homes, Node
from soft_layers import Question, solve, windows_of
from soft_library import Solved
from test_real_traces import DATA, counts_of

TOLERANCE = 1e-9


def random_loads(draw, experts):
    """Ties are where definitions part."""
    law = draw.randrange(5)
    if law == 0:
        return [int(1000 * draw.random() ** 3) for _ in range(experts)]
    if law == 1:
        return [draw.randint(1, 4) for _ in range(experts)]
    if law == 2:
        return [draw.choice([0, draw.randint(0, 1000)]) for _ in range(experts)]
    if law == 3:
        hot = draw.randrange(experts)
        return [10**6 if e == hot else draw.randint(0, 3) for e in range(experts)]
    return [0] * experts if draw.random() < 0.3 else [int(1e6 / (e + 1) ** 1.1) for e in range(experts)]


def random_cluster(draw, problem, experts):
    """Fields of a cluster, of which each may be missing."""
    gpus, rows, cluster = problem.num_gpus, problem.num_slots // problem.num_gpus, {}
    slots = [draw.choice([rows, rows, draw.randint(0, rows)]) for _ in range(gpus)]
    if draw.random() < 0.35 and sum(slots) >= experts:
        cluster["slots"] = slots
    if draw.random() < 0.3:
        cluster["speeds"] = [draw.choice([1, 1, 0.5, 0.3]) for _ in range(gpus)]
    if draw.random() < 0.3:
        cluster["nodes"] = [draw.randrange(problem.num_nodes) for _ in range(gpus)]
    return cluster


def random_prices(draw, nodes, columns):
    """By node and column; whole ones, of which many are equal."""
    prices = [[draw.randint(0, 5) for _ in range(columns)] for _ in range(nodes)]
    prices[0][0] = 5
    return prices


def random_question(draw, windows=1):
    """BEST's."""
    nodes = draw.randint(1, 4)
    gpus = draw.randint(max(nodes, 2), 5)
    experts, nodes = draw.randint(2, 9), draw.choice([nodes] * 15 + [gpus + 1])
    rows = -(-experts // gpus) + draw.randint(0, 1)
    groups = draw.randint(1, min(experts + 2, 2 * nodes + 2))
    problem = Problem(rows * gpus, gpus, nodes, groups, "soft")
    question = Question(
        [[random_loads(draw, experts)] for _ in range(windows)],
        problem,
        draw.choice([1.0, 1.01, 1.01, 1.05, 1.2, 2]),
        effort="normal" if rows * gpus < 8 and windows == 1 and draw.random() < 0.4 else "fast",
        cluster=random_cluster(draw, problem, experts),
        options={"seed": draw.randint(0, 2**64 - 1)},
    )
    if draw.random() < 0.3:
        open_slots = sum(question.gpus()[0])
        question.options["max_replicas"] = -(-open_slots // experts) + draw.randint(0, 1)
    if draw.random() < 0.3:
        question.options["allow_empty"] = True
    if draw.random() < 0.15:
        question.prices = random_prices(draw, nodes, draw.choice([experts, groups]))
    if windows > 1:
        question.apart, question.importance = True, draw.choice([None, [draw.random() for _ in range(windows)]])
    return question


def random_limits(draw, problem):
    chosen = {
        "max_moves": draw.randint(0, problem.num_slots),
        "max_moves_total": draw.randint(0, problem.num_slots),
        "max_arrivals": draw.randint(1, 3),
        "target": draw.choice([0, 1, 1.02, 1.3, 40]),
        "move_price": draw.choice([1e-3, 0.2, 0.5]),
        "allow_empty": True,
    }
    return {name: value for name, value in chosen.items() if draw.random() < 0.22}


def then_rebalanced(draw, question, placement):
    """The same for other loads, from what is good for these, with holes and experts in wrong places."""
    experts, layers = len(question.weights[0][0]), draw.randint(1, 2)

    def moved(expert):
        return expert if draw.random() < 0.9 else draw.choice([-1, draw.randrange(experts)])

    question.weights = [[random_loads(draw, experts) for _ in range(layers)] for _ in question.weights]
    question.current = [[moved(expert) for expert in placement] for _ in range(layers)]
    question.options = {"seed": question.options["seed"], **random_limits(draw, question.problem)}
    question.strategy = "rebalance"
    return question


def check_answer(question, solved):
    """All invariants, and the figures that the library gives."""
    problem, cluster = question.problem, question.cluster
    slots, _, node = question.gpus()
    speeds = cluster.get("speeds") or [1] * len(slots)
    target = question.asked().target / (1 << 20)
    for layer, row in enumerate(solved.placement):
        weights = [sum(column) for column in zip(*question.layers[layer], strict=True)]
        check_row(row, len(weights), slots, question.options.get("max_replicas", 0))
        assert [row.count(expert) for expert in range(len(weights))] == solved.replica_count[layer]
        assert doubles(row, slots) == solved.duplicates[layer]
        assert float(imbalance_of(weights, row, slots, speeds)) == pytest.approx(solved.imbalance[layer], rel=TOLERANCE)
        if question.prices:
            share, bound = paid_of(weights, row, slots, node, question.prices)
        else:
            share, bound = off_home_of(weights, row, slots, speeds, node, problem.num_groups, target)
        assert float(share) == pytest.approx(solved.off_home[layer], rel=TOLERANCE, abs=TOLERANCE)
        assert float(bound) == pytest.approx(solved.bound[layer], rel=1e-5, abs=2e-6)
    assert question.options.get("allow_empty") or question.strategy == "rebalance" or all_full(question, solved)


def all_full(question, solved):
    open_slots = sum(question.gpus()[0])
    return all(sum(expert >= 0 for expert in row) == open_slots for row in solved.placement)


def agree(question):
    solved = Solved(question)
    assert solved.placement == solve(question)
    check_answer(question, solved)
    return solved


def agree_on_both(seed, windows):
    draw = random.Random(seed)
    question = random_question(draw, windows)
    placement = agree(question).placement[0]
    question = then_rebalanced(draw, question, placement)
    try:
        agree(question)
    except eplb.InvalidArgument as refused:
        assert "max_moves" in str(refused) or "max_arrivals" in str(refused)


@pytest.mark.parametrize("seed", range(50))
def test_the_library_is_the_plain_program(seed):
    agree_on_both(seed, 1)


@pytest.mark.parametrize("seed", range(10))
def test_the_library_is_the_plain_program_for_windows(seed):
    agree_on_both(1000 + seed, 2 + seed % 3)


# ------------------------------------------------------------------------------------------- measured loads

V3 = sorted(DATA.glob("deepseek-v3_*_L*xE256.csv")) or [None]


def solved_trace(path, num_slots, num_gpus, nodes, layers):
    """Checked in all that holds for every placement."""
    if path is None:
        pytest.skip("no measured loads: ../shared/data is not there")
    weights = counts_of(path)[:, layers]
    question = Question(weights.tolist(), Problem(num_slots, num_gpus, nodes, 8, "soft"))
    solved = Solved(question)
    check_answer(question, solved)
    assert not any(solved.duplicates)
    return solved


@pytest.mark.parametrize("path", V3, ids=lambda path: path.name if path else "no traces")
def test_four_nodes_reach_the_target_next_to_the_bound(path):
    solved = solved_trace(path, 288, 32, 4, slice(None))
    for imbalance, share, bound in zip(solved.imbalance, solved.off_home, solved.bound, strict=True):
        assert imbalance <= 1.0102 and share <= bound + 0.004


@pytest.mark.parametrize("path", V3, ids=lambda path: path.name if path else "no traces")
def test_eight_nodes_of_few_slots_come_close(path):
    assert max(solved_trace(path, 320, 64, 8, slice(None, None, 10)).imbalance) <= 1.02


# -------------------------------------------------------------------------------------------- the plain program


@pytest.mark.parametrize("seed", range(40))
def test_homes_of_few_groups_are_optimal(seed):
    """Against all of them. Equal nodes need no search, others get one."""
    draw = random.Random(seed)
    nodes, groups = draw.randint(2, 3), draw.randint(2, 6)
    loads = [draw.randint(1, 50) for _ in range(groups)]
    caps = [sum(loads) // nodes] * nodes if seed % 2 else [draw.randint(1, sum(loads)) for _ in range(nodes)]
    homes = Homes(loads, [Node(cap, -(-groups // nodes)) for cap in caps], [[0] * nodes for _ in loads])
    fitting = [
        home
        for home in itertools.product(range(nodes), repeat=groups)
        if all(home.count(n) <= -(-groups // nodes) for n in range(nodes))
    ]
    assert homes.above(homes.best()) == min(map(homes.above, fitting))


def test_windows_that_do_not_matter_are_left_out():
    rows = [[3, 1, 0], [0, 0, 0], [1, 1, 2]]
    assert windows_of(rows, [1, 5, 2.0**-20]) != windows_of(rows)
    assert windows_of(rows, [1, 1, 0]) == windows_of(rows[:1])
    assert len(windows_of(rows)) == 2
    (share, weights), (other, _) = windows_of(rows, [0.5, 1, 1])
    assert (share, other) == (1 << 15, 1 << 16) and sum(weights) <= (1 << 28) // 2 // 2


def test_figures_of_a_placement():
    """Two nodes of one GPU: a group of 6 at home on the second, of which 2 are served on the first."""
    weights, row, ones = [1, 2, 4, 2], [0, 1, 3, 2, 3, 3], [1, 1]
    share, bound = off_home_of(weights, row, [3, 3], ones, [0, 1], 2, 1)
    assert share == Fraction(2, 3) / 9 and bound == (6 - Fraction(9, 2)) / 9
    assert imbalance_of(weights, row, [3, 3], ones) == Fraction(4 + Fraction(4, 3)) / Fraction(9, 2)
    assert doubles(row, [3, 3]) == 1
    with pytest.raises(AssertionError):
        check_row([0, 1, 3, 3, 3, 3], 4, [3, 3])
    with pytest.raises(AssertionError):
        check_row(row, 4, [3, 2])
