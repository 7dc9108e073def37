"""What calls of a context take besides weights and sizes: the cluster, prices, weights of windows."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import numpy as np

from ._arrays import to_host
from ._cluster import Cluster
from ._library import invalid_argument

# The library sums more than these and does not keep them.
MOST_WINDOWS = 64


class Prices(NamedTuple):
    """What load costs by the node that serves it; equal ones are equal."""

    num_nodes: int
    num_columns: int
    values: bytes  # float64 [num_nodes, num_columns]


class Tables(NamedTuple):
    """None: the library has none."""

    cluster: Cluster | None = None
    prices: Prices | None = None
    window_weights: tuple[float, ...] | None = None


NO_TABLES = Tables()


def read_prices(prices: Any) -> Prices | None:
    """Prices as callers give them. The library checks their values."""
    if prices is None:
        return None
    array, _ = to_host("prices", prices)
    if array.ndim != 2 or array.dtype.kind not in "fiub" or array.size == 0:
        found = f"{array.dtype.name} of shape {list(array.shape)}"
        raise invalid_argument(f"prices is {found}, must be numbers [nodes, experts] or [nodes, groups]")
    nodes, columns = array.shape
    return Prices(nodes, columns, array.astype(np.float64).tobytes())


def read_window_weights(weights: Any, num_windows: int) -> tuple[float, ...] | None:
    """Weights of windows as callers give them: one for each, or by how much each matters less than the next one."""
    if weights is None:
        return None
    if isinstance(weights, numbers.Real) and not isinstance(weights, (bool, np.bool_)):
        return _fading(float(weights), num_windows)
    array, _ = to_host("window_weights", weights)
    if array.ndim != 1 or array.dtype.kind not in "fiub" or array.size == 0:
        found = f"{array.dtype.name} of shape {list(array.shape)}"
        raise invalid_argument(f"window_weights is {found}, must be numbers [windows], or one number, a decay")
    return tuple(array.astype(np.float64).tolist())


def _fading(decay: float, num_windows: int) -> tuple[float, ...] | None:
    if not 0 < decay <= 1:
        raise invalid_argument(f"window_weights is {decay}, a decay must be above 0 and at most 1")
    if num_windows > MOST_WINDOWS:  # only their sum is known
        return None
    return tuple(decay ** (num_windows - 1 - window) for window in range(num_windows))
