"""Arrays of any kind become numpy arrays on the host; results become the kind that came in.

torch is never imported here: a caller who passes a tensor has imported it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ._errors import Error, InvalidWeight
from ._library import DTYPES, STATUSES, invalid_argument

Array: TypeAlias = npt.NDArray[Any]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Deliver: TypeAlias = Callable[[Array], Any]

# Types that C reads without conversion.
DTYPE_CODES = {np.dtype(name): code for name, code in DTYPES.items()}
_WIDER = {
    "float16": "float32",
    # From ml_dtypes, which jax brings; torch's own is widened by torch.
    "bfloat16": "float32",
    "int8": "int32",
    "int16": "int32",
    "uint8": "int32",
    "uint16": "int32",
    "uint32": "int64",
    "uint64": "int64",
}
_DLPACK_CPU = 1
_NUMPY_FAULTS = (TypeError, ValueError, RuntimeError)
_DLPACK_FAULTS = (BufferError, TypeError, RuntimeError, ValueError, AttributeError)


def to_host(argument: str, value: Any) -> tuple[Array, Deliver]:
    """Returns value as a numpy array, without a copy where possible, and how to turn results into its kind."""
    if type(value) is np.ndarray:
        return value, _as_it_is
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _torch_to_host(argument, torch, value), _torch_delivery(torch, value.device)
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(value, cupy.ndarray):
        # Its __array__ raises, and only later versions copy to the host through DLPack.
        return value.get(), cupy.asarray
    if isinstance(value, np.ma.MaskedArray):
        raise invalid_argument(f"{argument} is a masked array: fill its holes first")
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        return _dlpack_to_host(argument, value), _dlpack_delivery(value)
    return _nested_to_host(argument, torch, value), _as_it_is


def _nested_to_host(argument: str, torch: Any, value: Any) -> Array:
    """Numbers, arrays and tensors in lists, and whatever else numpy can read."""
    try:
        return np.asarray(value)
    except _NUMPY_FAULTS as error:
        fault = error
    try:
        # numpy asks tensors for their contents, which those refuse that have a gradient or a type of torch alone.
        if torch is not None and isinstance(value, (list, tuple)):
            return np.asarray(_without_tensors(argument, torch, value))
    except Error:
        raise
    except _NUMPY_FAULTS as error:
        fault = error
    raise invalid_argument(f"{argument} is no array: {fault}") from None


def _without_tensors(argument: str, torch: Any, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return _torch_to_host(argument, torch, value)
    if isinstance(value, (list, tuple)):
        return [_without_tensors(argument, torch, each) for each in value]
    return value


def weights_to_host(weights: Any) -> tuple[Array, Deliver]:
    """Returns weights as C accepts them: [L,E] or [T,L,E], contiguous, of one of the four types.

    Raises:
        InvalidArgument: a type or number of dimensions that cannot be.
        InvalidWeight: a uint64 above 2^63 - 1.
    """
    # That of an abstract class takes long.
    if not isinstance(weights, np.ndarray) and isinstance(weights, (str, os.PathLike)):
        raise invalid_argument(f"weights is the name {str(weights)!r}, must be an array: eplb.read_loads reads files")
    array, deliver = to_host("weights", weights)
    check_dimensions(array.ndim)
    if array.dtype in DTYPE_CODES and array.flags.carray:
        return array, deliver
    return _prepared(array), deliver


def check_dimensions(ndim: int) -> None:
    if ndim not in (2, 3):
        count = f"{ndim} dimension{'' if ndim == 1 else 's'}"
        raise invalid_argument(f"weights has {count}, must be [layers, experts] or [windows, layers, experts]")


def wider_dtype(name: str) -> str:
    """The C type that holds all values of the named type. Of uint64, the upper half is rejected elsewhere."""
    target = _WIDER.get(name, name)
    if target not in DTYPES:
        some = ", ".join(DTYPES)
        raise invalid_argument(f"weights has dtype {name}, must be {some}, or a smaller or unsigned one of these kinds")
    return target


def dtype_name(dtype: Any) -> str:
    """The name of a type, which is given as a name or as a type of torch or numpy."""
    text = str(dtype)
    if text.startswith("torch."):
        return text.removeprefix("torch.")
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        return text


def placement_to_host(placement: Any, argument: str = "physical_to_logical") -> Array:
    """Returns a placement [L,S], or that of a plan, as C accepts it."""
    array, _ = to_host(argument, getattr(placement, "physical_to_logical", placement))
    return _placement(argument, array)


def current_to_host(current: Any, layers: int, argument: str = "current") -> Array:
    """The same for a current placement, which may be [S], the same in every layer."""
    array, _ = to_host(argument, getattr(current, "physical_to_logical", current))
    return _placement(argument, np.tile(array, (layers, 1)) if array.ndim == 1 else array)


def _placement(argument: str, array: Array) -> Array:
    if array.ndim != 2 or array.dtype.kind not in "iu":
        found = f"{array.dtype.name} of {array.ndim} dimensions"
        raise invalid_argument(f"{argument} is {found}, must be integers [layers, slots]")
    if array.dtype.name == "uint64":
        # What does not fit would become negative, and -1 may be allowed. C rejects this with its layer and slot.
        array = np.minimum(array, np.uint64(2**63 - 1))
    return np.ascontiguousarray(array, np.int64)


def _as_it_is(array: Array) -> Array:
    return array


def _prepared(array: Array) -> Array:
    target = wider_dtype(array.dtype.name)
    if array.dtype.name == "uint64":
        _refuse_above_int64(array)
    # Byte order and alignment, too.
    return np.require(array, np.dtype(target), ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])


def _refuse_above_int64(array: Array) -> None:
    above = np.argwhere(array > np.uint64(2**63 - 1))
    if len(above):
        where = above[0]
        names = ("window", "layer", "expert")[-array.ndim :]
        place = ", ".join(f"{name} {index}" for name, index in zip(names, where, strict=True))
        text = f"weights[{place}] is {array[tuple(where)]}, above 2^63 - 1"
        raise InvalidWeight(text, STATUSES["invalid_weight"], "EPLB_INVALID_WEIGHT")


def _torch_to_host(argument: str, torch: Any, tensor: Any) -> Array:
    try:
        if tensor.requires_grad:
            tensor = tensor.detach()
        if tensor.is_neg():
            # A view that is negated on reading, such as the imaginary part of a conjugate.
            tensor = tensor.resolve_neg()
        if tensor.dtype is torch.bfloat16:
            # numpy has no such type.
            tensor = tensor.float()
        if tensor.device.type != "cpu":
            tensor = tensor.cpu()
        array: Array = tensor.numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        kind = f"{tensor.dtype} on {tensor.device}, {tensor.layout}"
        raise invalid_argument(f"{argument} is a tensor that cannot be read ({kind}): {error}") from None
    return array


def _torch_delivery(torch: Any, device: Any) -> Deliver:
    if device.type == "cpu":
        from_numpy: Deliver = torch.from_numpy
        return from_numpy
    return lambda array: torch.from_numpy(array).to(device)


def _dlpack_to_host(argument: str, value: Any) -> Array:
    try:
        if value.__dlpack_device__()[0] == _DLPACK_CPU:
            return np.from_dlpack(value)
        # numpy 2.1 and later ask the producer for a copy on the host.
        return np.from_dlpack(value, device="cpu")
    except _DLPACK_FAULTS as error:
        # numpy's DLPack lacks bfloat16, for example; the producer's own conversion to numpy may support it.
        try:
            array = np.asarray(value)
        except _DLPACK_FAULTS:
            array = np.empty(0, object)
        if array.dtype == object:
            kind = type(value).__name__
            raise invalid_argument(f"{argument} is a {kind} that cannot be read on the host: {error}") from None
        return array


def namespace_of(value: Any) -> Any:
    """The module that makes arrays of this kind; None if it is unknown."""
    if hasattr(value, "__array_namespace__"):
        return value.__array_namespace__()
    return sys.modules.get(type(value).__module__.partition(".")[0])


def _dlpack_delivery(value: Any) -> Deliver:
    from_dlpack = getattr(namespace_of(value), "from_dlpack", None)
    if from_dlpack is None:
        return _as_it_is
    if value.__dlpack_device__()[0] == _DLPACK_CPU:
        return lambda array: from_dlpack(array)
    device = value.device
    return lambda array: from_dlpack(array, device=device)
