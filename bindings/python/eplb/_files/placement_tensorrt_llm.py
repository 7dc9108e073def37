"""TensorRT-LLM's MoeLoadBalancerConfig: a YAML with the slots of every layer, GPU by GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import FileError
from .._library import integer
from .placement import Known, Placement, Wishes
from .placement_checks import check_all_placed
from .values import check_made, experts_in, layer_keys, stacked, whole

ASSIGNMENTS = "initial_global_assignments"


def read(path: Path, content: Mapping[str, Any], known: Known) -> Placement:
    """ep_size, which some of its tools want and its configuration refuses, says the GPUs where it is there."""
    layers = layer_keys(path, ASSIGNMENTS, content[ASSIGNMENTS], int)
    # YAML can name a row once, and use it any number of times.
    check_made(path, sum(len(row) for row in layers.values() if isinstance(row, list)), 0)
    rows = {f"layer {layer}": experts_in(path, f"layer {layer}", row) for layer, row in layers.items()}
    slots = np.array(stacked(path, rows), np.int64)
    if whole(path, content, "num_slots", 1) != slots.shape[1]:
        raise FileError(f"{path}: num_slots is {content['num_slots']}, but a layer has {slots.shape[1]} slots")
    gpus = whole(path, content, "ep_size", 1) if "ep_size" in content else known.num_gpus
    return Placement(slots, list(layers), gpus)


def write(path: Path, placement: Placement, wishes: Wishes) -> bytes:
    """Plain enough to be written without PyYAML."""
    check_all_placed(path, "TensorRT-LLM", placement)
    updates = integer("layer_updates_per_iter", wishes.layer_updates_per_iter, 0, 2**31 - 1)
    lines = [f"num_slots: {placement.physical_to_logical.shape[1]}", f"{ASSIGNMENTS}:"]
    rows = zip(placement.layers.tolist(), placement.physical_to_logical.tolist(), strict=True)
    lines += [f"  {layer}: {row}" for layer, row in rows]
    lines.append(f"layer_updates_per_iter: {updates}")
    return ("\n".join(lines) + "\n").encode()
