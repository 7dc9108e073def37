"""The vectors that every language runs. A strategy that this version does not have is a skip, and counted as one."""

import json

import eplb
import numpy as np
import pytest
from conftest import ROOT
from invariants import check_plan

CASES = json.loads((ROOT / "tests" / "golden" / "vectors.json").read_text())["cases"]


def weights_of(case):
    convert = float if case["dtype"].startswith("float") else int
    # float() reads "nan" and "inf", int() reads integers that JSON's numbers do not hold.
    array = np.array([convert(value) for value in case["weights"]], case["dtype"]).reshape(case["shape"])
    return array if len(array) > 1 else array[0]


def options_of(case):
    options = case.get("options", {})
    return {"seed": int(options.get("seed", 0)), "max_replicas": options.get("max_replicas", 0)}


def answers():
    for case in CASES:
        for name, answer in case.get("answers", {}).items():
            strategy, effort = ("best", "fast") if name == "best_fast" else (name, "normal")
            yield pytest.param(case, strategy, effort, answer, id=f"{case['name']}-{name}")


def refusals():
    for case in CASES:
        if "error" in case:
            only = case["error"].get("strategy")
            for strategy in [only] if only else ["greedy", "lpt_swap"]:
                yield pytest.param(case, strategy, case["error"], id=f"{case['name']}-{strategy}")


def call_rebalance(case, strategy, effort="normal"):
    problem = case["problem"]
    sizes = [problem[name] for name in ("num_slots", "num_groups", "num_nodes", "num_gpus")]
    options = {"strategy": strategy, "effort": effort, "policy": problem["policy"], **options_of(case)}
    return eplb.rebalance_experts(weights_of(case), *sizes, **options)


@pytest.mark.parametrize(("case", "strategy", "effort", "answer"), list(answers()))
def test_answer(context, case, strategy, effort, answer):
    weights, problem = weights_of(case), case["problem"]
    try:
        plan = context.solve(weights, **problem, strategy=strategy, effort=effort, **options_of(case))
    except eplb.Unavailable as unavailable:
        pytest.skip(str(unavailable))
    for name in ("physical_to_logical", "replica_count", "replica_slots", "duplicates"):
        assert getattr(plan, name).ravel().tolist() == answer[name], name
    np.testing.assert_allclose(plan.imbalance, answer["imbalance"], rtol=1e-12)
    assert plan.report.policy == case["policy_used"]
    assert plan.report.strategy == strategy
    check_plan(weights, plan, problem)
    placement, slots, count = call_rebalance(case, strategy, effort)
    assert np.array_equal(placement, plan.physical_to_logical)
    assert np.array_equal(slots, plan.logical_to_physical)
    assert np.array_equal(count, plan.replica_count)


@pytest.mark.parametrize(("case", "strategy", "error"), list(refusals()))
def test_refusal(context, case, strategy, error):
    with pytest.raises(eplb.Error) as through_context:
        context.solve(weights_of(case), **case["problem"], strategy=strategy, **options_of(case))
    with pytest.raises(eplb.Error) as through_call:
        call_rebalance(case, strategy)
    # Each speaks of its own arguments.
    published = error["text"].replace("num_slots", "num_replicas").replace("weights[", "weight[")
    for raised, text in ((through_context, error["text"]), (through_call, published)):
        assert (raised.value.status, raised.value.text) == (error["status"], text)
