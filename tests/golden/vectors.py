"""vectors.json: the cases with the reference's answers, for every language. Every case has a name and a why.

{"cases": [...], "soft": [...], "quanta": [...]}. soft_vectors.py says what is in "soft". A case is
  name, why, dtype, shape [T,L,E], weights (flat), problem, options (if not the defaults), policy_used, and
  answers: by strategy at the default effort, and "best_fast", which is BEST at FAST; each flat: physical_to_logical
  [L,S], replica_count [L,E], replica_slots [L,S], imbalance [L], duplicates [L];
  or error: status, text, strategy (if only that one refuses).
A strategy that is missing among the answers was left out, or is refused by a case of its own. "quanta" are layers with
their integers as quantise() in arithmetic.py makes them, for unit tests.
Integers beyond 2^53 are decimal strings, as are nan, inf and -inf: not every JSON parser keeps or knows them.
"""

import dataclasses
import json
import math
import pathlib

from arithmetic import quantise
from best_cases import BEST_CASES
from cases import EVEN, NUMBERS, OPTIONS, PUBLISHED, SHAPES
from edge_cases import LIMITS, ROUNDINGS, TIES
from placement import check, duplicates, imbalance
from reference import solve
from refusal import Refusal, sum_windows
from refused_cases import BAD_PROBLEMS, BAD_WEIGHTS
from soft_cases import SOFT_CASES
from soft_vectors import flat, soft_entry

FILE = pathlib.Path(__file__).with_name("vectors.json")
EXACT = 2**53

CASES = (
    PUBLISHED + EVEN + SHAPES + NUMBERS + OPTIONS + TIES + ROUNDINGS + LIMITS + BEST_CASES + BAD_WEIGHTS + BAD_PROBLEMS
)

QUANTA_CASES = [
    ("the scale is negative: the sum would be 2^29", "int64", [2**28, 2**28]),
    ("the largest sum that keeps its scale", "int64", [2**28, 2**28 - 1]),
    ("a zero that counts as one makes the sum 2^29", "int64", [2**29 - 1, 0]),
    ("and here it does not", "int64", [2**29 - 2, 0]),
    ("odd numbers round half up", "int64", [2**28 + 1, 2**28 - 1, 5, 4]),
    (
        "rounding up makes the sum reach 2^29 where that of the weights does not",
        "int64",
        [2**29 + 1, 2**29 - 3, 1, 1, 1],
    ),
    ("the largest integers", "int64", [2**63 - 1] * 5),
    ("integers that a double does not hold", "int64", [2**53 + 1, 2**53, 3]),
    ("zeros count as ones", "float64", [0.0, -0.0, 0.0]),
    ("all digits of a double", "float64", [0.1, 0.7, 1e-9, 123456.789]),
    ("denormals", "float64", [2.0**-1074, 3 * 2.0**-1074, 7 * 2.0**-1074]),
    ("the largest and the smallest", "float64", [1.7976931348623157e308, 2.0**-1074]),
    ("one alone", "float64", [1.0]),
    ("one alone, of all digits: it rounds up to 2^29 and must come down a scale", "float64", [1.0 - 2.0**-53]),
]


def number(value):
    """A JSON value that every parser reads as this very number."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        if value != int(value) or abs(value) > EXACT or (value == 0 and math.copysign(1, value) < 0):
            return value
        return int(value)
    return value if abs(value) <= EXACT else str(value)


def problem_fields(problem):
    return {name: getattr(problem, name) for name in ("num_slots", "num_gpus", "num_nodes", "num_groups", "policy")}


def solve_as(name, weights, case):
    """The layers of an answer by its name in the file."""
    if name == "best_fast":
        return solve("best", weights, case.problem, dataclasses.replace(case.options, effort="fast"))
    return solve(name, weights, case.problem, case.options)


def answer(case, strategy, weights):
    """The reference's answer as it goes into the file; it has passed all invariants."""
    layers = solve_as(strategy, weights, case)
    for row, layer in zip(weights, layers, strict=False):
        check(row, layer, case.problem, case.options.max_replicas)
    return {
        "physical_to_logical": flat(layer.physical_to_logical for layer in layers),
        "replica_count": flat(layer.replica_count for layer in layers),
        "replica_slots": flat(layer.replica_slots for layer in layers),
        "imbalance": [imbalance(row, layer, case.problem) for row, layer in zip(weights, layers, strict=False)],
        "duplicates": [duplicates(layer, case.problem) for layer in layers],
    }


def refusal(case):
    """The error that the case states, if each of its strategies is refused in these words."""
    status, text = case.refused
    for strategy in case.strategies:
        try:
            solve_as(strategy, sum_windows(case.flat, case.dtype, case.shape), case)
        except Refusal as refused:
            if (refused.status, refused.text) == (status, text):
                continue
            raise
        raise AssertionError(f"{case.name}: {strategy} should have refused: {text}")
    only = {"strategy": case.strategies[0]} if len(case.strategies) == 1 else {}
    return {"status": status, "text": text, **only}


def entry(case):
    """A case as it goes into the file."""
    fields = {
        "name": case.name,
        "why": case.why,
        "dtype": case.dtype,
        "shape": list(case.shape),
        "weights": [number(value) for value in case.flat],
        "problem": problem_fields(case.problem),
    }
    options = {"seed": number(case.options.seed), "max_replicas": case.options.max_replicas}
    if any(options.values()):
        fields["options"] = options
    if case.refused:
        return {**fields, "error": refusal(case)}
    weights = sum_windows(case.flat, case.dtype, case.shape)
    answers = {strategy: answer(case, strategy, weights) for strategy in case.strategies}
    return {**fields, "policy_used": case.problem.policy_used, "answers": answers}


def line(value):
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def entry_text(fields):
    """One line for the question and one for each answer, so that a diff shows which answer changed."""
    if "answers" not in fields:
        return line(fields)
    question = line({name: value for name, value in fields.items() if name != "answers"})
    answers = ",\n".join(f'  "{name}":{line(value)}' for name, value in fields["answers"].items())
    return f'{question[:-1]},"answers":{{\n{answers}}}}}'


def quanta_text(why, dtype, weights):
    return line({"why": why, "dtype": dtype, "weights": [number(w) for w in weights], "quanta": quantise(weights)})


def file_text():
    names = [case.name for case in CASES + SOFT_CASES]
    assert len(names) == len(set(names)), "two cases have the same name"
    cases = ",\n".join(entry_text(entry(case)) for case in CASES)
    soft = ",\n".join(entry_text(soft_entry(case, number)) for case in SOFT_CASES)
    quanta = ",\n".join(quanta_text(*quanta_case) for quanta_case in QUANTA_CASES)
    return f'{{"cases":[\n{cases}\n],"soft":[\n{soft}\n],"quanta":[\n{quanta}\n]}}\n'


def write_file():
    FILE.write_text(file_text())
    return 0


def check_file():
    fresh = FILE.exists() and FILE.read_text() == file_text()
    print(f"{FILE.name} is {'as' if fresh else 'not what'} reference.py would write it")
    return 0 if fresh else 1
