"""What writers of placements have in common, and what they refuse before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Ints
from .._errors import FileError
from .placement import Placement


def check_all_placed(path: Path, engine: str, placement: Placement) -> None:
    """Every slot holds an expert, and every expert has a slot."""
    slots, experts = placement.physical_to_logical, np.arange(placement.least_experts)
    _refuse(path, placement, slots == -1, "slot {} is empty (-1), which " + engine + " has no form for")
    for layer, row in zip(placement.layers, slots, strict=True):
        missing = np.setdiff1d(experts, row)
        if len(missing):
            raise FileError(f"{path}: layer {layer}: expert {missing[0]} has no slot")


def check_distinct(path: Path, engine: str, placement: Placement) -> None:
    """No GPU holds an expert twice."""
    by_gpu = np.sort(devices(path, engine, placement), axis=2)
    twice = by_gpu[:, :, 1:] == by_gpu[:, :, :-1]
    _refuse(path, placement, twice.any(axis=2), "GPU {} holds an expert twice, which " + engine + " refuses")


def devices(path: Path, engine: str, placement: Placement) -> Ints:
    """The slots of each GPU, [L,G,S/G]."""
    if placement.num_gpus is None:
        raise FileError(
            f"{path}: {engine} lists experts by GPU, but the number of GPUs is not known: give num_gpus (--gpus)"
        )
    return placement.physical_to_logical.reshape(len(placement.layers), placement.num_gpus, -1)


def as_json(content: dict[str, Any]) -> bytes:
    """An object on one line."""
    return (json.dumps(content, allow_nan=False) + "\n").encode()


def _refuse(path: Path, placement: Placement, wrong: np.ndarray, what: str) -> None:
    found = np.argwhere(wrong)
    if len(found):
        row, where = found[0].tolist()
        raise FileError(f"{path}: layer {placement.layers[row]}: {what.format(where)}")
