"""Run by test_emulation.py on a library with an emulated CUDA: contexts on devices."""

import html

import eplb
import numpy as np
import pytest
from conftest import FROM_WEIGHTS, PAIRS
from emulation_plugin import LARGE, PER_THREAD, SIZES, UNTOUCHED, check_plan, on_cpu, waits
from eplb import _device_pool
from eplb.sample import sample_weights


@pytest.fixture
def context():
    with eplb.Context(device="cuda") as made:
        yield made


@pytest.mark.parametrize("strategy", FROM_WEIGHTS)
def test_as_on_the_cpu(put, context, strategy):
    weights = sample_weights(3, 64, 5)
    plan = context.solve(put(weights), **LARGE, strategy=strategy)
    # Asked for before the device is waited for.
    later = {name: getattr(plan, name) for name in ("replica_slots", "gpu_load", "imbalance", "bound", "duplicates")}
    context.synchronize()
    expected = on_cpu(weights, **LARGE, strategy=strategy)
    check_plan(plan, expected)
    for name, array in later.items():
        assert getattr(plan, name) is array
        assert np.array_equal(array.array, getattr(expected, name)), name
    assert np.array_equal(plan.report.imbalance, expected.imbalance)
    assert np.array_equal(plan.report.bound, expected.bound)
    assert plan.report.strategy == strategy


def test_nothing_waits(put, context, lazy):
    weights = put(sample_weights(3, 64))
    first = context.solve(weights, **LARGE)
    context.synchronize()
    before = waits(lazy)
    plans = [context.solve(weights, **LARGE, seed=seed) for seed in range(3)]
    loads = plans[-1].gpu_load
    assert waits(lazy) == before
    for array in (plans[-1].physical_to_logical, plans[-1].logical_to_physical, plans[-1].replica_count, loads):
        assert (array.array == UNTOUCHED).all()
    context.synchronize()
    assert waits(lazy) > before
    assert np.array_equal(plans[0].physical_to_logical.array, first.physical_to_logical.array)
    np.testing.assert_allclose(loads.array, on_cpu(sample_weights(3, 64), **LARGE, seed=2).gpu_load, rtol=1e-12)


def same_windows(judged, expected):
    for name in ("window_imbalance", "window_bound"):
        assert np.array_equal(getattr(judged, name), getattr(expected, name))


def test_windows_on_the_device(put, context):
    weights = np.stack([sample_weights(3, 64, seed) for seed in (1, 2)])
    expected = on_cpu(weights, **LARGE)
    context.reserve(weights[0].shape, dtype=weights.dtype, **LARGE)
    plan = context.solve(put(weights), **LARGE)  # the sum needs no more than that
    plan.replica_slots  # noqa: B018
    assert plan.report.num_windows == 0
    assert plan.warnings == ["2 windows, summed; what each of them gets is not known"]
    check_plan(plan, expected)
    for judged in (plan, context.evaluate(expected)):
        with pytest.raises(eplb.Unavailable, match="windows of these weights were not kept"):
            judged.window_imbalance  # noqa: B018
    apart, expected_apart = (
        where(each, **LARGE, objective="windows") for where, each in ((context.solve, put(weights)), (on_cpu, weights))
    )
    apart.replica_slots  # noqa: B018
    assert apart.warnings == expected_apart.warnings == []
    same_windows(apart, expected_apart)
    check_plan(apart, expected_apart)
    plan = context.solve(put(weights), **LARGE)
    assert plan.report.num_windows == 2
    assert plan.warnings == expected.warnings
    assert len(plan.warnings) == 1
    same_windows(plan, expected)
    same_windows(context.evaluate(expected), expected)
    for one in (weights[0], weights[:1]):
        plan, expected = context.solve(put(one), **LARGE), on_cpu(one, **LARGE)
        assert plan.report.num_windows == 1
        assert np.array_equal(plan.window_imbalance, expected.window_imbalance)
        assert np.array_equal(plan.window_bound, expected.window_bound)
    plan = context.solve(weights, **LARGE)
    assert np.array_equal(plan.window_imbalance, on_cpu(weights, **LARGE).window_imbalance)


def test_homes_on_the_device(put, context):
    weights, sizes = sample_weights(3, 64), {**LARGE, "num_nodes": 4, "num_groups": 8, "policy": "global"}
    expected = on_cpu(weights, **sizes)
    plan = context.solve(put(weights), **sizes)
    assert expected.off_home.all()
    for name in ("off_home", "off_home_bound"):
        assert np.array_equal(getattr(plan, name), getattr(expected, name))
    judged = context.evaluate(expected)
    assert judged.off_home_mean == plan.report.off_home_mean == expected.report.off_home_mean
    with pytest.raises(eplb.Unavailable, match="needs the weights on the host"):
        judged.off_home  # noqa: B018
    assert np.array_equal(context.evaluate(expected, weights).off_home, expected.off_home)


