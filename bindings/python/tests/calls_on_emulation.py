"""Run by test_emulation.py on a library with an emulated CUDA: rebalance_experts, and graphs."""

import threading

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from emulation_plugin import CALL, LARGE, PER_THREAD, SIZES, UNTOUCHED, Graph, on_cpu, waits
from eplb import _device_pool
from eplb.sample import sample_weights


@pytest.fixture
def context():
    with eplb.Context(device="cuda") as made:
        yield made


def test_rebalance_does_not_wait(put, lazy):
    weights = sample_weights(3, 64)
    eplb.rebalance_experts(put(weights), *CALL)
    eplb.synchronize("cuda:0")
    before = waits(lazy)
    results = [eplb.rebalance_experts(put(weights * (1 + seed)), *CALL) for seed in range(3)]
    assert waits(lazy) == before
    assert all((each.array == UNTOUCHED).all() for result in results for each in result)
    eplb.synchronize("cuda:0")
    expected = eplb.rebalance_experts(weights, *CALL)
    for result in results:
        for given, known in zip(result, expected, strict=True):
            assert given.array.dtype == np.int64
            assert np.array_equal(given.array, known)


def test_the_placement_alone_does_not_wait(put, lazy):
    weights = sample_weights(3, 64)
    eplb.place(put(weights), *CALL)
    eplb.synchronize("cuda:0")
    before = waits(lazy)
    placement = eplb.place(put(weights), *CALL)
    assert waits(lazy) == before
    eplb.synchronize("cuda:0")
    expected = eplb.rebalance_experts(weights, *CALL)[0]
    assert np.array_equal(placement.array, expected)
    # With a type of integers, on the host; the answer is what the weights are.
    assert np.array_equal(eplb.place(put(weights), *CALL, dtype="int32").array, expected)


def test_static_dispatch_is_worked_out_on_the_host(put, context):
    weights, other = sample_weights(3, 64), sample_weights(3, 64, 1)
    plan = on_cpu(weights, **LARGE)
    with eplb.Context() as cpu:
        expected = [cpu.static_dispatch(each, plan, max_swaps=2) for each in (weights, other, weights)]
    on_device = context.solve(put(weights), **LARGE)
    context.synchronize()
    found = [
        context.static_dispatch(None, on_device, max_swaps=2),
        context.static_dispatch(put(other), plan, max_swaps=2),
        context.static_dispatch(weights, on_device, max_swaps=2),
    ]
    for each, known in zip(found, expected, strict=True):
        for name in ("slot", "placement", "ranks", "gpu_load", "imbalance", "bound"):
            assert np.array_equal(getattr(each, name), getattr(known, name)), name
    context.upload(put(other[:2]))
    assert context.static_dispatch(None, plan.physical_to_logical[:2], 16).slot.shape == (2, 16, 64)


def test_rebalance_from_a_placement(put):
    """On the host; the maps come back as the arrays that weights are."""
    weights = sample_weights(3, 64)
    current = eplb.rebalance_experts(sample_weights(3, 64, 1), *CALL)[0]
    given = eplb.rebalance_experts(put(weights), *CALL, current=put(current), max_moves=5)
    known = eplb.rebalance_experts(weights, *CALL, current=current, max_moves=5)
    for each, expected in zip(given, known, strict=True):
        assert np.array_equal(each.array, expected)


def test_late_errors_of_rebalance(put):
    bad = np.array([[1.0, np.nan]])
    for weights in (bad, np.tile(bad, (2, 1)), np.ones((1, 2))):
        eplb.rebalance_experts(put(weights), 2, 1, 1, 2)
    for _ in range(2):
        with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 0, expert 1\] is NaN"):
            eplb.synchronize("cuda")
    eplb.synchronize("cuda")


def test_capture_needs_memory(device, context):
    state, put = device
    weights = put(np.array(PAIRS))
    state.capturing = True
    for call in (lambda: context.solve(weights, **SIZES), lambda: eplb.rebalance_experts(weights, 16, 1, 1, 8)):
        with pytest.raises(eplb.InvalidState, match=r"once before the capture, or Context.reserve"):
            call()


def test_capture_holds_memory(device, context):
    """Nothing is captured here, it is only called so: the streams are those of before."""
    state, put = device
    weights = put(np.array(PAIRS))
    context.reserve((1, 8), **SIZES, dtype="int64")
    state.capturing = True
    context.solve(weights, **SIZES)
    state.capturing = False
    context.solve(weights, **SIZES)
    with pytest.raises(eplb.InvalidState, match="captured in a graph"):
        context.solve(put(sample_weights(40, 64)), **LARGE)


