"""Run by test_emulation.py on a library with an emulated CUDA: splits of tokens on devices."""

import dataclasses

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from emulation_plugin import LARGE, SIZES, UNTOUCHED, Graph, on_cpu, waits
from eplb._device_session import DeviceSession
from eplb._session import Session
from eplb.sample import sample_weights

GPUS = LARGE["num_gpus"]
FIRST, SECOND, THIRD = (sample_weights(3, 64, seed) for seed in (1, 2, 3))
ARRAYS = ("share", "quota", "gpu_load", "imbalance", "bound", "tight")


@pytest.fixture
def context():
    with eplb.Context(device="cuda") as made:
        yield made


@pytest.fixture
def placement():
    return on_cpu(THIRD, **LARGE).physical_to_logical


def of_cpu(weights, placement, num_gpus=GPUS, **options):
    with eplb.Context() as made:
        return made.split(weights, placement, num_gpus, **options)


def check(context, found, known):
    """Every array on the device, and what comes to the host; a split that can still be read."""
    arrays = {name: getattr(found, name) for name in ARRAYS}
    context.synchronize()
    for name, array in arrays.items():
        assert np.array_equal(array.array, getattr(known, name)), name
    host = found.to_host()
    assert type(host) is eplb.Split
    for field in dataclasses.fields(eplb.Split):
        assert np.array_equal(getattr(host, field.name), getattr(known, field.name)), field.name


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_split_has_the_bits_of_the_cpu(put, context, placement, dtype):
    weights = (FIRST / FIRST.max() * 200).astype(dtype)
    found = context.split(put(weights), placement, GPUS)
    check(context, found, of_cpu(weights, placement))
    again = context.split(put(weights), put(placement.astype("int32")), GPUS, tolerance=0.1)
    check(context, again, of_cpu(weights, placement, tolerance=0.1))


def test_split_over_a_plan_of_the_device(put, context):
    context.solve(put(THIRD), **LARGE)
    plan = context.solve(put(SECOND), **LARGE)
    context.synchronize()  # the arrays of these tests do not wait for their device when they are read
    known = on_cpu(SECOND, **LARGE).physical_to_logical
    check(context, context.split(None, plan), of_cpu(SECOND, known))
    assert plan.report.imbalance_mean == on_cpu(SECOND, **LARGE).report.imbalance_mean  # it is still there
    for weights in (FIRST, THIRD):
        check(context, context.split(put(weights), plan), of_cpu(weights, known))
    with pytest.raises(eplb.InvalidState, match="gpu_load of a placement on a device is there until"):
        plan.gpu_load  # noqa: B018


def test_split_sums_windows(put, context, placement):
    windows = np.stack([FIRST, SECOND])
    check(context, context.split(put(windows), placement, GPUS), of_cpu(windows, placement))


def test_split_with_closed_slots_and_speeds(put, context):
    cluster = eplb.Cluster(4, slots=[4, 4, 4, 2], speed=[1, 2, 1, 1])
    weights = sample_weights(2, 12)
    placement = on_cpu(sample_weights(2, 12, 9), num_slots=16, cluster=cluster).physical_to_logical
    assert (placement == -1).any()
    for where in (placement, put(placement)):
        found = context.split(put(weights), where, cluster=cluster)
        check(context, found, of_cpu(weights, placement, None, cluster=cluster))


def test_split_of_weights_of_the_host(put, context, placement):
    plan = context.solve(put(THIRD), **LARGE)
    context.synchronize()
    for where in (placement, plan, put(placement)):
        found = context.split(FIRST, where, GPUS)
        assert type(found) is eplb.Split
        assert np.array_equal(found.share, of_cpu(FIRST, placement).share)
        assert np.array_equal(context.split(None, where, GPUS).share, found.share)
    context.upload(put(SECOND))
    check(context, context.split(None, placement, GPUS), of_cpu(SECOND, placement))
    context.upload(put(SECOND[:2]))
    check(context, context.split(None, placement[0], GPUS), of_cpu(SECOND[:2], placement[[0, 0]]))


def test_split_does_not_wait(put, context, placement, lazy):
    plan = context.solve(put(THIRD), **LARGE)
    context.synchronize()
    there, weights = put(placement), [put(each) for each in (FIRST, SECOND)]
    for where in (placement, plan, there):
        context.split(weights[0], where, GPUS)
        context.synchronize()
        before, allocations = waits(lazy), lazy.emulation_count(b"allocations")
        found = [context.split(each, where, GPUS) for each in weights]
        load = found[1].gpu_load
        assert (waits(lazy), lazy.emulation_count(b"allocations")) == (before, allocations)
        for array in (found[0].share, found[1].share, load):
            assert (array.array == UNTOUCHED).all()
        context.synchronize()
        for split, known in zip(found, (FIRST, SECOND), strict=True):
            assert np.array_equal(split.share.array, of_cpu(known, placement).share)
        assert np.array_equal(load.array, of_cpu(SECOND, placement).gpu_load)


