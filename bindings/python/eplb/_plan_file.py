"""Placements in files: .npz and .json with the problem they solve, CSV and .npy without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import Array
from ._cluster import Cluster
from ._output_file import check_output, replacing
from ._plan import Plan
from ._weight_file import FileError, load_numpy, os_error_text, read_csv

PLACEMENT = "physical_to_logical"
# What an evaluation of the placement needs; these are read back.
PROBLEM: dict[str, tuple[Any, str]] = {
    "num_slots": (int, "an integer"),
    "num_gpus": (int, "an integer"),
    "num_nodes": (int, "an integer"),
    "num_groups": (int, "an integer"),
    "policy": (str, "a name"),
    "off_home_target": ((int, float), "a number"),
}
# By GPU, where they are not all equal.
BY_GPU = {"gpu_slots": "iu", "gpu_speeds": "iuf"}


def check_plan_path(path: Path) -> None:
    """Checks before the work that a plan can be written here."""
    if path.suffix.lower() not in (".npz", ".json"):
        raise FileError(f"{path}: a plan is written as .npz or .json")
    check_output(path)


def write_plan(path: Path, plan: Plan, settings: dict[str, Any]) -> None:
    """Writes the maps, the imbalance of each layer, and what was asked for (settings)."""
    maps: dict[str, Any] = {
        PLACEMENT: plan.physical_to_logical,
        "logical_to_physical": plan.logical_to_physical,
        "replica_count": plan.replica_count,
        "imbalance": plan.imbalance,
    }
    known = {name: value for name, value in settings.items() if value is not None}
    arrays: dict[str, Any] = {**maps, **{name: np.array(value) for name, value in known.items()}}
    with replacing(path) as file:
        if path.suffix.lower() == ".npz":
            np.savez_compressed(file, **arrays)
        else:
            lists = {name: array.tolist() for name, array in maps.items()}
            file.write((json.dumps({**known, **lists}, allow_nan=False) + "\n").encode())


def read_plan(path: Path) -> tuple[Array, dict[str, Any]]:
    """Returns a placement [L,S], and what the file says about its problem: nothing for CSV and .npy.

    Raises:
        FileError: no such file, or no placement in it.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        content: Any = {PLACEMENT: load_numpy(path)}
    elif suffix == ".npz":
        content = load_numpy(path)
    elif suffix == ".json":
        content = _read_json(path)
    else:
        content = {PLACEMENT: read_csv(path)}
    if not isinstance(content, dict) or PLACEMENT not in content:
        raise FileError(f"{path}: holds no {PLACEMENT}")
    return _placement(path, content[PLACEMENT]), _problem(path, content)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: no JSON that can be read: {error}") from None


def _placement(path: Path, value: Any) -> Array:
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        array = np.empty(0)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise FileError(f"{path}: {PLACEMENT} must be a table of integers, a row per layer, a column per slot")
    return array


def _problem(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    problem: dict[str, Any] = {}
    for name, (kind, what) in PROBLEM.items():
        if name in content:
            value = np.asarray(content[name])
            item = value.item() if value.ndim == 0 else None
            if not isinstance(item, kind):
                raise FileError(f"{path}: {name} must be {what}")
            problem[name] = item
    for name, kinds in BY_GPU.items():
        if name in content:
            values = np.asarray(content[name])
            if values.ndim != 1 or values.dtype.kind not in kinds:
                raise FileError(f"{path}: {name} must have a number for each GPU")
            problem[name] = values.tolist()
    return problem


def take_cluster(problem: dict[str, Any]) -> Cluster | None:
    """The cluster that a file's problem has, whose entries are removed; None where all GPUs are equal."""
    slots, speed = (problem.pop(name, None) for name in BY_GPU)
    if slots is None and speed is None:
        return None
    return Cluster(problem.pop("num_gpus", None), problem.pop("num_nodes", None), slots=slots, speed=speed)
