"""Statistics of TensorRT-LLM: a tensor for each iteration and layer, a file for each rank."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from .._arrays import Array
from .._errors import FileError
from .content import Content, read_content
from .load_labels import Labels
from .load_parts import Part, numbers_of
from .parsed import read_json

META = "meta_info.json"
_FILE = re.compile(r"rank\d+\.safetensors")
_TENSOR = re.compile(r"(\d{1,9})_(\d{1,9})")


def read_statistics(content: Content, labels: Labels) -> list[Part]:
    """Tensors [E] called <iteration>_<layer>; iterations are windows, layers have the model's numbers.

    Raises:
        FileError: safetensors is not installed, or the tensors are others, or some are missing.
    """
    where = str(content.path)
    tensors = _tensors(where, content.data)
    iterations = sorted({iteration for iteration, _ in tensors})
    layers = sorted({layer for _, layer in tensors})
    missing = next(((i, layer) for i in iterations for layer in layers if (i, layer) not in tensors), None)
    if missing is not None:
        raise FileError(f"{where}: has no tensor {missing[0]}_{missing[1]}, but other layers of that iteration")
    first = next(iter(tensors))
    for (iteration, layer), counts in tensors.items():
        if counts.shape != tensors[first].shape or counts.ndim != 1 or not counts.size:
            found = f"{list(counts.shape)}, but {first[0]}_{first[1]} is {list(tensors[first].shape)}"
            raise FileError(f"{where}: tensor {iteration}_{layer} is {found}: all must be [experts]")
    counts = np.array([[tensors[iteration, layer] for layer in layers] for iteration in iterations])
    numbers = np.array(layers, np.int64)
    kind, moments = "TensorRT-LLM statistics", tuple(iterations)
    return [Part(where, kind, counts, numbers, absolute=True, rank=content.rank, moments=moments)]


def files_of_ranks(folder: Path) -> list[Path]:
    """The statistics of a folder: rank0.safetensors and so on, not rank0_raw.safetensors.

    Raises:
        FileError: there are none.
    """
    files = [path for path in folder.iterdir() if _FILE.fullmatch(path.name)]
    if not files:
        raise FileError(f"{folder}: has {META}, but no rank0.safetensors")
    return files


def experts_of_folder(folder: Path) -> int:
    """num_experts of meta_info.json.

    Raises:
        FileError: it does not say it.
    """
    path = folder / META
    try:
        count = read_json(read_content(path))["num_experts"]
    except (KeyError, TypeError):
        count = None
    if type(count) is not int or count < 1:
        raise FileError(f"{path}: must be an object with num_experts, an integer")
    return count


def _tensors(where: str, data: bytes) -> dict[tuple[int, int], Array]:
    try:
        from safetensors.numpy import load
    except ModuleNotFoundError:
        raise FileError(f"{where}: needs safetensors, which is not installed: pip install 'eplb[files]'") from None
    try:
        loaded = load(data)
    except Exception as error:  # safetensors and its conversion to numpy have exceptions of their own
        raise FileError(f"{where}: is no safetensors file that can be read: {error}") from None
    tensors = {}
    for name, tensor in loaded.items():
        match = _TENSOR.fullmatch(name)
        if match is None:
            raise FileError(f"{where}: tensor {name[:40]!r} must be called <iteration>_<layer>")
        tensors[int(match[1]), int(match[2])] = numbers_of(f"{where}: {name}", tensor)
    if not tensors:
        raise FileError(f"{where}: holds no tensors")
    return tensors
