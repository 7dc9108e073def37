"""torch on a real GPU: the same answers as the CPU, on torch's streams and in its graphs, and no call that waits."""

import eplb
import numpy as np
import pytest
from conftest import FROM_WEIGHTS
from eplb.sample import sample_weights

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("torch finds no CUDA device", allow_module_level=True)
if not eplb.backends()["cuda"].usable:
    pytest.skip(eplb.backends()["cuda"].text, allow_module_level=True)

LARGE = {"num_slots": 80, "num_gpus": 16, "num_nodes": 2, "num_groups": 4}
CALL = (80, 4, 2, 16)
# Of the GPU's clock: about a second, far longer than any call here.
LONG = 2_000_000_000


@pytest.fixture
def context():
    with eplb.Context(device="cuda:0") as made:
        yield made


def on_cpu(weights, **options):
    with eplb.Context() as made:
        return made.solve(weights, **LARGE, **options)


def check_maps(maps, expected):
    names = ("physical_to_logical", "logical_to_physical", "replica_count")
    for given, name in zip(maps, names, strict=True):
        assert given.device == torch.device("cuda:0")
        assert given.dtype == torch.int64
        assert np.array_equal(given.cpu().numpy(), getattr(expected, name)), name


def check_plan(plan, expected):
    check_maps((plan.physical_to_logical, plan.logical_to_physical, plan.replica_count), expected)


def on_gpu(weights):
    return torch.as_tensor(weights).to("cuda:0")


@pytest.mark.parametrize("strategy", FROM_WEIGHTS)
def test_as_on_the_cpu(context, strategy):
    weights = sample_weights(3, 64, 5)
    plan, expected = context.solve(on_gpu(weights), **LARGE, strategy=strategy), on_cpu(weights, strategy=strategy)
    check_plan(plan, expected)
    for name in ("replica_slots", "gpu_load", "imbalance", "bound", "duplicates"):
        assert np.array_equal(getattr(plan, name).cpu().numpy(), getattr(expected, name)), name
    assert plan.report.imbalance_mean == expected.report.imbalance_mean


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "uint8", "int16", "int32", "int64"])
def test_dtypes_and_layouts(context, dtype):
    table = torch.randint(0, 100, (6, 64), generator=torch.Generator().manual_seed(1)).to(getattr(torch, dtype))
    device = on_gpu(table)
    pairs = [(device, table), (device.T.contiguous().T, table), (device[::2], table[::2])]
    pairs += [(device.reshape(2, 3, 64), table.reshape(2, 3, 64))]
    for given, same in pairs:
        check_plan(context.solve(given, **LARGE), on_cpu(same))


def test_rebalance():
    weights = sample_weights(3, 64)
    check_maps(eplb.rebalance_experts(on_gpu(weights), *CALL), on_cpu(weights))
    eplb.synchronize("cuda:0")


def test_torchs_state_stays(context):
    device, stream = torch.cuda.current_device(), torch.cuda.current_stream()
    context.solve(on_gpu(sample_weights(3, 64)), **LARGE)
    assert (torch.cuda.current_device(), torch.cuda.current_stream()) == (device, stream)


@pytest.mark.parametrize("side", [False, True])
def test_stream_and_no_wait(context, side):
    """On another stream the weights would be read too early, and a call that waits would come back after the sleep."""
    first, second = sample_weights(3, 64, 1), sample_weights(3, 64, 2)
    weights, later = on_gpu(first), on_gpu(second)
    with torch.cuda.stream(torch.cuda.Stream() if side else torch.cuda.current_stream()):
        # Memory is had, and kernels are loaded, by a first call.
        context.solve(weights, **LARGE)
        eplb.rebalance_experts(weights, *CALL)
        torch.cuda.synchronize()
        torch.cuda._sleep(LONG)
        asleep = torch.cuda.Event()
        asleep.record()
        weights.copy_(later)
        plan = context.solve(weights, **LARGE)
        maps = eplb.rebalance_experts(weights, *CALL)
        assert not asleep.query()
        expected = on_cpu(second)
        check_plan(plan, expected)
        check_maps(maps, expected)
    context.synchronize()
    eplb.synchronize()