def noting(calls, name, function):
    def call(*arguments):
        calls.append(name)
        return function(*arguments)

    return call


def test_split_prepares_a_placement_once(put, context, placement, monkeypatch):
    prepared = []
    for kind, name in ((Session, "prepare_split"), (DeviceSession, "_prepare_there")):
        monkeypatch.setattr(kind, name, noting(prepared, name, getattr(kind, name)))
    plan = context.solve(put(THIRD), **LARGE)
    context.synchronize()
    for _ in range(2):
        context.split(put(FIRST), placement, GPUS)
    assert prepared == ["prepare_split"]
    for _ in range(2):
        context.split(put(FIRST), plan)
    assert prepared == ["prepare_split", "_prepare_there"]
    for _ in range(2):
        context.split(put(FIRST), put(placement), GPUS)  # what is in an array may be another placement each time
    assert prepared[2:] == ["_prepare_there"] * 2


def test_split_over_a_placement_that_is_overwritten(put, context, placement):
    array = placement.copy()
    there = put(array)
    context.split(put(FIRST), there, GPUS)
    context.synchronize()
    array[:] = placement[[1, 2, 0]]
    check(context, context.split(put(FIRST), there, GPUS), of_cpu(FIRST, placement[[1, 2, 0]]))


def test_split_finds_bad_weights_late(put, context, placement):
    weights = FIRST.astype(float)
    weights[1, 5] = np.nan
    found = context.split(put(weights), placement, GPUS)
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 1, expert 5\] is NaN"):
        found.to_host()
    weights[1] = 0
    known = of_cpu(weights, placement)
    assert np.array_equal(found.to_host().share, known.share)
    assert found.num_empty_layers == 1


def test_split_finds_bad_placements_late(put, context, placement):
    context.split(put(FIRST), placement, GPUS)  # has memory
    bad = placement.copy()
    bad[2, 7] = 64
    found = context.split(put(FIRST), put(bad), GPUS)
    with pytest.raises(eplb.InvalidPlacement, match="layer 2, slot 7"):
        context.synchronize()
    known = of_cpu(FIRST, placement).share
    assert np.array_equal(found.to_host().share, np.concatenate([known[:2], 0 * known[2:]]))
    # Without memory the placement comes to the host, where it is seen at once.
    with eplb.Context(device="cuda") as other, pytest.raises(eplb.InvalidPlacement, match="layer 2, slot 7"):
        other.split(put(FIRST), put(bad), GPUS)


def test_split_that_is_read_too_late(put, context, placement):
    text = "of a split on a device is there until"
    context.solve(put(FIRST), **LARGE)
    found = context.split(None, placement, GPUS)
    context.evaluate(placement[:, ::-1], policy="global", num_gpus=8)  # another problem than the split's
    assert found.quota is found.quota
    assert np.array_equal(found.to_host().gap, of_cpu(FIRST, placement).gap)
    context.split(None, placement, GPUS)
    with pytest.raises(eplb.InvalidState, match="gpu_load " + text):
        found.gpu_load  # noqa: B018
    for change in (
        lambda: context.upload(put(SECOND)),
        lambda: context.solve(put(SECOND), **LARGE),
        lambda: context.split(SECOND, placement[::-1], GPUS),
        lambda: context.static_dispatch(None, placement[::-1], GPUS),
        context.close,
    ):
        found = context.split(put(FIRST), placement, GPUS)
        change()
        with pytest.raises(eplb.InvalidState, match="closed" if change == context.close else "quota " + text):
            found.quota  # noqa: B018
    assert str(found).startswith("DeviceSplit: 3 layers, 80 slots of 16 GPUs")
    assert np.array_equal(found.share.array, of_cpu(FIRST, placement).share)


def test_weights_after_a_split_that_failed(put, context, placement):
    context.upload(put(SECOND))
    with pytest.raises(eplb.InvalidPlacement, match="layer 0, slot 3"):
        context.split(put(FIRST), np.where(np.arange(80) == 3, 99, placement), GPUS)
    check(context, context.split(None, placement, GPUS), of_cpu(SECOND, placement))
    for bad in (placement * 1.0, placement[0]):
        with pytest.raises(eplb.InvalidArgument, match="must be integers"):
            context.split(put(FIRST), put(bad), GPUS)
    check(context, context.split(None, placement, GPUS), of_cpu(SECOND, placement))


