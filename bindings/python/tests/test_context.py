"""Context, Plan and Report."""

import gc
import json
import re
import threading

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from eplb._session import Session
from eplb._solution import expand_replica_slots
from invariants import check_plan

SIZES = {"num_slots": 16, "num_gpus": 8}


def test_plan_survives_its_context(olmoe):
    problem = {"num_slots": 80, "num_gpus": 16}
    with eplb.Context() as context:
        plan = context.solve(olmoe, **problem)
        context.solve(olmoe[:, ::-1], num_slots=96, num_gpus=8)
    gc.collect()
    check_plan(olmoe, plan, problem)


def test_default_strategy_is_the_librarys(context):
    default = list(eplb.strategies())[Session().options.strategy]
    assert context.solve(PAIRS, **SIZES).report.strategy == default


def test_report(context):
    report = context.solve(PAIRS, **SIZES).report
    # 590 / 3 is the largest load of the best placement.
    assert 0 < report.bound[0] <= 590 / 3 <= report.bound[0] * (1 + report.gap[0]) + 1e-9
    plain = report.to_dict()
    assert plain["imbalance"] == report.imbalance.tolist()
    assert set(plain) == set(report.__dataclass_fields__)
    assert "imbalance_mean" in repr(report)
    assert "array" not in repr(report)


def test_summary_holds_no_arrays(context):
    report = context.solve(PAIRS, **SIZES).report
    summary = report.summary()
    assert summary["imbalance_mean"] == report.imbalance_mean
    assert json.loads(json.dumps(summary)) == summary
    assert set(report.to_dict()) - set(summary) == {"imbalance", "bound", "gap", "layer_duplicates"}


def test_one_upload_serves_many_solves(context):
    with pytest.raises(eplb.InvalidState):
        context.solve(None, **SIZES)
    context.upload(PAIRS)
    expected = {name: context.solve(PAIRS, **SIZES, strategy=name) for name in ("greedy", "lpt_swap")}
    context.upload(PAIRS)
    for name, plan in expected.items():
        again = context.solve(None, 16, 8, strategy=name)
        assert np.array_equal(again.physical_to_logical, plan.physical_to_logical)
    bad = np.array(PAIRS, float)
    bad[0, 3] = np.nan
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 0, expert 3\]"):
        context.upload(bad)
    # What was refused has not replaced what was there.
    assert context.solve(None, 16, 8).report.imbalance_mean > 0
    assert context.evaluate(plan.physical_to_logical).gap[0] == pytest.approx(plan.report.gap[0])


def test_cap(context):
    plan = context.solve(PAIRS, **SIZES, max_replicas=3)
    assert plan.replica_count.max() <= 3
    assert plan.logical_to_physical.shape == (1, 8, 3)
    check_plan(PAIRS, plan, SIZES)


def test_expand_replica_slots():
    expanded = expand_replica_slots(np.array([[2, 0, 1]]), np.array([[1, 2]]), 3)
    assert expanded.tolist() == [[[2, -1, -1], [0, 1, -1]]]


def test_expand_replica_slots_of_layers_with_empty_slots():
    slots, count = np.array([[1, 3, 2, 0], [2, 0, 1, -1]]), np.array([[1, 3], [2, 1]])
    expanded = expand_replica_slots(slots, count.astype(np.uint8), 3)
    assert expanded.tolist() == [[[1, -1, -1], [3, 2, 0]], [[2, 0, -1], [1, -1, -1]]]


def test_layer_of_zeros(context):
    plan = context.solve(np.zeros((2, 8)), **SIZES)
    assert plan.replica_count.tolist() == [[2] * 8] * 2
    assert plan.imbalance.tolist() == [1, 1]
    assert plan.report.gap.tolist() == [0, 0]


def test_evaluate_own_and_other(context):
    plan = context.solve(PAIRS, **SIZES)
    again = context.evaluate(plan.physical_to_logical)
    assert again.imbalance_mean == plan.report.imbalance_mean
    before = context.evaluate([list(range(8)) * 2])
    assert before.imbalance_mean > again.imbalance_mean
    assert before.strategy is None
    # The solved plan is left alone, and so is the problem.
    assert context.evaluate(plan.physical_to_logical.astype(np.uint8)).imbalance_mean == again.imbalance_mean


def test_evaluate_without_a_solve(context):
    placement = [list(range(8)) * 2]
    with pytest.raises(eplb.InvalidArgument, match="num_gpus is missing"):
        context.evaluate(placement, PAIRS)
    with pytest.raises(eplb.InvalidState):
        context.evaluate(placement, num_gpus=8)
    # Slots 2g and 2g+1 are on GPU g, and every expert has two replicas.
    loads = np.tile(np.array(PAIRS[0]), 2).reshape(8, 2).sum(axis=1) / 2
    report = context.evaluate(placement, PAIRS, num_gpus=8)
    assert report.imbalance_mean == pytest.approx(loads.max() / loads.mean())
    assert report.gap[0] == pytest.approx(loads.max() / report.bound[0] - 1)


