"""Arrays of every kind: what comes in is what goes out, and the answer is the same for all."""

import sys
from pathlib import Path

import eplb
import numpy as np
import pytest
from conftest import PAIRS

SIZES = (16, 1, 1, 8)
SMALL = [[60, 56, 12, 12, 2, 1, 1, 1]]


def answer_of(weights):
    return [np.asarray(each) for each in eplb.rebalance_experts(np.asarray(weights, np.float64), *SIZES)]


def check_answer(result, weights, kind):
    for given, expected in zip(result, answer_of(weights), strict=True):
        assert isinstance(given, kind)
        assert np.array_equal(np.asarray(given), expected)


NUMPY_TYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]


@pytest.mark.parametrize("dtype", NUMPY_TYPES)
def test_numpy(dtype):
    result = eplb.rebalance_experts(np.array(SMALL, dtype), *SIZES)
    check_answer(result, SMALL, np.ndarray)
    assert all(each.dtype == np.int64 and each.flags.owndata and each.flags.writeable for each in result)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("form", ["other byte order", "strided", "reversed", "transposed", "unaligned", "read-only"])
def test_numpy_in_every_layout(dtype, form):
    table = np.array(SMALL * 3, dtype)
    if form == "other byte order":
        array = table.astype(table.dtype.newbyteorder())
    elif form == "strided":
        array = np.repeat(table, 2, axis=1)[:, ::2]
    elif form == "reversed":
        array = np.ascontiguousarray(table[:, ::-1])[:, ::-1]
    elif form == "transposed":
        array = np.ascontiguousarray(table.T).T
    elif form == "unaligned":
        array = np.frombuffer(b"x" + table.tobytes(), table.dtype, offset=1).reshape(table.shape)
    else:
        array = table
        array.flags.writeable = False
    before = array.copy()
    check_answer(eplb.rebalance_experts(array, *SIZES), table, np.ndarray)
    assert np.array_equal(array, before)


@pytest.mark.parametrize("weights", [PAIRS, tuple(map(tuple, PAIRS))])
def test_what_numpy_can_read(weights):
    check_answer(eplb.rebalance_experts(weights, *SIZES), PAIRS, np.ndarray)


def test_windows_are_summed():
    windows = np.array([PAIRS, SMALL, PAIRS])
    check_answer(eplb.rebalance_experts(windows, *SIZES), windows.sum(axis=0), np.ndarray)


def test_uint64_that_fits():
    top = 2**63 - 1
    result = eplb.rebalance_experts(np.array([[top, 1]], np.uint64), 2, 1, 1, 2)
    assert result[2].tolist() == [[1, 1]]


def test_uint64_that_does_not_fit():
    with pytest.raises(
        eplb.InvalidWeight, match=r"weight\[layer 1, expert 0\] is 9223372036854775808, above"
    ) as raised:
        eplb.rebalance_experts(np.array([[1, 1], [2**63, 1]], np.uint64), 2, 1, 1, 2)
    assert raised.value.status == "EPLB_INVALID_WEIGHT"
    with pytest.raises(eplb.InvalidWeight, match=r"weight\[window 0, layer 1, expert 0\]"):
        eplb.rebalance_experts(np.array([[[1, 1], [2**63, 1]]], np.uint64), 2, 1, 1, 2)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (np.ones((1, 8), bool), "dtype bool"),
        (np.ones((1, 8), complex), "dtype complex128"),
        (np.ones((1, 8), np.longdouble), "dtype (longdouble|float128)"),
        (np.array([["a"] * 8]), "dtype str"),
        (np.array([[None] * 8]), "dtype object"),
        (np.ones(8), "1 dimension, must be"),
        (np.ones((1, 1, 1, 8)), "4 dimensions, must be"),
        (3.5, "0 dimensions, must be"),
        ([[1, 2], [3]], "weight is no array"),
        (np.ma.masked_array(PAIRS, PAIRS), "masked array"),
        (None, "0 dimensions, must be"),
        ("loads.csv", "weight is the name 'loads.csv', must be an array: eplb.read_loads reads files"),
        (Path("loads.csv"), "weight is the name 'loads.csv'"),
    ],
)
def test_what_is_refused(weights, text):
    with pytest.raises(eplb.InvalidArgument, match=text):
        eplb.rebalance_experts(weights, *SIZES)


