"""What files of every kind hold, read strictly: text and bytes in, mappings, lists and arrays out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import to_host
from .._errors import FileError
from .content import Content

# What is left of longer integers is still too large for everything; Python takes long for very long ones.
_MOST_DIGITS = 21


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
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)[:40]!r} is there twice")
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
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(f"{path}: no YAML that can be read: {' '.join(str(error).split())}") from None


def _yaml_loader(yaml: Any) -> Any:
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            known = set()
            for key, _ in node.value:
                name = self.construct_object(key) if isinstance(key, yaml.ScalarNode) else None
                if name is not None and name in known:
                    raise yaml.constructor.ConstructorError(None, None, f"{name!r} is there twice", key.start_mark)
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
    try:
        return _without_tensors(torch, torch.load(BytesIO(content.data), map_location="cpu", weights_only=True))
    except Exception as error:  # torch lets through whatever its parts raise
        if type(error).__name__ == "UnpicklingError":
            # torch's own text advises to load it unsafely.
            reason = "holds more than tensors, numbers and lists, which is never unpickled"
            raise FileError(f"{path}: {reason}") from None
        fault = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise FileError(f"{path}: is no file of torch.save that can be read: {fault}") from None


def _without_tensors(torch: Any, value: Any) -> Any:
    if torch.is_tensor(value):
        return _scalar_or_array(to_host("the tensor", value)[0])
    if isinstance(value, dict):
        return {name: _without_tensors(torch, each) for name, each in value.items()}
    return [_without_tensors(torch, each) for each in value] if isinstance(value, (list, tuple)) else value


def read_numpy(content: Content) -> Any:
    """An .npy as an array; an .npz as a mapping, which reads its arrays when they are asked for.

    Raises:
        FileError: it is something else.
    """
    try:
        loaded = np.load(BytesIO(content.data), allow_pickle=False)
    except Exception as error:  # numpy lets through what its parts raise, down to Python's tokenizer
        raise FileError(f"{content.path}: no numpy file that can be read: {_reason(error)}") from None
    return loaded if isinstance(loaded, np.ndarray) else _Arrays(content.path, loaded)


def _reason(error: Exception) -> str:
    # numpy treats any unknown format as a pickle, and advises to load that unsafely.
    if "pickle" in str(error):
        return "pickled objects, or something else entirely"
    return " ".join(str(error).split()) or type(error).__name__


def _scalar_or_array(array: Any) -> Any:
    """Scalars have no form of their own in these files."""
    return array.item() if array.ndim == 0 else array


class _Arrays(Mapping[str, Any]):
    """The arrays of an .npz by name. Only those that are asked for are read."""

    def __init__(self, path: Path, arrays: Any) -> None:
        self._path, self._arrays = path, arrays

    def __getitem__(self, name: str) -> Any:
        if name not in self._arrays.files:
            raise KeyError(name)
        try:
            return _scalar_or_array(self._arrays[name])
        except Exception as error:
            raise FileError(f"{self._path}: no numpy file that can be read: {name}: {_reason(error)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._arrays.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays.files)

    def __len__(self) -> int:
        return len(self._arrays.files)
