"""Weights on a CUDA device: their library, its current stream, and how it makes arrays there.

torch and CuPy are known; they are never imported here. Arrays of other libraries come in as torch's or CuPy's,
whichever of these is loaded, through DLPack's exchange of streams, and results go back the same way. Nothing here
waits for a device.

What is made here lives on the current stream of its library, whose allocator hands memory on in the order of that
stream: so an array may be dropped while work on it is still queued. The caller's array is read on that stream, too; if
it was made on another one, the caller orders the two and calls record_stream, as for any operation of torch.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Array, check_dimensions, namespace_of, weights_to_host, wider_dtype
from ._errors import Error
from ._library import DTYPES, invalid_argument

_DLPACK_CUDA = (2, 13)  # device memory, managed memory
_PLACEMENT_TYPES = ("int32", "int64")
_FAULTS = (BufferError, TypeError, RuntimeError, ValueError, AttributeError, NotImplementedError)


class Maker(ABC):
    """A library of arrays, on one CUDA device.

    Attributes:
        index: of the device.
        deliver: turns a result into what the caller gets.
    """

    def __init__(self, module: Any, index: int, deliver: Callable[[Any], Any] | None = None) -> None:
        self._module = module
        self.index = index
        self.deliver = deliver or (lambda array: array)

    @abstractmethod
    def stream(self) -> int:
        """The current stream, as a cudaStream_t."""

    @abstractmethod
    def capturing(self) -> bool:
        """Whether that stream is being captured in a graph."""

    @abstractmethod
    def dtype_name(self, array: Any) -> str: ...

    @abstractmethod
    def contiguous(self, array: Any, dtype: str) -> Any:
        """The array in C order, of that type; itself if it is so already."""

    @abstractmethod
    def copy(self, array: Any) -> Any: ...

    @abstractmethod
    def empty(self, shape: Sequence[int], dtype: str) -> Any: ...

    @abstractmethod
    def pointer(self, array: Any) -> int: ...


class _Torch(Maker):
    def stream(self) -> int:
        handle: int = self._module.cuda.current_stream(self.index).cuda_stream
        return handle

    def capturing(self) -> bool:
        # torch answers for the current device only.
        cuda = self._module.cuda
        if cuda.current_device() == self.index:
            return bool(cuda.is_current_stream_capturing())
        with cuda.device(self.index):
            return bool(cuda.is_current_stream_capturing())

    def dtype_name(self, array: Any) -> str:
        return str(array.dtype).removeprefix("torch.")

    def contiguous(self, array: Any, dtype: str) -> Any:
        if array.layout is not self._module.strided:
            raise TypeError("it is not dense")
        # A negated view needs the copy that contiguous() alone would skip.
        return array.detach().resolve_neg().to(getattr(self._module, dtype)).contiguous()

    def copy(self, array: Any) -> Any:
        return array.clone()

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        return self._module.empty(shape, dtype=getattr(self._module, dtype), device=f"cuda:{self.index}")

    def pointer(self, array: Any) -> int:
        address: int = array.data_ptr()
        return address


class _Cupy(Maker):
    def stream(self) -> int:
        return int(self._stream().ptr)

    def capturing(self) -> bool:
        return bool(self._stream().is_capturing())

    def _stream(self) -> Any:
        with self._module.cuda.Device(self.index):
            return self._module.cuda.get_current_stream()

    def dtype_name(self, array: Any) -> str:
        return str(array.dtype.name)

    def contiguous(self, array: Any, dtype: str) -> Any:
        with self._module.cuda.Device(self.index):
            return self._module.ascontiguousarray(array, dtype)

    def copy(self, array: Any) -> Any:
        with self._module.cuda.Device(self.index):
            return array.copy()

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        with self._module.cuda.Device(self.index):
            return self._module.empty(tuple(shape), dtype)

    def pointer(self, array: Any) -> int:
        return int(array.data.ptr)


@dataclass(frozen=True)
class DeviceWeights:
    """Weights as C accepts them from a device.

    Attributes:
        array: what owns the memory.
        maker: its library.
        dtype: C's number of its type.
        shape: [T,L,E].
    """

    array: Any
    maker: Maker
    dtype: int
    shape: tuple[int, int, int]

    def copy(self) -> DeviceWeights:
        return DeviceWeights(self.maker.copy(self.array), self.maker, self.dtype, self.shape)


def cuda_index(value: Any) -> int | None:
    """Index of the CUDA device that an array is on; None if it is elsewhere, or is no array of a device."""
    if type(value) is np.ndarray:
        return None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        # With HIP, too, torch calls its devices cuda.
        return value.device.index if value.is_cuda and torch.version.hip is None else None
    if not hasattr(value, "__dlpack_device__"):
        return None
    try:
        kind, index = value.__dlpack_device__()
    except _FAULTS:
        return None
    return int(index) if kind in _DLPACK_CUDA else None


def read_weights(weights: Any, context_index: int | None) -> Array | DeviceWeights:
    """Weights for a context on that CUDA device, None: on the CPU; from the host, or where they are on that device."""
    index = cuda_index(weights)
    if index is None:
        return weights_to_host(weights)[0]
    if context_index is None:
        raise invalid_argument(
            f"weights is on cuda:{index}, but the context is on the CPU: make it with "
            f"Context(device='cuda:{index}'), or give weights on the host (torch: weights.cpu())"
        )
    if context_index != index:
        raise invalid_argument(
            f"weights is on cuda:{index}, but the context is on cuda:{context_index}: make it with "
            f"Context(device='cuda:{index}'), or move the weights"
        )
    found = device_weights(weights, index)
    if found is None:
        raise invalid_argument(
            f"weights is a {type(weights).__name__} on cuda:{index}, whose maps need torch or CuPy, and neither is "
            "loaded: import one of them, or give weights on the host"
        )
    return found


def device_weights(value: Any, index: int) -> DeviceWeights | None:
    """Returns weights on that device as C accepts them; None if neither torch nor CuPy is loaded to make the results.

    Conversions happen on the device, in the order of the current stream. A uint64 above 2^63 - 1 becomes negative,
    which the library finds and reports.

    Raises:
        InvalidArgument: a type or number of dimensions that cannot be.
    """
    try:
        found = _find_maker(value, index)
        if found is None:
            return None
        maker, array = found
        check_dimensions(array.ndim)
        dtype = wider_dtype(maker.dtype_name(array))
        array = maker.contiguous(array, dtype)
        # Some tensors, such as those of a tracing compiler, have no memory: then this raises.
        maker.pointer(array)
    except Error:
        raise
    except _FAULTS as error:
        kind = type(value).__name__
        raise invalid_argument(f"weights is a {kind} on cuda:{index} that cannot be read there: {error}") from None
    windows, layers, experts = array.shape if array.ndim == 3 else (1, *array.shape)
    return DeviceWeights(array, maker, DTYPES[dtype], (windows, layers, experts))


@dataclass(frozen=True)
class DevicePlacement:
    """A placement as C accepts it from a device; array, maker and dtype as of weights, shape is [L,S]."""

    array: Any
    maker: Maker
    dtype: int
    shape: tuple[int, int]


def device_placement(value: Any, index: int) -> DevicePlacement | None:
    """Returns a placement on that device as C accepts it; None if it is elsewhere, or nobody can read it there.

    Raises:
        InvalidArgument: a type or number of dimensions that cannot be.
    """
    if cuda_index(value) != index:
        return None
    try:
        found = _find_maker(value, index)
        if found is None:
            return None
        maker, array = found
        name = maker.dtype_name(array)
        if array.ndim != 2 or not name.removeprefix("u").startswith("int"):
            text = (
                f"plan_or_placement is {name} of {array.ndim} dimensions, must be integers [layers, slots] on a device"
            )
            raise invalid_argument(text)
        dtype = name if name in _PLACEMENT_TYPES else "int64"
        array = maker.contiguous(array, dtype)
        maker.pointer(array)
    except Error:
        raise
    except _FAULTS as error:
        kind = type(value).__name__
        raise invalid_argument(
            f"plan_or_placement is a {kind} on cuda:{index} that cannot be read there: {error}"
        ) from None
    layers, slots = array.shape
    return DevicePlacement(array, maker, DTYPES[dtype], (layers, slots))


def _find_maker(value: Any, index: int) -> tuple[Maker, Any] | None:
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(value, torch.Tensor):
        return _Torch(torch, index), value
    if cupy is not None and isinstance(value, cupy.ndarray):
        return _Cupy(cupy, index), value
    # The library of the array can convert results back.
    deliver = getattr(namespace_of(value), "from_dlpack", None)
    if torch is not None and torch.cuda.is_available():
        return _Torch(torch, index, deliver), torch.from_dlpack(value)
    if cupy is not None:
        return _Cupy(cupy, index, deliver), cupy.from_dlpack(value)
    return None
