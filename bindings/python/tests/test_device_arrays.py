"""Arrays on CUDA devices, as far as a machine without one goes: who may give what to whom, and what is made of it."""

import sys

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from eplb._device_arrays import cuda_index, device_weights
from eplb._library import DTYPES
from fake_devices import fake_cupy
from test_arrays import SIZES, SMALL, Tensor, answer_of

# With a GPU, what only claims to be on one must get no further than this.
no_gpu = pytest.mark.skipif("eplb.backends()['cuda'].usable", reason="there is a GPU, and these arrays are not on it")
WIDER = {
    "float16": "float32",
    "float32": "float32",
    "float64": "float64",
    "int8": "int32",
    "uint16": "int32",
    "int32": "int32",
    "uint32": "int64",
    "int64": "int64",
    "uint64": "int64",
}


@pytest.fixture
def put(monkeypatch):
    return fake_cupy(monkeypatch)[1]


def test_cuda_index(put):
    assert cuda_index(put(np.ones((1, 8)), 3)) == 3
    # Device memory and managed memory; not the host's, pinned or not, and not ROCm's.
    kinds = {2: 1, 13: 1, 1: None, 3: None, 10: None}
    assert {kind: cuda_index(Tensor(np.ones(1), (kind, 1))) for kind in kinds} == kinds
    for value in (np.ones(3), [1, 2], None, 3.5):
        assert cuda_index(value) is None


def test_cuda_index_of_torch():
    torch = pytest.importorskip("torch")
    assert cuda_index(torch.ones(3)) is None
    assert cuda_index(torch.ones(3, device="meta")) is None


def test_context_on_the_cpu_refuses(context, put):
    text = r"weights is on cuda:1, but the context is on the CPU: make it with Context\(device='cuda:1'\), or .*cpu\(\)"
    for weights in (put(np.array(PAIRS), 1), Tensor(np.array(PAIRS), device=(2, 1))):
        with pytest.raises(eplb.InvalidArgument, match=text):
            context.solve(weights, 16, 8)
        with pytest.raises(eplb.InvalidArgument, match=text):
            context.upload(weights)


def test_evaluate_reads_from_a_device(context, put):
    plan = context.solve(PAIRS, 16, 8)
    report = context.evaluate(put(plan.physical_to_logical), put(np.array(PAIRS)))
    assert report.imbalance_mean == plan.report.imbalance_mean


@no_gpu
def test_without_cuda_the_host_places(put):
    result = eplb.rebalance_experts(put(np.array(PAIRS)), *SIZES)
    assert all(cuda_index(each) == 0 for each in result)
    for given, expected in zip(result, answer_of(PAIRS), strict=True):
        assert np.array_equal(given.get(), expected)


@no_gpu
def test_without_cuda_nothing_is_captured(monkeypatch):
    state, put = fake_cupy(monkeypatch)
    state.capturing = True
    with pytest.raises(eplb.InvalidState, match="there is nothing to capture: "):
        eplb.rebalance_experts(put(np.array(PAIRS)), *SIZES)


@pytest.mark.parametrize("dtype", WIDER)
def test_widened_on_the_device(put, dtype):
    weights = device_weights(put(np.array(SMALL, dtype)), 0)
    assert weights.array.dtype == WIDER[dtype]
    assert (weights.dtype, weights.shape) == (DTYPES[WIDER[dtype]], (1, 1, 8))


def test_made_contiguous_on_the_device(put):
    array = np.arange(48, dtype=np.float32).reshape(2, 8, 3).transpose(0, 2, 1)
    weights = device_weights(put(array), 0)
    assert weights.array.array.flags.c_contiguous
    assert np.array_equal(weights.array.get(), array)
    assert weights.shape == (2, 3, 8)
    # What is fit already is taken as it is.
    assert device_weights(weights.array, 0).array is weights.array


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.ones(8), "1 dimension, must"),
        (np.ones((1, 8), bool), "dtype bool"),
        (np.ones((1, 8), complex), "complex128"),
    ],
)
def test_what_is_refused(put, array, text):
    with pytest.raises(eplb.InvalidArgument, match=text):
        device_weights(put(array), 0)


def test_other_libraries_need_torch_or_cupy(monkeypatch):
    for name in ("torch", "cupy"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert device_weights(Tensor(np.array(PAIRS), device=(2, 0)), 0) is None


def test_other_libraries_come_as_cupy(monkeypatch, put):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    weights = device_weights(Tensor(np.array(PAIRS, np.float32), device=(2, 1)), 1)
    assert cuda_index(weights.array) == 1
    assert np.array_equal(weights.array.get(), PAIRS)


def test_reserve_on_the_cpu_is_a_hint(context):
    context.reserve((1, 8), 16, 8, dtype=np.float64)
    assert np.array_equal(context.solve(PAIRS, 16, 8).replica_count.sum(axis=1), [16])
    for shape, dtype, text in (
        ((8,), "int32", "1 dimension"),
        ((1, 8), "bool", "dtype bool"),
        ((1, 8.5), "int32", "shape is 8.5"),
    ):
        with pytest.raises(eplb.InvalidArgument, match=text):
            context.reserve(shape, 16, 8, dtype=dtype)
    with pytest.raises(eplb.InvalidArgument, match="must be a multiple"):
        context.reserve((1, 8), 17, 8)


def test_synchronize_every_device():
    eplb.rebalance_experts(PAIRS, 16, 1, 1, 8)
    for device in (None, "cpu", "cuda", "cuda:1"):
        eplb.synchronize(device)
