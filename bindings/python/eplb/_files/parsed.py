"""What files of every kind hold, read strictly: text and bytes in, mappings, lists and arrays out."""

from __future__ import annotations

import json
import math
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

from .._arrays import to_host
from .._errors import FileError
from .content import Content
from .numpy_files import zip_members
from .packing import most_unpacked

# What is left of longer integers is still too large for everything; Python takes long for very long ones.
_MOST_DIGITS = 21
# Of YAML; no number and no date has more characters.
_MOST_OF_SCALAR = 100
_YAML_TEXT = "tag:yaml.org,2002:str"


def read_json(content: Content) -> Any:
    """JSON without a name twice in an object.

    Raises:
        FileError: it is something else.
    """
    try:
        return parse_json(content.text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{content.path}: no JSON that can be read: {error}") from None


def parse_json(text: str) -> Any:
    """The same of a text.

    Raises:
        ValueError, RecursionError: it is something else.
    """
    return json.loads(text, parse_int=_integer, object_pairs_hook=_object)


def _integer(digits: str) -> int:
    return int(digits[:_MOST_DIGITS])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"{name[:40]!r} is there twice")
        content[name] = value
    return content


def read_yaml(content: Content) -> Any:
    """YAML of plain data, without a name twice in a mapping.

    Raises:
        FileError: it is something else, or PyYAML is not installed.
    """
    text, path = content.text, content.path
    try:
        import yaml
    except ModuleNotFoundError:
        raise FileError(f"{path}: needs PyYAML, which is not installed: pip install 'eplb[files]'") from None
    try:
        return yaml.load(text, Loader=_yaml_loader(yaml))
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise FileError(f"{path}{line}: no YAML that can be read: {error.problem or error.context}") from None
    except Exception as error:  # its constructors raise whatever a value of another kind makes them raise
        raise FileError(f"{path}: no YAML that can be read: {' '.join(str(error).split())[:200]}") from None


def _yaml_loader(yaml: Any) -> Any:
    def refuse(node: Any, what: str) -> None:
        raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def construct_scalar(self, node: Any) -> Any:
            # 1:1:1 is a number to the base 60, which takes long to be known if it is a long one.
            if node.tag != _YAML_TEXT and len(node.value) > _MOST_OF_SCALAR:
                refuse(node, f"{node.value[:40]!r} is a very long number")
            return super().construct_scalar(node)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            known = set()
            for key, _ in node.value:
                name = self.construct_object(key) if isinstance(key, yaml.ScalarNode) else None
                if name is not None and name in known:
                    refuse(key, f"{repr(name)[:40]} is there twice")
                known.add(name)
            return super().construct_mapping(node, deep)

    return Loader


def import_torch(path: Path) -> Any:
    """The module, for a file that cannot be read or written without it."""
    try:
        import torch
    except ModuleNotFoundError:
        raise FileError(f"{path}: needs torch, which is not installed: pip install torch") from None
    return torch


def read_torch(content: Content) -> Any:
    """What torch.save wrote, tensors as arrays. Nothing but plain data is ever unpickled.

    Raises:
        FileError: it is something else, or torch is not installed.
    """
    torch, path = import_torch(content.path), content.path
    size = len(content.data)
    if content.data.startswith(b"PK"):
        unpacked = sum(member.file_size for member in zip_members(path, content.data).infolist())
        if unpacked > most_unpacked(size):
            raise FileError(f"{path}: would be {unpacked} bytes, too many for a file of this size")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(BytesIO(content.data), map_location="cpu", weights_only=True)
        return _Plain(torch, size).of(loaded)
    except Exception as error:  # torch lets through whatever its parts raise
        if type(error).__name__ == "UnpicklingError":
            # torch's own text advises to load it unsafely.
            reason = "holds more than tensors, numbers and lists, which is never unpickled"
            raise FileError(f"{path}: {reason}") from None
        fault = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise FileError(f"{path}: is no file of torch.save that can be read: {fault}") from None


class _Plain:
    """Values of torch with arrays for tensors, and lists for tuples. A few bytes may claim to be any number of them."""

    def __init__(self, torch: Any, size: int) -> None:
        # Each value takes a byte of the file at least, unless it is there several times.
        self._torch, self._room, self._values = torch, most_unpacked(size), size

    def of(self, value: Any) -> Any:
        self._values -= 1
        if self._values < 0:
            raise ValueError("has the same values over and over")
        if self._torch.is_tensor(value):
            return self._array(value)
        if isinstance(value, dict):
            return {name: self.of(each) for name, each in value.items()}
        return [self.of(each) for each in value] if isinstance(value, (list, tuple)) else value

    def _array(self, tensor: Any) -> Any:
        # Strides of 0 make any number of values of one.
        self._room -= math.prod(tensor.shape) * tensor.element_size()
        if self._room < 0:
            raise ValueError(f"a tensor {list(tensor.shape)} is too large for a file of this size")
        array = to_host("the tensor", tensor)[0]
        # Scalars have no form of their own in these files.
        return array.item() if array.ndim == 0 else array