def test_capture_of_rebalance(device):
    state, put = device
    weights, sizes = put(np.array(PAIRS)), (16, 1, 1, 8)
    eplb.rebalance_experts(weights, *sizes)
    state.stream, state.capturing = PER_THREAD, True
    captured = eplb.rebalance_experts(weights, *sizes)
    # That one belongs to the graph now.
    with pytest.raises(eplb.InvalidState, match="once before"):
        eplb.rebalance_experts(weights, *sizes)
    state.capturing = False
    assert len(_device_pool._captured) == 1
    assert not _device_pool._own_pool().kept
    eplb.synchronize()
    assert np.array_equal(captured[2].array, on_cpu(PAIRS, **SIZES).replica_count)


def test_many_kinds_of_calls(put):
    for slots in range(2, 2 + 2 * _device_pool._MOST_KEPT):
        eplb.rebalance_experts(put(np.array([[1.0, np.nan if slots == 2 else 2.0]])), slots, 1, 1, 1)
    assert len(_device_pool._own_pool().kept) == _device_pool._MOST_KEPT
    # The error of one that had to go is kept.
    with pytest.raises(eplb.InvalidWeight, match="NaN"):
        eplb.synchronize()
    eplb.synchronize()


def test_threads(put):
    weights = sample_weights(2, 32)
    expected, results = eplb.rebalance_experts(weights, 40, 1, 1, 8), []

    def work():
        for _ in range(3):
            result = eplb.rebalance_experts(put(weights), 40, 1, 1, 8)
            eplb.synchronize("cuda")
            results.append(result)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 12
    for result in results:
        assert np.array_equal(result[1].array, expected[1])


def test_graph(device, context, lazy):
    state, put = device
    first, second = sample_weights(3, 64, 1), sample_weights(3, 64, 2)
    array = np.ascontiguousarray(first)
    weights = put(array)
    context.reserve(array.shape, **LARGE, dtype=array.dtype)
    graph = Graph(lazy, state, lambda: context.solve(weights, **LARGE))
    plan = graph.captured
    for given in (second, first):
        array[:] = given
        before = waits(lazy)
        graph.replay()
        assert waits(lazy) == before
        context.synchronize()
        expected = on_cpu(given, **LARGE)
        check_plan_of_replay(context, plan, expected)
    cluster = eplb.Cluster(16, num_nodes=2, slots=[5] * 15 + [4])
    for tables in ({"prices": [[1]]}, {"window_weights": [1]}, {"cluster": cluster}):
        with pytest.raises(eplb.InvalidState, match=f"captured in a graph, which holds its {next(iter(tables))}"):
            context.solve(weights, **LARGE, **tables)
    array[1, 3] = -5
    graph.replay()
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 1, expert 3\] is negative"):
        context.synchronize()


def check_plan_of_replay(context, plan, expected):
    for name in ("physical_to_logical", "logical_to_physical", "replica_count"):
        assert np.array_equal(getattr(plan, name).array, getattr(expected, name)), name
    loads = plan.gpu_load
    context.synchronize()
    np.testing.assert_allclose(loads.array, expected.gpu_load, rtol=1e-12)
    # Of the last replay, though it has been read before.
    assert plan.report.imbalance_mean == pytest.approx(expected.report.imbalance_mean, rel=1e-12)


def test_graph_of_rebalance(device, lazy):
    state, put = device
    array = sample_weights(3, 64, 1)
    weights = put(array)
    eplb.rebalance_experts(weights, *CALL)
    eplb.synchronize()
    graph = Graph(lazy, state, lambda: eplb.rebalance_experts(weights, *CALL))
    # Other calls go on meanwhile.
    eplb.rebalance_experts(put(sample_weights(3, 64, 3)), *CALL)
    array[:] = sample_weights(3, 64, 2)
    graph.replay()
    eplb.synchronize("cuda")
    for given, known in zip(graph.captured, eplb.rebalance_experts(array.copy(), *CALL), strict=True):
        assert np.array_equal(given.array, known)
    array[0, 0] = -1
    graph.replay()
    with pytest.raises(eplb.InvalidWeight, match="negative"):
        eplb.synchronize("cuda")