@pytest.mark.parametrize(
    ("placement", "kind", "text"),
    [
        ([[*range(7), 8] * 2], eplb.InvalidPlacement, "8"),
        ([[*range(7), -2] * 2], eplb.InvalidPlacement, "-2"),
        ([[0] * 16], eplb.InvalidPlacement, "expert 1"),
        ([list(range(8)) * 2] * 2, eplb.InvalidArgument, None),
        ([0.5] * 16, eplb.InvalidArgument, "must be integers"),
        ([[0.5] * 16], eplb.InvalidArgument, "must be integers"),
        (np.array([[2**63] * 16], np.uint64), eplb.InvalidPlacement, None),
    ],
)
def test_what_is_no_placement(context, placement, kind, text):
    context.solve(PAIRS, **SIZES)
    with pytest.raises(kind, match=text):
        context.evaluate(placement)


def test_closed(context):
    context.solve(PAIRS, **SIZES)
    context.close()
    context.close()
    for call in (context.synchronize, lambda: context.solve(PAIRS, **SIZES), lambda: context.evaluate([[0]])):
        with pytest.raises(eplb.InvalidState, match="closed"):
            call()


def test_used_by_two_threads(context):
    with context._shared:
        raised = []

        def call():
            try:
                context.solve(PAIRS, **SIZES)
            except eplb.InvalidState as error:
                raised.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert "another thread" in raised[0].text
    context.solve(PAIRS, **SIZES)


def test_moves_between_threads(context):
    plans = []
    thread = threading.Thread(target=lambda: plans.append(context.solve(PAIRS, **SIZES)))
    thread.start()
    thread.join()
    assert np.array_equal(plans[0].physical_to_logical, context.solve(PAIRS, **SIZES).physical_to_logical)


def test_threads_give_the_same(olmoe):
    plans = []
    for num_threads in (1, 2, 5):
        with eplb.Context("cpu", num_threads) as context:
            plans.append(context.solve(olmoe, num_slots=80, num_gpus=16).physical_to_logical)
    assert np.array_equal(plans[0], plans[1])
    assert np.array_equal(plans[0], plans[2])


def test_synchronize(context):
    context.synchronize()
    eplb.synchronize("cpu")
    eplb.rebalance_experts(PAIRS, 16, 1, 1, 8)
    eplb.synchronize()
    eplb.synchronize("cuda:1")
    with pytest.raises(eplb.InvalidArgument):
        eplb.synchronize("tpu")


def test_constants_come_from_the_header():
    assert eplb.strategies()[:2] == ("greedy", "lpt_swap")
    assert eplb.policies() == ("auto", "hierarchical", "global", "soft")
    assert eplb.efforts() == ("fast", "normal", "max")
    assert "simple" in eplb.bounds()


def test_backends():
    backends = eplb.backends()
    assert set(backends) == {"cpu", "cuda"}
    cpu, cuda = backends["cpu"], backends["cuda"]
    assert (cpu.built, cpu.usable, cpu.status, cpu.num_devices) == (True, True, "EPLB_OK", 1)
    assert cuda.usable == (cuda.status == "EPLB_OK")
    for backend in backends.values():
        assert backend.text
        assert len(backend.device_names) == backend.num_devices


def test_version():
    assert eplb.library_version() == eplb.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", eplb.library_version())


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "sizes", [{}, {"num_nodes": 4, "num_groups": 8, "policy": "global"}, {"cluster": eplb.Cluster(speed=[1, 2] * 8)}]
)
def test_means_leave_out_layers_without_load(context, olmoe, sizes, late):
    """And are those of the others alone, whose answers do not depend on it."""
    some = olmoe.copy()
    some[1] = 0
    problem = {"num_slots": 80, "num_gpus": 16, **sizes}
    expected = context.solve(np.delete(olmoe, 1, axis=0), **problem).report
    plan = context.solve(some, **problem)
    if late:
        context.solve(PAIRS, **SIZES)
    reports = [plan.report, context.evaluate(plan, some, **{"num_gpus": 16, **sizes})]
    for report in reports:
        assert (report.num_empty_layers, expected.num_empty_layers) == (1, 0)
        for name in ("imbalance_mean", "bound_mean", "gap_mean", "off_home_mean", "off_home_bound_mean"):
            assert getattr(report, name) == pytest.approx(getattr(expected, name), abs=1e-12)
    empty = context.solve(np.zeros((2, 8)), **SIZES).report
    assert (empty.num_empty_layers, empty.imbalance_mean, empty.bound_mean, empty.gap_mean) == (2, 1, 1, 0)
