"""Libraries of device arrays for machines without a GPU: CuPy and torch as far as eplb uses them, over host memory.

The emulated CUDA takes host memory for device memory, so with libeplb_emulated.so all of it works; with another library
only what happens before the first call that is given a pointer.
"""

import contextlib
import sys
import types

import numpy as np

# Emulated streams read and write late, and nothing here is in their order: so no memory is given back.
_kept = []


class State:
    """What the current stream is, and whether a graph is being captured."""

    stream = 0
    capturing = False


class DeviceArray:
    """Stands for cupy.ndarray."""

    def __init__(self, array, index=0):
        _kept.append(array)
        self.array, self.index = array, index
        self.dtype, self.ndim, self.shape = array.dtype, array.ndim, array.shape
        self.data = types.SimpleNamespace(ptr=array.ctypes.data)

    def __dlpack_device__(self):
        return 2, self.index

    def __dlpack__(self, **more):
        raise BufferError("not to the host")

    def __array__(self, *arguments, **more):
        raise TypeError("not implicitly")

    def copy(self):
        return DeviceArray(self.array.copy(), self.index)

    def get(self):
        return self.array.copy()


def fake_cupy(monkeypatch):
    """Loads the fake CuPy; returns its state and what puts a numpy array on a device."""
    state, current = State(), [0]

    @contextlib.contextmanager
    def device(index):
        before, current[0] = current[0], index
        yield
        current[0] = before

    def get_current_stream():
        return types.SimpleNamespace(ptr=state.stream, is_capturing=lambda: state.capturing)

    module = types.ModuleType("cupy")
    module.ndarray = DeviceArray
    module.cuda = types.SimpleNamespace(Device=device, get_current_stream=get_current_stream)
    module.empty = lambda shape, dtype: DeviceArray(np.full(shape, -7, dtype), current[0])
    module.asarray = lambda array: DeviceArray(np.array(array), current[0])
    module.from_dlpack = lambda value: DeviceArray(value.array, value.__dlpack_device__()[1])

    def ascontiguousarray(array, dtype):
        if array.dtype == dtype and array.array.flags.c_contiguous:
            return array
        return DeviceArray(np.ascontiguousarray(array.array, dtype), array.index)

    module.ascontiguousarray = ascontiguousarray
    monkeypatch.setitem(sys.modules, "cupy", module)
    return state, DeviceArray


def fake_torch(monkeypatch):
    """The same with torch, whose own operations are used."""
    torch, state = sys.modules["torch"], State()

    class Tensor(torch.Tensor):
        is_cuda = True
        index = 0

        @property
        def device(self):
            return types.SimpleNamespace(type="cuda", index=self.index)

        @property
        def array(self):
            return self.as_subclass(torch.Tensor).numpy()

        @classmethod
        def __torch_function__(cls, function, kinds, arguments=(), more=None):
            result = super().__torch_function__(function, kinds, arguments, more or {})
            _kept.append(result)
            return result

    def put(array, index=0):
        tensor = torch.as_tensor(array).as_subclass(Tensor)
        _kept.append(tensor)
        tensor.index = index
        return tensor

    class Module(types.ModuleType):
        def __getattr__(self, name):
            return getattr(torch, name)

    module = Module("torch")
    module.Tensor = Tensor
    module.version = types.SimpleNamespace(hip=None)
    # What was worked out on the host goes back to the fake device.
    module.from_numpy = lambda array: types.SimpleNamespace(to=lambda device: put(array, device.index))
    module.empty = lambda shape, dtype, device: put(torch.full(tuple(shape), -7, dtype=dtype), int(device[5:]))
    module.cuda = types.SimpleNamespace(
        current_stream=lambda index: types.SimpleNamespace(cuda_stream=state.stream),
        current_device=lambda: 0,
        device=contextlib.nullcontext,
        is_current_stream_capturing=lambda: state.capturing,
        is_available=lambda: True,
    )
    monkeypatch.setitem(sys.modules, "torch", module)
    return state, put
