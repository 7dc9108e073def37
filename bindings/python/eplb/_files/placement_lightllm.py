"""LightLLM's two forms: all slots of every rank; and the older one, the same extra experts on all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import FileError
from .placement import Known, Placement, Wishes
from .placement_checks import as_json, check_all_placed, check_distinct, devices
from .values import check_made, experts_in, layer_keys, listed, stacked, whole

REDUNDANT, EXTRA = "num_redundant_experts_per_rank", "redundancy_expert_num"
VERSION = 1


def read(path: Path, content: Mapping[str, Any], known: Known) -> Placement:
    """Checks what LightLLM checks of sizes: it ignores a file that breaks a rule."""
    if whole(path, content, "version") != VERSION:
        raise FileError(f"{path}: version is {content['version']}, must be {VERSION}")
    gpus, experts = whole(path, content, "world_size", 1), whole(path, content, "num_logical_experts", 1)
    places = experts // gpus + whole(path, content, REDUNDANT)
    layers = layer_keys(path, "layers", content.get("layers"), str)
    rows = []
    for layer, by_gpu in layers.items():
        if len(listed(path, f"layer {layer}", by_gpu)) != gpus:
            raise FileError(f"{path}: layer {layer} has {len(by_gpu)} ranks, but world_size is {gpus}")
        for gpu, row in enumerate(by_gpu):
            if len(experts_in(path, f"layer {layer}, rank {gpu}", row)) != places:
                raise FileError(f"{path}: layer {layer}, rank {gpu} has {len(row)} slots, must have {places}")
        rows.append([expert for row in by_gpu for expert in row])
    return Placement(rows, list(layers), gpus, experts)


def write(path: Path, placement: Placement, wishes: Wishes) -> bytes:
    check_all_placed(path, "LightLLM", placement)
    check_distinct(path, "LightLLM", placement)
    by_gpu = devices(path, "LightLLM", placement)
    experts, gpus, places = placement.least_experts, by_gpu.shape[1], by_gpu.shape[2]
    _check_sizes(path, experts, gpus, places)
    layers = dict(zip(map(str, placement.layers.tolist()), by_gpu.tolist(), strict=True))
    content = {"version": VERSION, "num_logical_experts": experts, "world_size": gpus}
    return as_json({**content, REDUNDANT: places - experts // gpus, "layers": layers})


def read_older(path: Path, content: Mapping[str, Any], known: Known) -> Placement:
    """Every rank has its even share of the experts, then the extra ones; default is for layers that are not named."""
    num_gpus, num_experts = known.num_gpus, known.num_experts
    if num_gpus is None or num_experts is None:
        raise FileError(
            f"{path}: LightLLM's older form has neither: give num_gpus (--gpus) and num_experts (--experts)"
        )
    if num_experts % num_gpus:
        raise FileError(f"{path}: {num_experts} experts are no multiple of {num_gpus} GPUs, as LightLLM needs it")
    named = {key: value for key, value in content.items() if key not in (EXTRA, "default")}
    extra = layer_keys(path, "the file", named, str) if named else {}
    if "default" in content:
        extra = {**dict.fromkeys(known.layers or (), content["default"]), **extra}
    if not extra:
        raise FileError(f"{path}: names no layer, only a default: give the layers that it is for")
    count = whole(path, content, EXTRA)
    # The default is there once, for all layers.
    check_made(path, len(extra) * (num_experts + num_gpus * count), 0)
    rows = {f"layer {layer}": _extra(path, f"layer {layer}", ids, count) for layer, ids in sorted(extra.items())}
    own = np.arange(num_experts).reshape(1, num_gpus, -1).repeat(len(rows), axis=0)
    shared = np.array(stacked(path, rows), np.int64).reshape(len(rows), 1, count).repeat(num_gpus, axis=1)
    slots = np.concatenate([own, shared], axis=2).reshape(len(rows), -1)
    return Placement(slots, sorted(extra), num_gpus, num_experts)


def _extra(path: Path, where: str, ids: Any, count: int) -> list[int]:
    row = [] if ids == [] else experts_in(path, where, ids)
    if len(row) != count or -1 in row:
        raise FileError(f"{path}: {where} must be {count} experts, as {EXTRA} says")
    return row


def write_older(path: Path, placement: Placement, wishes: Wishes) -> bytes:
    """Only for placements of that form; others are refused."""
    check_all_placed(path, "LightLLM", placement)
    by_gpu = devices(path, "LightLLM", placement)
    gpus, places = by_gpu.shape[1:]
    _check_sizes(path, placement.least_experts, gpus, places)
    share = placement.least_experts // gpus
    own = np.arange(placement.least_experts).reshape(gpus, share)
    extra = by_gpu[:, :, share:]
    if (by_gpu[:, :, :share] != own).any() or (extra != extra[:, :1]).any():
        text = "LightLLM's older form has the same extra experts on all GPUs, after an even share: use lightllm"
        raise FileError(f"{path}: {text}")
    layers = dict(zip(map(str, placement.layers.tolist()), extra[:, 0].tolist(), strict=True))
    return as_json({EXTRA: places - share, **layers})


def _check_sizes(path: Path, experts: int, gpus: int, places: int) -> None:
    if experts % gpus or places < experts // gpus:
        text = f"{places} slots of a GPU, {experts} experts and {gpus} GPUs"
        raise FileError(f"{path}: LightLLM needs an even share of the experts on every GPU, but there are {text}")
