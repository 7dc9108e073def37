"""SGLang's --init-expert-location: one row for every hidden layer of the model, those without experts, too."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Ints
from .._errors import FileError
from .parsed import import_torch
from .placement import Known, Placement, Wishes
from .placement_checks import as_json, check_all_placed
from .values import MOST_LAYERS, table, whole

MAP = "physical_to_logical_map"


def read(path: Path, content: Mapping[str, Any], known: Known) -> Placement:
    """Of vLLM's dumps, too, which have this name, but rows for layers with experts only; they say the sizes."""
    slots = table(path, MAP, content[MAP])
    rows_of_experts = "num_moe_layers" in content
    sizes = {"ep_size": known.num_gpus, "num_logical_experts": None}
    gpus, experts = (whole(path, content, name, 1) if name in content else given for name, given in sizes.items())
    layers = None if rows_of_experts else range(len(slots))
    return Placement(slots, layers, gpus, experts, has_dense_rows=not rows_of_experts)


def write(path: Path, placement: Placement, wishes: Wishes) -> bytes:
    """Rows of layers that the placement lacks hold experts 0, 1, 2, ...: SGLang wants every expert in every row."""
    check_all_placed(path, "SGLang", placement)
    last, slots = int(placement.layers[-1]), placement.physical_to_logical.shape[1]
    rows = last + 1 if wishes.num_hidden_layers is None else wishes.num_hidden_layers
    if last >= min(rows, MOST_LAYERS):
        raise FileError(f"{path}: the placement has layer {last}, but there are only {min(rows, MOST_LAYERS)} rows")
    filled = np.tile(np.arange(slots) % placement.least_experts, (rows, 1))
    filled[placement.layers] = placement.physical_to_logical
    if path.suffix.lower() == ".pt":
        return _as_torch(path, filled)
    return as_json({MAP: filled.tolist()})


def _as_torch(path: Path, slots: Ints) -> bytes:
    torch, file = import_torch(path), io.BytesIO()
    torch.save({MAP: torch.from_numpy(slots)}, file)
    return file.getvalue()