def test_a_list_in_itself_is_refused():
    rows = []
    rows.append(rows)
    with pytest.raises(eplb.InvalidArgument, match="^weight is no array: "):
        eplb.rebalance_experts(rows, *SIZES)


@pytest.mark.parametrize("shape", [(0, 8), (1, 0), (0, 1, 8), (1, 0, 8), (1, 1, 0)])
def test_empty(shape):
    with pytest.raises(eplb.InvalidArgument, match="must be at least 1"):
        eplb.rebalance_experts(np.ones(shape), *SIZES)


class Tensor:
    """Speaks DLPack and nothing else, like the array of some other library."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.on = array, device

    def __dlpack_device__(self):
        return self.on

    def __dlpack__(self, **more):
        if self.on[0] != 1:
            raise BufferError("not from this device")
        return self.array.__dlpack__()

    def __array__(self, *arguments, **more):
        raise TypeError("not implicitly")


class OwnTensor(Tensor):
    def __array_namespace__(self):
        class Namespace:
            @staticmethod
            def from_dlpack(array):
                return OwnTensor(np.from_dlpack(array))

        return Namespace


def test_dlpack_without_namespace_gives_numpy():
    check_answer(eplb.rebalance_experts(Tensor(np.array(PAIRS)), *SIZES), PAIRS, np.ndarray)


def test_dlpack_gives_the_same_kind():
    result = eplb.rebalance_experts(OwnTensor(np.array(PAIRS)), *SIZES)
    assert all(type(each) is OwnTensor for each in result)
    check_answer([each.array for each in result], PAIRS, np.ndarray)


def test_dlpack_of_the_producers_module(monkeypatch):
    module = type(sys)("maker")
    module.from_dlpack = lambda array: Made(np.from_dlpack(array))
    monkeypatch.setitem(sys.modules, "maker", module)
    Made = type("Made", (Tensor,), {"__module__": "maker.arrays"})
    result = eplb.rebalance_experts(Made(np.array(PAIRS)), *SIZES)
    assert all(type(each) is Made for each in result)


def test_dlpack_on_a_device_that_cannot_be_read():
    with pytest.raises(eplb.InvalidArgument, match="weight is a Tensor (on cuda:0 )?that cannot be read"):
        eplb.rebalance_experts(Tensor(np.array(PAIRS), device=(2, 0)), *SIZES)


def test_array_api():
    xp = pytest.importorskip("array_api_strict")
    result = eplb.rebalance_experts(xp.asarray(PAIRS, dtype=xp.float32), *SIZES)
    assert all(isinstance(each, type(xp.asarray(1))) and each.dtype == xp.int64 for each in result)
    check_answer([np.from_dlpack(each) for each in result], PAIRS, np.ndarray)


def test_jax():
    jax = pytest.importorskip("jax")
    for dtype in ("float32", "bfloat16", "int32"):
        result = eplb.rebalance_experts(jax.numpy.asarray(SMALL, dtype=dtype), *SIZES)
        check_answer(result, SMALL, jax.Array)


def test_bfloat16_of_numpy():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    check_answer(eplb.rebalance_experts(np.array(SMALL, ml_dtypes.bfloat16), *SIZES), SMALL, np.ndarray)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", [*NUMPY_TYPES, "bfloat16"])
def test_torch(torch, dtype):
    tensor = torch.tensor(SMALL, dtype=getattr(torch, dtype))
    result = eplb.rebalance_experts(tensor, *SIZES)
    check_answer(result, SMALL, torch.Tensor)
    assert all(each.dtype == torch.int64 and each.device == tensor.device for each in result)


def test_torch_in_every_layout(torch):
    table = torch.tensor(PAIRS * 3, dtype=torch.float32)
    views = [table.T.contiguous().T, table.repeat_interleave(2, 1)[:, ::2], table.expand(2, 3, 8)[1]]
    views += [table.clone().requires_grad_(), torch.nn.Parameter(table), torch.conj(torch.complex(table, -table)).imag]
    for view in views:
        check_answer(eplb.rebalance_experts(view, *SIZES), table, torch.Tensor)


@pytest.mark.parametrize("kind", [list, tuple])
def test_torch_in_lists(torch, kind):
    """What numpy itself cannot read of them: gradients, and types of torch alone."""
    table = torch.tensor(PAIRS * 2, dtype=torch.float32)
    rows = [table, table.clone().requires_grad_(), torch.nn.Parameter(table)]
    for each in (*rows, [table[0], PAIRS[0]], [np.array(PAIRS[0]), rows[1][0]], rows[1][:, :, None].squeeze(2)):
        check_answer(eplb.rebalance_experts(kind(each), *SIZES), table, np.ndarray)
    check_answer(eplb.rebalance_experts(kind(table.bfloat16()), *SIZES), table.bfloat16().float(), np.ndarray)
    scalars = kind(kind(torch.nn.Parameter(number) for number in row) for row in table)
    check_answer(eplb.rebalance_experts(scalars, *SIZES), table, np.ndarray)
    check_answer(eplb.rebalance_experts(kind(rows[1:]), *SIZES), 2 * table, np.ndarray)


def test_torch_in_lists_that_cannot_be_read(torch):
    for tensor in (torch.ones(8, device="meta"), torch.ones(8).to_sparse()):
        with pytest.raises(eplb.InvalidArgument, match="^weight is a tensor that cannot be read"):
            eplb.rebalance_experts([tensor], *SIZES)
    for rows in ([torch.ones(8, requires_grad=True), torch.ones(7)], [torch.ones(8, requires_grad=True), "x"]):
        with pytest.raises(eplb.InvalidArgument, match="^weight is no array: "):
            eplb.rebalance_experts(rows, *SIZES)


def test_torch_result_is_not_shared(torch):
    weights = torch.tensor(PAIRS)
    first = eplb.rebalance_experts(weights, *SIZES)
    copies = [each.clone() for each in first]
    eplb.rebalance_experts(weights.flip(1), *SIZES)
    assert all(torch.equal(each, copy) for each, copy in zip(first, copies, strict=True))
    first[0].add_(1)


def test_torch_that_cannot_be_read(torch):
    for tensor in (torch.ones(1, 8, device="meta"), torch.ones(1, 8).to_sparse()):
        with pytest.raises(eplb.InvalidArgument, match="weight is a tensor that cannot be read"):
            eplb.rebalance_experts(tensor, *SIZES)
    for tensor in (torch.ones(1, 8, dtype=torch.bool), torch.ones(1, 8, dtype=torch.complex64)):
        with pytest.raises(eplb.InvalidArgument, match="dtype"):
            eplb.rebalance_experts(tensor, *SIZES)


def test_torch_on_a_gpu(torch):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    tensor = torch.tensor(PAIRS, device="cuda")
    result = eplb.rebalance_experts(tensor, *SIZES)
    assert all(each.device == tensor.device and each.dtype == torch.int64 for each in result)
    check_answer([each.cpu() for each in result], PAIRS, torch.Tensor)


def test_torch_through_a_context(torch, context):
    weights = torch.tensor(PAIRS)
    plan = context.solve(weights, num_slots=16, num_gpus=8)
    assert isinstance(plan.physical_to_logical, np.ndarray)
    report = context.evaluate(torch.from_numpy(plan.physical_to_logical), weights)
    assert report.imbalance_mean == plan.report.imbalance_mean
