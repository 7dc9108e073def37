"""The reference itself: invariants, known answers, exhaustive search, and the torch programs that it stands for."""

import itertools
import json
import math
import random
from fractions import Fraction

import pytest
from arithmetic import QUANTA, float32, quanta, quantise
from packing import STRATEGIES
from philox import WORD, philox4x32_10
from placement import check, duplicates, gpu_loads, imbalance, lower_bound
from reference import Layer, Options, Problem, logical_to_physical, solve
from vectors import CASES, FILE, check_file

ENTRIES = json.loads(FILE.read_text())["cases"]


def entry_weights(entry):
    """[L][E] from a case of the file, read by nothing that wrote it."""
    windows, layers, experts = entry["shape"]
    kind = int if entry["dtype"].startswith("int") else float
    flat = [kind(value) for value in entry["weights"]]
    assert len(flat) == windows * layers * experts
    return [
        [sum(flat[(t * layers + layer) * experts + e] for t in range(windows)) for e in range(experts)]
        for layer in range(layers)
    ]


def entry_layers(entry, answer):
    """The Layers of an answer of the file."""
    _, layers, experts = entry["shape"]
    slots = entry["problem"]["num_slots"]
    widths = {"physical_to_logical": slots, "replica_count": experts, "replica_slots": slots}
    return [
        Layer(**{name: answer[name][layer * width : (layer + 1) * width] for name, width in widths.items()})
        for layer in range(layers)
    ]