def test_tables_on_the_device(put, context):
    weights = np.stack([sample_weights(2, 64, seed) for seed in (1, 2, 3)])
    sizes = {**LARGE, "num_nodes": 4, "num_groups": 8, "policy": "soft", "objective": "windows", "effort": "fast"}
    prices = np.arange(32).reshape(4, 8) % 7
    last = None
    for tables in ({"prices": prices, "window_weights": 0.5}, {"window_weights": [1, 0, 2], "allow_empty": True}, {}):
        expected = on_cpu(weights, **sizes, **tables)
        assert expected.fingerprint != last
        plan = context.solve(put(weights), **sizes, **tables)
        context.synchronize()
        assert np.array_equal(plan.physical_to_logical.array, expected.physical_to_logical)
        assert np.array_equal(plan.off_home, expected.off_home)
        assert plan.report.off_home_bound_mean == expected.report.off_home_bound_mean
        assert context.evaluate(expected).off_home_mean == expected.report.off_home_mean
        last = expected.fingerprint
    # A decay for as many windows as were uploaded last.
    context.upload(put(weights))
    plan = context.solve(None, **sizes, window_weights=0.5)
    assert plan.fingerprint == on_cpu(weights, **sizes, window_weights=0.5).fingerprint


DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(put, context, dtype):
    weights = np.array([[60, 56, 12, 12, 2, 1, 1, 1]] * 2, dtype)
    plan = context.solve(put(weights), **SIZES)
    plan.replica_slots  # noqa: B018
    context.synchronize()
    check_plan(plan, on_cpu(weights, **SIZES))


def test_layouts_and_windows(put, context):
    table = sample_weights(6, 64).astype(np.float32)
    for weights in (table.reshape(2, 3, 64), table[::2], table[:, ::-1].copy()[:, ::2]):
        plan = context.solve(put(weights), num_slots=80, num_gpus=16)
        plan.replica_slots  # noqa: B018
        context.synchronize()
        check_plan(plan, on_cpu(weights, num_slots=80, num_gpus=16))


@pytest.mark.parametrize("limits", [{}, {"max_moves": 4}, {"target": 1.0, "max_arrivals": 1}])
def test_rebalance(put, context, limits):
    """From a plan of the device, and with a GPU that is lost: the placement, moves and report of the CPU."""
    weights, later = sample_weights(3, 64, 5), sample_weights(3, 64, 6)
    before = context.solve(put(weights), 96, 16)
    # The arrays of these tests do not wait when they are copied to the host.
    context.synchronize()
    plan = context.rebalance(put(later), before, **limits)
    with eplb.Context() as cpu:
        expected = cpu.rebalance(later, cpu.solve(weights, 96, 16), **limits)
    assert plan.num_gpus == expected.num_gpus == 16
    assert np.array_equal(plan.moves.table(), expected.moves.table())
    context.synchronize()
    assert np.array_equal(plan.physical_to_logical.array, expected.physical_to_logical)
    assert plan.report.moves == expected.report.moves > 0
    left = expected.physical_to_logical.copy()
    left[:, :6] = -1
    cluster = eplb.Cluster(slots=[0] + [6] * 15)
    repaired = context.rebalance(put(later), left, cluster=cluster)
    with eplb.Context() as cpu:
        expected = cpu.rebalance(later, left, cluster=cluster)
    context.synchronize()
    assert np.array_equal(repaired.physical_to_logical.array, expected.physical_to_logical)
    assert repaired.report.reloads == expected.report.reloads > 0


def test_streams(device, context, lazy):
    state, put = device
    state.stream = PER_THREAD
    plan = context.solve(put(np.array(PAIRS)), **SIZES)
    assert (plan.replica_count.array == UNTOUCHED).all()
    context.synchronize()
    assert np.array_equal(plan.replica_count.array, on_cpu(PAIRS, **SIZES).replica_count)
    for stream in (0, PER_THREAD):
        state.stream = stream
        eplb.rebalance_experts(put(np.array(PAIRS)), 16, 1, 1, 8)
    assert len(_device_pool._own_pool().kept) == 2


