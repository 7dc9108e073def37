"""The state of a Rebalancer as a file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array, Ints
from ._cluster import Cluster
from ._errors import Error, FileError
from ._files.content import read_content
from ._output_file import replacing

_VERSION = 1


class State(NamedTuple):
    """What a Rebalancer knows. Windows are arrays [L,E], oldest first."""

    rule: str
    placement: Ints
    cluster: Cluster
    num_groups: int
    seen: int
    windows: Sequence[Array]


def write_state(path: Path, state: State) -> None:
    """As .npz: numbers and text, no Python objects."""
    cluster = state.cluster
    # Each window keeps its own type, on which the bits of an answer may depend.
    arrays: dict[str, Any] = {f"window_{number}": window for number, window in enumerate(state.windows)}
    arrays |= {f"gpu_{name}": np.array(values) for name, values in cluster._arrays() if values is not None}
    with replacing(path) as file:
        np.savez_compressed(
            file,
            eplb_rebalancer=_VERSION,
            rule=state.rule,
            physical_to_logical=state.placement,
            num_gpus=cluster.num_gpus,
            num_nodes=cluster.num_nodes,
            num_groups=state.num_groups,
            windows_seen=state.seen,
            num_windows=len(state.windows),
            **arrays,
        )


def read_state(path: Path) -> State:
    """Reads what write_state has written.

    Raises:
        FileError: something else, in one sentence.
    """
    data = read_content(path).data
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        version = int(found["eplb_rebalancer"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        raise FileError(f"{path}: is no state that a Rebalancer has saved") from None
    if version != _VERSION:
        raise FileError(f"{path}: is a state of version {version}, but this package reads {_VERSION}")
    try:
        return _state(found)
    except KeyError as error:
        raise FileError(f"{path}: has no {error.args[0]}") from None
    except (Error, ValueError, TypeError) as error:
        raise FileError(f"{path}: {error}") from None


def _state(found: dict[str, Array]) -> State:
    sizes = {name: int(found[name]) for name in ("num_gpus", "num_nodes", "num_groups", "windows_seen", "num_windows")}
    by_gpu = {name: found[f"gpu_{name}"].tolist() for name in ("slots", "speed", "node") if f"gpu_{name}" in found}
    cluster = Cluster(sizes["num_gpus"], num_nodes=sizes["num_nodes"], **by_gpu)
    windows = [found[f"window_{number}"] for number in range(sizes["num_windows"])]
    placement = found["physical_to_logical"]
    return State(str(found["rule"]), placement, cluster, sizes["num_groups"], sizes["windows_seen"], windows)
