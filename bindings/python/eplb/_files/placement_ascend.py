"""vllm-ascend's expert_map.json: the experts of every device, for the layers with experts, counted from 0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import FileError
from .placement import Known, Placement, Wishes
from .placement_checks import as_json, check_all_placed, check_distinct, devices
from .values import experts_in, listed, mapping, stacked, whole

LAYERS = "layer_list"


def read(path: Path, content: Mapping[str, Any], known: Known) -> Placement:
    """By position, as vllm-ascend reads it: it ignores layer_id and device_id."""
    layers = listed(path, LAYERS, content[LAYERS])
    if whole(path, content, "moe_layer_count", 1) != len(layers):
        raise FileError(f"{path}: moe_layer_count is {content['moe_layer_count']}, but {LAYERS} has {len(layers)}")
    by_layer = {f"{LAYERS}[{index}]": _devices(path, f"{LAYERS}[{index}]", layer) for index, layer in enumerate(layers)}
    stack = stacked(path, by_layer, "device")
    slots = {f"{where}, device {gpu}": row for where, rows in by_layer.items() for gpu, row in enumerate(rows)}
    stacked(path, slots)
    placed = np.array(stack, np.int64)
    return Placement(placed.reshape(len(stack), -1), None, placed.shape[1])


def _devices(path: Path, where: str, layer: Any) -> list[list[int]]:
    content = mapping(path, where, layer)
    rows = []
    for gpu, device in enumerate(listed(path, f"{where}.device_list", content.get("device_list"))):
        name = f"{where}.device_list[{gpu}]"
        rows.append(experts_in(path, f"{name}.device_expert", mapping(path, name, device).get("device_expert")))
    if "device_count" in content and content["device_count"] != len(rows):
        raise FileError(f"{path}: {where}.device_list has {len(rows)} devices, but device_count says otherwise")
    return rows


def write(path: Path, placement: Placement, wishes: Wishes) -> bytes:
    """Layers are listed in their order; their numbers have no place in the file."""
    check_all_placed(path, "vllm-ascend", placement)
    check_distinct(path, "vllm-ascend", placement)
    layers = [
        {
            "layer_id": index,
            "device_count": len(experts),
            "device_list": [{"device_id": gpu, "device_expert": row} for gpu, row in enumerate(experts)],
        }
        for index, experts in enumerate(devices(path, "vllm-ascend", placement).tolist())
    ]
    return as_json({"moe_layer_count": len(layers), LAYERS: layers})
