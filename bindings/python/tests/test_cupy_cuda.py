"""CuPy on a real GPU: its arrays in, its arrays out, on whichever of its streams is current."""

import eplb
import numpy as np
import pytest
from eplb.sample import sample_weights

try:
    import cupy
except ImportError as error:
    pytest.skip(f"no CuPy that can be used: {error}", allow_module_level=True)
if not cupy.cuda.is_available():
    pytest.skip("CuPy finds no CUDA device", allow_module_level=True)
if not eplb.backends()["cuda"].usable:
    pytest.skip(eplb.backends()["cuda"].text, allow_module_level=True)

SIZES = {"num_slots": 80, "num_gpus": 16, "num_nodes": 2, "num_groups": 4}
CALL = (80, 4, 2, 16)


def on_cpu(weights, **options):
    with eplb.Context() as made:
        return made.solve(weights, **SIZES, **options)


def check(given, expected, name):
    assert isinstance(given, cupy.ndarray)
    assert np.array_equal(cupy.asnumpy(given), getattr(expected, name)), name


def streams():
    return {
        "null": cupy.cuda.Stream.null,
        "its own": cupy.cuda.Stream(non_blocking=True),
        "the thread's": cupy.cuda.Stream.ptds,
    }


@pytest.mark.parametrize("name", ["null", "its own", "the thread's"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "float16", "uint16"])
def test_as_on_the_cpu(name, dtype):
    weights = (sample_weights(3, 64) % 60000).astype(dtype)
    expected = on_cpu(weights)
    with streams()[name] as stream, eplb.Context(device="cuda:0") as context:
        plan = context.solve(cupy.asarray(weights), **SIZES)
        maps = eplb.rebalance_experts(cupy.asarray(weights), *CALL)
        stream.synchronize()
        for field in ("physical_to_logical", "logical_to_physical", "replica_count", "gpu_load", "bound"):
            check(getattr(plan, field), expected, field)
        for given, field in zip(maps, ("physical_to_logical", "logical_to_physical", "replica_count"), strict=True):
            check(given, expected, field)
        context.synchronize()
    eplb.synchronize("cuda:0")


def test_late_error():
    weights = cupy.asarray(sample_weights(3, 64)).astype("float64")
    weights[1, 5] = cupy.nan
    with eplb.Context(device="cuda:0") as context:
        context.solve(weights, **SIZES)
        with pytest.raises(eplb.InvalidWeight, match=r"weights\[layer 1, expert 5\] is NaN"):
            context.synchronize()