def test_split_takes_more_memory(put, context, placement):
    context.split(put(FIRST[:1]), placement[:1], GPUS)
    check(context, context.split(put(FIRST), put(placement), GPUS), of_cpu(FIRST, placement))
    small = on_cpu(PAIRS, **SIZES).physical_to_logical
    check(context, context.split(put(np.array(PAIRS)), small[0], 8), of_cpu(PAIRS, small, 8))
    assert np.array_equal(context.solve(FIRST, **LARGE).replica_count, on_cpu(FIRST, **LARGE).replica_count)


def test_split_shows_itself(put, context, placement):
    found, known = context.split(put(FIRST), placement, GPUS), of_cpu(FIRST, placement)
    assert repr(found) == "DeviceSplit(3 layers, 80 slots of 16 GPUs)"
    assert str(found).splitlines()[1:] == str(known).splitlines()[1:]
    assert (found.to_dict(), found.imbalance_mean) == (known.to_dict(), known.imbalance_mean)
    assert not hasattr(found, "shares")


def test_capture_needs_what_splits_need(device, context, placement):
    state, put = device
    weights = put(FIRST)
    context.split(weights, placement[[1, 0, 2]], GPUS)
    state.capturing = True
    with pytest.raises(eplb.InvalidState, match="nothing is prepared for splits over that placement"):
        context.split(weights, placement, GPUS)
    with (
        eplb.Context(device="cuda") as other,
        pytest.raises(eplb.InvalidState, match="nothing is reserved for weights"),
    ):
        other.split(weights, placement, GPUS)


@pytest.mark.parametrize("where", ["host", "device"])
def test_graph_of_a_split(device, context, placement, lazy, where):
    state, put = device
    array, over = FIRST.copy(), placement.copy()
    weights, there = put(array), put(over)
    source = over if where == "host" else there
    context.split(weights, source, GPUS)
    context.synchronize()
    graph = Graph(lazy, state, lambda: context.split(weights, source, GPUS))
    for given in (SECOND, FIRST):
        array[:] = given
        before = waits(lazy)
        graph.replay()
        assert waits(lazy) == before
        context.synchronize()
        check(context, graph.captured, of_cpu(given, placement))
    over[:] = placement[[2, 0, 1]]
    if where == "host":
        context.split(put(SECOND), over, GPUS)  # replays are over the placement that was given last
    graph.replay()
    context.synchronize()
    assert np.array_equal(graph.captured.share.array, of_cpu(FIRST, over).share)
    for call in (
        lambda: context.split(put(FIRST), placement[:, ::-1], 8),
        lambda: context.split(FIRST, placement[:, ::-1], 8),
        lambda: context.static_dispatch(FIRST, placement, 8),
    ):
        with pytest.raises(eplb.InvalidState, match="captured in a graph, which holds its memory for splits"):
            call()
    array[0, 2] = -1
    graph.replay()
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 0, expert 2\] is negative"):
        context.synchronize()


def test_graph_of_a_solve_and_a_split(device, context, lazy):
    state, put = device
    array, tokens = FIRST.copy(), SECOND.copy()
    weights, now = put(array), put(tokens)

    def work():
        plan = context.solve(weights, **LARGE)
        return plan, context.split(now, plan)

    context.solve(weights, **LARGE)
    context.split(now, on_cpu(FIRST, **LARGE))
    context.synchronize()
    graph = Graph(lazy, state, work)
    for first, second in ((THIRD, FIRST), (SECOND, THIRD)):
        array[:], tokens[:] = first, second
        graph.replay()
        context.synchronize()
        placement = on_cpu(first, **LARGE).physical_to_logical
        plan, split = graph.captured
        assert np.array_equal(plan.physical_to_logical.array, placement)
        assert np.array_equal(split.share.array, of_cpu(second, placement).share)
        # Nobody but the device knows what it has replayed.
        check(context, context.split(now, plan), of_cpu(second, placement))


def test_splits_over_a_plan_that_is_replayed(device, context, lazy):
    state, put = device
    array = FIRST.copy()
    weights = put(array)
    context.reserve(array.shape, **LARGE, dtype=array.dtype)
    graph = Graph(lazy, state, lambda: context.solve(weights, **LARGE))
    for given in (SECOND, THIRD):
        array[:] = given
        graph.replay()
        context.synchronize()
        split = context.split(put(FIRST), graph.captured)
        check(context, split, of_cpu(FIRST, on_cpu(given, **LARGE)))


def test_graph_of_a_split_that_is_never_replayed(device, context, placement, lazy):
    state, put = device
    plan, weights = context.solve(put(FIRST), **LARGE), put(SECOND)
    context.split(weights, placement, GPUS)
    Graph(lazy, state, lambda: context.split(weights, plan))
    check(context, context.split(weights, plan), of_cpu(SECOND, on_cpu(FIRST, **LARGE)))
