"""The library answers the vectors of the policy SOFT; it reads nothing but the file."""

import json

import pytest
from reference import Problem
from soft_layers import Question
from soft_library import Solved
from vectors import FILE

CASES = json.loads(FILE.read_text())["soft"]


def rows(values, width):
    return [values[start : start + width] for start in range(0, len(values), width)]


def question_of(case, effort):
    windows, layers, experts = case["shape"]
    problem = dict(case["problem"])
    target, weights = problem.pop("off_home_target"), rows(case["weights"], experts)
    assert len(weights) == windows * layers
    return Question(
        rows(weights, layers),
        Problem(**problem),
        target,
        case["strategy"],
        effort,
        case["objective"] == "windows",
        cluster=case.get("cluster", {}),
        options={
            name: int(value) if isinstance(value, str) else value for name, value in case.get("options", {}).items()
        },
        current=rows(case["current"], problem["num_slots"]) if "current" in case else None,
    )


@pytest.mark.parametrize(
    ("case", "effort"),
    [pytest.param(case, effort, id=f"{case['name']}-{effort}") for case in CASES for effort in case["answers"]],
)
def test_the_library_answers_the_vectors(case, effort):
    answer, solved = case["answers"][effort], Solved(question_of(case, effort))
    assert [slot for row in solved.placement for slot in row] == answer["physical_to_logical"]
    assert solved.imbalance == pytest.approx(answer["imbalance"], rel=1e-12)
    assert solved.off_home == pytest.approx(answer["off_home"], rel=1e-12, abs=1e-12)


def test_there_are_both_strategies_and_efforts():
    assert {case["strategy"] for case in CASES} == {"best", "rebalance"}
    assert {effort for case in CASES for effort in case["answers"]} == {"fast", "normal"}
    assert all(case["name"] and case["why"] for case in CASES)