def random_problem(draw):
    """(weights, problem, options) of some legal shape, with ties and zeros more often than chance would have them."""
    nodes, per_node = draw.choice([1, 1, 2, 3]), draw.randint(1, 3)
    groups, gpus = nodes * draw.randint(1, 2), nodes * per_node
    experts = groups * draw.randint(1, 4)
    slots = gpus * draw.randint(-(-experts // gpus), -(-experts // gpus) + 3)
    policy = draw.choice(["auto", "hierarchical", "global"])
    top = draw.choice([3, 1000, 2**40])
    weights = [[draw.choice([0, draw.randint(0, top)]) for _ in range(experts)] for _ in range(2)]
    cap = draw.choice([0, -(-slots // experts), -(-slots // experts) + 1])
    return weights, Problem(slots, gpus, nodes, groups, policy), Options(draw.randint(0, 2**64 - 1), cap)


def test_the_file_is_fresh():
    assert check_file() == 0, "run: python3 tests/golden/reference.py --write"


@pytest.mark.parametrize("entry", [e for e in ENTRIES if "answers" in e], ids=lambda e: e["name"])
def test_every_answer_holds_the_invariants(entry):
    problem = Problem(**entry["problem"])
    cap = entry.get("options", {}).get("max_replicas", 0)
    for answer in entry["answers"].values():
        for row, layer, claimed, same in zip(
            entry_weights(entry), entry_layers(entry, answer), answer["imbalance"], answer["duplicates"], strict=False
        ):
            check(row, layer, problem, cap, claimed)
            assert duplicates(layer, problem) == same


def test_every_case_says_why():
    assert all(entry["name"] and entry["why"] for entry in ENTRIES)
    assert len(ENTRIES) == len(CASES)


@pytest.mark.parametrize("seed", range(40))
def test_random_problems_hold_the_invariants(seed):
    weights, problem, options = random_problem(random.Random(seed))
    for strategy in STRATEGIES:
        kept = Options(options.seed) if strategy == "greedy" else options
        layers = solve(strategy, weights, problem, kept)
        for row, layer in zip(weights, layers, strict=False):
            check(row, layer, problem, kept.max_replicas)
        alone = solve(strategy, weights[1:], problem, kept)
        assert alone[0] == layers[1], "a layer's answer depends on the layer beside it"


def test_the_published_example():
    entry = next(e for e in ENTRIES if e["name"] == "readme")
    assert entry["answers"]["greedy"]["physical_to_logical"] == [
        *[5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        *[7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]
    first = entry_layers(entry, entry["answers"]["greedy"])[0]
    assert logical_to_physical(first, 5)[1] == [15, 13, -1, -1, -1], "replica order, not slot order"


def test_philox_known_answers():
    """From kat_vectors of Random123."""
    assert philox4x32_10((0,) * 4, (0,) * 2) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox4x32_10((WORD,) * 4, (WORD,) * 2) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    digits_of_pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0)
    assert philox4x32_10(digits_of_pi[:4], digits_of_pi[4:]) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def test_float32_rounds_once():
    assert float32(2**60 + 2**36 + 1) == 2.0**60 + 2.0**37, "by way of a double it would tie, and round down"
    assert float32(2**24 + 1) == 2**24 and float32(2**24 + 3) == 2**24 + 4, "ties to even"
    assert float32(0.1) == 0.100000001490116119384765625
    assert float32(2.0**-150) == 0 and float32(3 * 2.0**-150) == 2.0**-148
    assert float32(3.4028235e38) == 2.0**128 - 2.0**104 and float32(2.0**128 - 2.0**103) == math.inf


@pytest.mark.parametrize("seed", range(30))
def test_quantise_takes_the_largest_scale(seed):
    """Tries all scales near and far, not only those that quantise() meets."""
    draw = random.Random(seed)
    exponents = draw.choice([(-1074, 1000), (-3, 3), (0, 0)])
    weights = [math.ldexp(draw.random(), draw.randint(*exponents)) for _ in range(draw.randint(1, 9))]
    if seed % 3 == 0:
        weights = [draw.randint(0, 2 ** draw.randint(0, 63) - 1) for _ in weights]
    weights[0] += 1
    exact = [Fraction(w) for w in weights]
    fitting = [p for p in range(-60 - 1000, 90) if sum(quanta(exact, p)) < QUANTA]
    assert quantise(weights) == quanta(exact, max(fitting))


def test_the_pairs_have_a_better_answer():
    """Every way to count, each with its best packing: two per GPU are best paired heaviest with lightest."""
    entry = next(e for e in ENTRIES if e["name"] == "pairs")
    (weights,), problem, best = entry_weights(entry), Problem(**entry["problem"]), math.inf
    for bars in itertools.combinations(range(15), 7):  # 8 extras on 8 experts, as stars and bars
        count = [right - left for left, right in zip((-1, *bars), (*bars, 15), strict=False)]
        sizes = sorted(Fraction(int(w), c) for w, c in zip(weights, count, strict=False) for _ in range(c))
        best = min(best, max(a + b for a, b in zip(sizes, reversed(sizes), strict=False)))
    assert round(float(best), 2) == 196.67
    for answer in entry["answers"].values():
        (layer,) = entry_layers(entry, answer)
        assert lower_bound(weights, problem) <= best <= max(gpu_loads(weights, layer, problem))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda layer: layer.physical_to_logical.__setitem__(0, layer.physical_to_logical[1]),
        lambda layer: layer.replica_count.__setitem__(0, layer.replica_count[0] + 1),
        lambda layer: layer.replica_slots.reverse(),
        lambda layer: layer.physical_to_logical.reverse(),
        lambda layer: layer.physical_to_logical.pop(),
    ],
)
def test_check_finds_what_is_wrong(spoil):
    entry = next(e for e in ENTRIES if e["name"] == "readme")
    problem, row = Problem(**entry["problem"]), entry_weights(entry)[0]
    layer = entry_layers(entry, entry["answers"]["greedy"])[0]
    check(row, layer, problem, claimed=imbalance(row, layer, problem))
    with pytest.raises(AssertionError):
        check(row, layer, problem, claimed=1.0)
    with pytest.raises(AssertionError):
        check(row, layer, problem, bound=1e9)
    spoil(layer)
    with pytest.raises(AssertionError):
        check(row, layer, problem)