def test_late_error(context):
    weights = on_gpu(sample_weights(3, 64)).double()
    weights[2, 7] = torch.nan
    plan = context.solve(weights, **LARGE)
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 2, expert 7\] is NaN"):
        context.synchronize()
    context.synchronize()
    weights[2] = 0
    check_plan(plan, on_cpu(weights.cpu()))
    weights[1, 1] = -1
    eplb.rebalance_experts(weights, *CALL)
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 1, expert 1\] is negative"):
        eplb.synchronize("cuda:0")
    eplb.synchronize("cuda:0")


@pytest.mark.parametrize("dtype", ["int64", "bfloat16"])
def test_graph(context, dtype):
    tables = [on_gpu(sample_weights(3, 64, seed)).to(getattr(torch, dtype)) for seed in range(3)]
    weights = tables[0].clone()
    context.reserve(weights.shape, dtype="float32" if dtype == "bfloat16" else weights.dtype, **LARGE)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        plan = context.solve(weights, **LARGE)
    for table in tables:
        weights.copy_(table)
        graph.replay()
        expected = on_cpu(table.cpu())
        check_plan(plan, expected)
        assert plan.report.imbalance_mean == pytest.approx(expected.report.imbalance_mean, rel=1e-12)
    weights[1, 3] = -1
    graph.replay()
    with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 1, expert 3\]"):
        context.synchronize()


def test_graph_of_rebalance():
    weights, other = on_gpu(sample_weights(3, 64, 1)), sample_weights(3, 64, 2)
    eplb.rebalance_experts(weights, *CALL)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        maps = eplb.rebalance_experts(weights, *CALL)
    eplb.rebalance_experts(on_gpu(sample_weights(3, 64, 3)), *CALL)
    weights.copy_(on_gpu(other))
    graph.replay()
    check_maps(maps, on_cpu(other))
    eplb.synchronize()


def test_split(context):
    """Over a placement on the device, at once and in a graph, whose replays read tokens and placement again."""
    weights, gpus = on_gpu(sample_weights(3, 64, 1)), LARGE["num_gpus"]
    placement = on_gpu(on_cpu(sample_weights(3, 64)).physical_to_logical)
    context.split(weights, placement, gpus)
    torch.cuda.synchronize()
    torch.cuda._sleep(LONG)
    asleep = torch.cuda.Event()
    asleep.record()
    found = context.split(weights, placement, gpus)
    assert not asleep.query()
    check_split(found, weights, placement)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = context.split(weights, placement, gpus)
    for seed in (2, 3):
        weights.copy_(on_gpu(sample_weights(3, 64, seed)))
        placement.copy_(placement.flip(0))
        graph.replay()
        check_split(found, weights, placement)
    context.synchronize()


def check_split(found, weights, placement):
    with eplb.Context() as made:
        expected = made.split(weights.cpu(), placement.cpu(), LARGE["num_gpus"])
    for name in ("share", "quota", "gpu_load", "imbalance", "bound", "tight"):
        assert getattr(found, name).device == torch.device("cuda:0")
        assert np.array_equal(getattr(found, name).cpu().numpy(), getattr(expected, name)), name
    assert found.imbalance_mean == expected.imbalance_mean


def test_graph_without_memory(context):
    weights = on_gpu(sample_weights(3, 64))
    with pytest.raises(eplb.InvalidState, match="once before the capture"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        context.solve(weights, **LARGE)


def test_context_on_the_cpu_refuses():
    with eplb.Context() as context, pytest.raises(eplb.InvalidArgument, match="the context is on the CPU"):
        context.solve(on_gpu(sample_weights(3, 64)), **LARGE)


def test_evaluate(context):
    weights = sample_weights(3, 64)
    plan = context.solve(on_gpu(weights), **LARGE)
    expected = on_cpu(weights).report
    for given in (None, weights, on_gpu(weights)):
        report = context.evaluate(plan.physical_to_logical, given)
        np.testing.assert_allclose(report.gap, expected.gap, rtol=1e-9)