def test_moves(put, context):
    weights = sample_weights(3, 64)
    current = np.roll(on_cpu(weights, **LARGE).physical_to_logical, 1, axis=1)
    current[1, ::9] = -1
    plan = context.solve(put(weights), **LARGE, current=current, transfer_order="in_place")
    expected = on_cpu(weights, **LARGE, current=current, transfer_order="in_place")
    assert np.array_equal(plan.moves.table(), expected.moves.table())
    assert np.array_equal(plan.changed, expected.changed)
    assert plan.moves is plan.moves
    assert plan.report.moves == expected.report.moves > 0
    unread = context.solve(put(weights), **LARGE, current=current)
    without = context.solve(put(weights), **LARGE)
    with pytest.raises(eplb.InvalidState, match="moves of a placement on a device is there until the context"):
        unread.moves  # noqa: B018
    with pytest.raises(eplb.InvalidState, match="without a current placement"):
        without.moves  # noqa: B018


def test_late_error(put, context):
    weights = sample_weights(4, 64).astype(float)
    weights[2, 7], weights[1, 9] = np.nan, -1
    plan = context.solve(put(weights), **LARGE)
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 1, expert 9\] is negative"):
        context.synchronize()
    context.synchronize()
    weights[1:3] = 0
    assert np.array_equal(plan.physical_to_logical.array, on_cpu(weights, **LARGE).physical_to_logical)
    # The context goes on.
    context.solve(put(weights), **LARGE)
    context.synchronize()


def test_late_error_of_a_report(put, context):
    plan = context.solve(put(np.array([[np.inf] + [1.0] * 7])), **SIZES)
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 0, expert 0\] is infinite"):
        plan.report  # noqa: B018
    assert plan.report.imbalance_mean == 1


def test_errors_that_sizes_make_come_at_once(put, context):
    weights = put(np.array(PAIRS))
    for call in (
        lambda: context.solve(weights, num_slots=17, num_gpus=8),
        lambda: eplb.rebalance_experts(weights, 17, 1, 1, 8),
    ):
        with pytest.raises(eplb.InvalidArgument, match="17, must be a multiple"):
            call()
    with pytest.raises(eplb.InvalidArgument, match="must be at least 1"):
        context.solve(put(np.ones((0, 8))), **SIZES)


def test_late_error_stays_with_its_weights(put, context):
    """A report comes with every solve of the host's weights, and it tells nothing of others."""
    context.solve(put(np.array([[np.nan] + [1.0] * 7])), **SIZES)
    plan = context.solve(PAIRS, **SIZES)
    assert np.array_equal(plan.physical_to_logical, on_cpu(PAIRS, **SIZES).physical_to_logical)
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 0, expert 0\] is NaN"):
        context.synchronize()
    context.synchronize()


def test_uint64_above_int64(put, context):
    context.solve(put(np.array([[1, 2**63]], np.uint64)), num_slots=2, num_gpus=2)
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 0, expert 1\]"):
        context.synchronize()


def test_wrong_device(put, context):
    text = r"weights is on cuda:1, but the context is on cuda:0: make it with Context\(device='cuda:1'\)"
    with pytest.raises(eplb.InvalidArgument, match=text):
        context.solve(put(np.array(PAIRS), 1), **SIZES)
    with eplb.Context() as host, pytest.raises(eplb.InvalidArgument, match="the context is on the CPU"):
        host.solve(put(np.array(PAIRS)), **SIZES)


def test_second_device(put):
    expected = on_cpu(PAIRS, **SIZES)
    with eplb.Context(device="cuda:1") as context:
        plan = context.solve(put(np.array(PAIRS), 1), **SIZES)
        context.synchronize()
    result = eplb.rebalance_experts(put(np.array(PAIRS), 1), 16, 1, 1, 8)
    eplb.synchronize("cuda:1")
    for given in (plan.physical_to_logical, result[0]):
        assert np.array_equal(given.array, expected.physical_to_logical)


def test_host_arrays(context):
    weights = sample_weights(3, 64)
    plan, expected = context.solve(weights, **LARGE), on_cpu(weights, **LARGE)
    assert np.array_equal(plan.physical_to_logical, expected.physical_to_logical)
    assert np.array_equal(plan.gpu_load, expected.gpu_load)
    with pytest.raises(eplb.InvalidWeight):
        context.solve([[np.nan, 1]], num_slots=2, num_gpus=2)


@pytest.mark.parametrize("later", [False, True])
def test_host_plan_that_is_read_after_device_calls(put, context, later):
    weights = sample_weights(3, 64)
    context.solve(put(np.array([[np.nan] + [1.0] * 7])), **SIZES)
    plan, expected = context.solve(weights, **LARGE), on_cpu(weights, **LARGE)
    if later:
        context.solve(put(np.array(PAIRS)), **SIZES)
    for name in (
        "logical_to_physical",
        "replica_count",
        "replica_slots",
        "gpu_load",
        "imbalance",
        "bound",
        "duplicates",
    ):
        assert np.array_equal(getattr(plan, name), getattr(expected, name)), name
    assert np.array_equal(plan.report.gap, expected.report.gap)
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 0, expert 0\] is NaN"):
        context.synchronize()
    context.synchronize()


