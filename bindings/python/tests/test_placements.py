"""Invariants on random problems and on real weights, for every strategy that there is."""

import eplb
import numpy as np
import pytest
from conftest import TRACES
from hypothesis import given, settings
from hypothesis import strategies as st
from invariants import check_plan

# Traces with windows are cut to the first few, so that a test does not take long.
MOST_WINDOWS = 4


@st.composite
def problems(draw):
    nodes, groups_per_node = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    groups = nodes * groups_per_node
    experts = groups * draw(st.integers(1, 6))
    gpus = nodes * draw(st.integers(1, 4))
    least = -(-experts // gpus)
    slots = gpus * (least + draw(st.integers(0, 3)))
    policy = draw(st.sampled_from(["auto", "global", "hierarchical"]))
    return experts, {
        "num_slots": slots,
        "num_gpus": gpus,
        "num_nodes": nodes,
        "num_groups": groups,
        "policy": policy,
    }


@st.composite
def questions(draw):
    experts, problem = draw(problems())
    layers = draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**32 - 1))
    spread = draw(st.sampled_from(["even", "zeros", "integers", "lognormal", "one_hot"]))
    random = np.random.default_rng(seed)
    weights = {
        "even": np.full((layers, experts), 7.0),
        "zeros": random.integers(0, 2, (layers, experts)),
        "integers": random.integers(0, 1000, (layers, experts)),
        "lognormal": random.lognormal(0, 2, (layers, experts)),
        "one_hot": np.eye(layers, experts),
    }[spread]
    return weights, problem


@settings(max_examples=150)
@given(question=questions(), seed=st.integers(0, 2**64 - 1), data=st.data())
def test_random_problem(available_strategies, question, seed, data):
    weights, problem = question
    strategy = data.draw(st.sampled_from(available_strategies))
    with eplb.Context() as context:
        plan = context.solve(weights, **problem, strategy=strategy, seed=seed)
        check_plan(weights, plan, problem)
        evaluated = context.evaluate(plan.physical_to_logical)
    for name in ("imbalance", "bound", "layer_duplicates"):
        assert np.array_equal(getattr(evaluated, name), getattr(plan.report, name))
    np.testing.assert_allclose(evaluated.gap, plan.report.gap, rtol=1e-12, atol=1e-14)
    assert evaluated.strategy is None


@settings(max_examples=50)
@given(question=questions(), data=st.data())
def test_layers_do_not_depend_on_each_other(available_strategies, question, data):
    weights, problem = question
    strategy = data.draw(st.sampled_from(available_strategies))
    with eplb.Context(num_threads=2) as context:
        whole = context.solve(weights, **problem, strategy=strategy).physical_to_logical
        for layer in range(len(weights)):
            alone = context.solve(weights[layer : layer + 1], **problem, strategy=strategy).physical_to_logical
            assert np.array_equal(alone[0], whole[layer])


@pytest.mark.parametrize("weights", [[1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [3.0, 2.0, 1.0, 0.0, 0.0, 0.0]])
@pytest.mark.parametrize(("gpus", "slots_per_gpu"), [(2, 3), (2, 4), (4, 2), (4, 4)])
def test_node_without_any_weight(available_strategies, weights, gpus, slots_per_gpu):
    """A development build divided by the load of such a node."""
    problem = {"num_slots": gpus * slots_per_gpu, "num_gpus": gpus, "num_nodes": 2, "num_groups": 2}
    for strategy in available_strategies:
        with eplb.Context() as context:
            plan = context.solve([weights], **problem, strategy=strategy)
        check_plan([weights], plan, problem)


def traces():
    files = sorted(TRACES.glob("*.csv")) + sorted(TRACES.glob("*.npz"))
    if not files:
        return [pytest.param(None, marks=pytest.mark.skip(f"no real traces in {TRACES}"))]
    return [pytest.param(file, id=file.stem) for file in files]


@pytest.mark.parametrize("file", traces())
def test_trace(file, available_strategies):
    if file.suffix == ".csv":
        weights = np.loadtxt(file, delimiter=",", ndmin=2)
    else:
        with np.load(file, allow_pickle=False) as arrays:
            weights = arrays["counts"][:MOST_WINDOWS]
    experts = weights.shape[-1]
    gpus = max(2, experts // 8)
    # One slot of each GPU is to spare.
    slots = (-(-experts // gpus) + 1) * gpus
    problem = {"num_slots": slots, "num_gpus": gpus, "num_nodes": 2, "num_groups": 8, "policy": "global"}
    with eplb.Context(num_threads=2) as context:
        for strategy in available_strategies:
            plan = context.solve(weights, **problem, strategy=strategy)
            check_plan(weights, plan, problem)
        before = context.evaluate(np.tile(np.arange(slots) % experts, (weights.shape[-2], 1)))
    assert plan.report.imbalance_mean < before.imbalance_mean
