"""Our own .npz and .json: a plan's maps and the problem that it solves. And bare tables."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array
from .._cluster import Cluster
from .._errors import FileError, InvalidState
from .._plan import Plan
from .._solution import expand_replica_slots
from .placement import Known, Placement, Wishes
from .placement_checks import as_json
from .values import is_number, listed, shown, table, whole

MAP = "physical_to_logical"
DENSE = "has_dense_rows"
# What an evaluation of the placement needs; these are read back.
_NAMES = {"policy": str, "off_home_target": float}
_COUNTS = ("num_nodes", "num_groups", "max_replicas")
# By GPU, where they are not all equal.
_BY_GPU = {"gpu_slots": (int,), "gpu_speeds": (int, float)}


def read(path: Path, content: Mapping[str, Any], known: Known) -> Placement:
    slots = table(path, MAP, content[MAP])
    if "num_slots" in content and whole(path, content, "num_slots") != slots.shape[1]:
        raise FileError(f"{path}: num_slots is {content['num_slots']}, but a layer has {slots.shape[1]} slots")
    gpus = whole(path, content, "num_gpus", 1) if "num_gpus" in content else known.num_gpus
    experts = whole(path, content, "num_experts", 1) if "num_experts" in content else None
    layers = listed(path, "layers", _plain(content["layers"])) if "layers" in content else None
    if any(type(layer) is not int for layer in layers or ()):
        raise FileError(f"{path}: layers must be a list of integers")
    dense = content.get(DENSE, False)
    if type(dense) is not bool:
        raise FileError(f"{path}: {DENSE} must be true or false, is {shown(dense)}")
    return Placement(slots, layers, gpus, experts, has_dense_rows=dense, problem=_problem(path, content))


def read_table(path: Path, content: Array, known: Known) -> Placement:
    return Placement(table(path, "the content", content), None, known.num_gpus)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _problem(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    problem: dict[str, Any] = {name: whole(path, content, name, 1) for name in _COUNTS if name in content}
    for name, kind in _NAMES.items():
        if name in content:
            value = content[name]
            if not (isinstance(value, str) if kind is str else is_number(value)):
                raise FileError(f"{path}: {name} must be a {'name' if kind is str else 'number'}, is {shown(value)}")
            problem[name] = value
    for name, kinds in _BY_GPU.items():
        if content.get(name) is not None:
            values = listed(path, name, _plain(content[name]))
            if not all(type(value) in kinds and is_number(value) for value in values):
                raise FileError(f"{path}: {name} must have a number for each GPU")
            problem[name] = values
    return problem


def write(path: Path, placement: Placement, wishes: Wishes) -> bytes:
    """Of a plan, its other maps and the imbalance, too. logical_to_physical is as wide as the largest count."""
    arrays: dict[str, Any] = {MAP: placement.physical_to_logical}
    plan = wishes.plan
    if plan is not None:
        count = plan.replica_count
        arrays["logical_to_physical"] = expand_replica_slots(plan.replica_slots, count, int(count.max()))
        arrays |= {"replica_count": count, "imbalance": plan.imbalance}
    if placement.numbered:
        arrays["layers"] = placement.layers
    known = {"num_slots": placement.physical_to_logical.shape[1], "num_gpus": placement.num_gpus}
    known |= {"num_experts": placement.num_experts, DENSE: placement.has_dense_rows or None, **placement.problem}
    known = {name: value for name, value in known.items() if value is not None}
    if path.suffix.lower() == ".json":
        lists = {name: array.tolist() for name, array in arrays.items()}
        return as_json({**known, **lists})
    file = io.BytesIO()
    arrays |= {name: np.array(value) for name, value in known.items()}
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def problem_of_plan(plan: Plan) -> dict[str, Any]:
    """What an evaluation of a plan needs to know, as far as a file has a place for it."""
    try:
        report = plan.report
    except InvalidState:  # of a device: its context is closed, or has solved again
        return {}
    problem: dict[str, Any] = {"policy": report.policy, "off_home_target": report.off_home_target}
    # Without a cap, as many as all spare slots allow.
    if plan.max_replicas < plan.physical_to_logical.shape[1] - plan.replica_count.shape[1] + 1:
        problem["max_replicas"] = plan.max_replicas
    cluster: Cluster | None = plan._answer("cluster")
    # Nodes of a cluster that are not consecutive GPUs have no place.
    if cluster is None or cluster.node is None:
        problem |= {"num_nodes": report.num_nodes, "num_groups": report.num_groups}
    if cluster is not None:
        by_gpu = zip(_BY_GPU, (cluster.slots, cluster.speed), strict=True)
        problem |= {name: list(values) for name, values in by_gpu if values is not None}
    return problem


def take_cluster(problem: dict[str, Any]) -> Cluster | None:
    """The cluster that a problem has, whose entries are removed; None where all GPUs are equal."""
    slots, speed = (problem.pop(name, None) for name in _BY_GPU)
    if slots is None and speed is None:
        return None
    return Cluster(problem.pop("num_gpus", None), num_nodes=problem.pop("num_nodes", None), slots=slots, speed=speed)
