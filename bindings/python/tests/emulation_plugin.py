"""What the tests on an emulated CUDA share; a plugin of the pytest that test_emulation.py runs them with.

Emulated streams go on only when somebody waits, so maps hold what they were made with until then.
"""

import ctypes
import os

import eplb
import numpy as np
import pytest
from eplb import _device_pool
from fake_devices import fake_cupy, fake_torch

SIZES = {"num_slots": 16, "num_gpus": 8}
LARGE = {"num_slots": 80, "num_gpus": 16, "num_nodes": 2, "num_groups": 4}
CALL = (80, 4, 2, 16)
PER_THREAD = 2  # cudaStreamPerThread
UNTOUCHED = -7


@pytest.fixture(scope="module", autouse=True)
def lazy():
    emulation = ctypes.CDLL(os.environ["EPLB_LIBRARY"])
    emulation.emulation_set_progress(0)
    emulation.emulation_count.restype = ctypes.c_int64
    return emulation


@pytest.fixture(params=["cupy", "torch"])
def device(request, monkeypatch):
    """A library's state, and what puts numpy arrays on a device."""
    if request.param == "torch":
        pytest.importorskip("torch")
        return fake_torch(monkeypatch)
    return fake_cupy(monkeypatch)


@pytest.fixture
def put(device):
    return device[1]


@pytest.fixture(autouse=True)
def no_sessions_left():
    yield
    try:
        eplb.synchronize()
    finally:
        _device_pool._captured.clear()
        _device_pool._local.__dict__.clear()


def on_cpu(weights, **problem):
    with eplb.Context() as made:
        return made.solve(weights, **problem)


def check_plan(plan, expected):
    for name in ("physical_to_logical", "logical_to_physical", "replica_count", "replica_slots"):
        assert np.array_equal(getattr(plan, name).array, getattr(expected, name)), name
    assert plan.max_replicas == expected.max_replicas


def waits(lazy):
    return lazy.emulation_count(b"synchronisations")


class Graph:
    """A captured graph of the emulated runtime, which the library exports."""

    def __init__(self, cuda, state, work):
        self.cuda, self.graph, self.ready = cuda, ctypes.c_void_p(), ctypes.c_void_p()
        self.stream = ctypes.c_void_p()
        self.call("cudaSetDevice", 0)
        self.call("cudaStreamCreateWithFlags", ctypes.byref(self.stream), 1)
        state.stream, state.capturing = self.stream.value, True
        self.call("cudaStreamBeginCapture", self.stream, 0)
        self.captured = work()
        self.call("cudaStreamEndCapture", self.stream, ctypes.byref(self.graph))
        state.stream, state.capturing = 0, False
        self.call("cudaGraphInstantiate", ctypes.byref(self.ready), self.graph, ctypes.c_uint64(0))

    def call(self, name, *arguments):
        status = getattr(self.cuda, name)(*arguments)
        assert status == 0, f"{name} answered {status}"

    def replay(self):
        self.call("cudaGraphLaunch", self.ready, self.stream)
