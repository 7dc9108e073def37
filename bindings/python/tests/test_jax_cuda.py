"""JAX on a real GPU: its arrays come in, and results go back, through DLPack and torch or CuPy."""

import os

import eplb
import numpy as np
import pytest
from eplb.sample import sample_weights

# Else it takes most of the device's memory, and other tests are in this process.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
jax = pytest.importorskip("jax")
try:
    DEVICE = jax.devices("cuda")[0]
except RuntimeError as error:
    pytest.skip(f"JAX finds no CUDA device: {error}", allow_module_level=True)
if not eplb.backends()["cuda"].usable:
    pytest.skip(eplb.backends()["cuda"].text, allow_module_level=True)
pytest.importorskip("torch")

SIZES = {"num_slots": 80, "num_gpus": 16, "num_nodes": 2, "num_groups": 4}


def test_as_on_the_cpu():
    weights = sample_weights(3, 64).astype("float32")
    with eplb.Context() as cpu, eplb.Context(device="cuda:0") as context:
        expected = cpu.solve(weights, **SIZES)
        plan = context.solve(jax.device_put(weights, DEVICE), **SIZES)
        context.synchronize()
        for name in ("physical_to_logical", "logical_to_physical", "replica_count"):
            assert np.array_equal(np.asarray(getattr(plan, name)), getattr(expected, name)), name