def test_host_and_device_in_turn(put, context):
    weights, other = sample_weights(3, 64, 1), sample_weights(3, 64, 2)
    context.solve(put(weights), **LARGE)
    plan = context.solve(other, **LARGE)
    assert np.array_equal(plan.physical_to_logical, on_cpu(other, **LARGE).physical_to_logical)
    # None takes the last ones, wherever they were.
    assert isinstance(context.solve(None, **LARGE).physical_to_logical, np.ndarray)
    context.solve(put(weights), **LARGE)
    again = context.solve(None, **LARGE, seed=3)
    context.synchronize()
    assert np.array_equal(again.physical_to_logical.array, on_cpu(weights, **LARGE, seed=3).physical_to_logical)


def test_one_upload_serves_many_solves(put, context):
    weights = sample_weights(3, 64)
    array = weights.copy()
    context.upload(put(array))
    plans = {}
    for strategy in ("greedy", "best", "hybrid_init"):
        plans[strategy] = context.solve(None, **LARGE, strategy=strategy)
        plans[strategy].replica_slots  # noqa: B018
        context.synchronize()
        # The context has its own copy.
        array[:] = 1
    for strategy, plan in plans.items():
        check_plan(plan, on_cpu(weights, **LARGE, strategy=strategy))


def test_weights_that_are_gone(put, context):
    context.solve(put(np.array(PAIRS)), **SIZES)
    with pytest.raises(eplb.InvalidState, match="upload"):
        context.solve(None, num_slots=800, num_gpus=8, strategy="hybrid_init")


def test_reserve(put, context, lazy):
    context.reserve((3, 64), **LARGE, dtype="int64")
    allocations, before = lazy.emulation_count(b"allocations"), waits(lazy)
    for experts in (64, 32):
        context.solve(put(sample_weights(3, experts)), **{**LARGE, "num_slots": experts + 16})
    assert lazy.emulation_count(b"allocations") == allocations
    assert waits(lazy) == before
    # More than that is reserved by itself, and waits.
    context.solve(put(sample_weights(6, 64)), **LARGE)
    assert lazy.emulation_count(b"allocations") > allocations


def test_plan_outlives_its_context(put):
    with eplb.Context(device="cuda") as context:
        plan = context.solve(put(np.array(PAIRS)), **SIZES)
    # Closing has waited.
    assert np.array_equal(plan.physical_to_logical.array, on_cpu(PAIRS, **SIZES).physical_to_logical)
    assert repr(plan) == "DevicePlan(1 layer, 16 slots of 8 GPUs)"
    with pytest.raises(eplb.InvalidState, match="closed") as error:
        plan.report  # noqa: B018
    # To show a plan asks for nothing, so it is no error that its figures are gone.
    assert str(plan) == f"DevicePlan: 1 layer, 16 slots of 8 GPUs\n{error.value}"
    assert html.escape(str(error.value)) in plan._repr_html_()


def test_plan_shows_and_draws_itself(put, context):
    pytest.importorskip("matplotlib")
    weights, known = np.array(PAIRS), on_cpu(PAIRS, **SIZES)
    plan = context.solve(put(weights), **SIZES)
    assert f"{plan.report.imbalance_mean:.4f}" in str(plan)
    # A library of arrays on a device waits before it copies; these do not.
    plan.gpu_load  # noqa: B018
    context.synchronize()
    for figure in (plan.draw(), plan.draw(weights)):
        shown = [axes.images[0].get_array() for axes in figure.axes if axes.images][-1]
        np.testing.assert_allclose(shown.max(axis=1), known.imbalance)


def test_plan_after_another_solve(put, context):
    plan = context.solve(put(np.array(PAIRS)), **SIZES)
    report = plan.report
    later = context.solve(put(np.array(PAIRS)), **SIZES)
    assert plan.report is report
    with pytest.raises(eplb.InvalidState, match="gpu_load of a placement on a device is there until"):
        plan.gpu_load  # noqa: B018
    assert later.report.imbalance_mean == report.imbalance_mean


def test_evaluate(put, context):
    weights = sample_weights(3, 64)
    plan = context.solve(put(weights), **LARGE)
    expected = on_cpu(weights, **LARGE)
    context.synchronize()
    report = context.evaluate(plan.physical_to_logical)
    np.testing.assert_allclose(report.gap, expected.report.gap, rtol=1e-9)
    again = context.evaluate(plan.physical_to_logical, put(weights))
    np.testing.assert_allclose(again.gap, expected.report.gap, rtol=1e-9)
    context.upload(put(weights))
    with pytest.raises(eplb.InvalidState):
        context.evaluate(expected.physical_to_logical)
