"""What torch.save writes: tensors, alone or under names. Nothing else is ever unpickled."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

from .._errors import FileError
from .load_content import Content
from .load_formats_named import read_bare, read_named
from .load_labels import Labels
from .load_parts import Part


def read_torch(content: Content, labels: Labels) -> list[Part]:
    """A dict with loads under names, as SGLang and vLLM write it, or a bare tensor, as vllm-ascend reads it.

    Raises:
        FileError: torch is not installed, or the file holds something else.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise FileError(f"{content.path}: needs torch, which is not installed: pip install torch") from None
    try:
        value = torch.load(BytesIO(content.data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch lets through whatever its parts raise
        if type(error).__name__ == "UnpicklingError":
            # torch's own text advises to load it unsafely.
            reason = "holds more than tensors, numbers and lists, which is never unpickled"
            raise FileError(f"{content.path}: {reason}") from None
        fault = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise FileError(f"{content.path}: is no file of torch.save that can be read: {fault}") from None
    where = str(content.path)
    if isinstance(value, dict):
        return [read_named(where, value, content.rank, labels)]
    if torch.is_tensor(value):
        return [replace(read_bare(where, "tensor", value, labels), rank=content.rank)]
    raise FileError(f"{where}: holds a {type(value).__name__}, must hold a tensor, or a dict with loads")
