"""The state of a Rebalancer as a file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array, Ints
from ._cluster import Cluster
from ._errors import Error, FileError
from ._files.content import read_content
from ._files.kinds import NPZ, kind_of
from ._files.numpy_files import read_numpy
from ._files.values import bounded, whole
from ._output_file import write_file

_MARK, _VERSION = "eplb_rebalancer", 1
# And the least that each can be.
_SIZES = {"num_gpus": 1, "num_nodes": 1, "num_groups": 1, "windows_seen": 0, "num_windows": 0}
_BY_GPU = ("slots", "speed", "node")


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
    content = io.BytesIO()
    np.savez_compressed(
        content,
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
    write_file(path, content.getvalue())


def read_state(path: Path) -> State:
    """Reads what write_state has written.

    Raises:
        FileError: something else, in one sentence.
    """
    with bounded(path):
        content = read_content(path)
        found = read_numpy(content) if kind_of(content) is NPZ else {}
        if _MARK not in found:
            raise FileError(f"{path}: is no state that a Rebalancer has saved")
        version = whole(path, found, _MARK)
        if version != _VERSION:
            raise FileError(f"{path}: is a state of version {version}, but this package reads {_VERSION}")
        return _state(path, found)


def _state(path: Path, found: Mapping[str, Any]) -> State:
    sizes = [whole(path, found, name, least) for name, least in _SIZES.items()]
    num_gpus, num_nodes, num_groups, seen, num_windows = sizes
    by_gpu = {name: _array(path, found, f"gpu_{name}").tolist() for name in _BY_GPU if f"gpu_{name}" in found}
    try:
        cluster = Cluster(num_gpus, num_nodes=num_nodes, **by_gpu)
    except Error as error:
        raise FileError(f"{path}: {error}") from None
    if not isinstance(found.get("rule"), str):
        raise FileError(f"{path}: has no rule")
    windows = [_array(path, found, f"window_{number}") for number in range(num_windows)]
    return State(found["rule"], _array(path, found, "physical_to_logical"), cluster, num_groups, seen, windows)


def _array(path: Path, found: Mapping[str, Any], name: str) -> Array:
    array = found.get(name)
    if not isinstance(array, np.ndarray):
        raise FileError(f"{path}: has no {name}, which is an array")
    return array
