"""The placement alone, as engines want it: no table of replicas, in their integer type, around GPUs that are gone."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import Array, current_to_host, dtype_name, to_host, weights_to_host
from ._cluster import Cluster
from ._library import integer, invalid_argument
from ._move_limits import move_limits
from ._one_call import call_options, solved, try_on_device
from ._wording import published_names

_INTEGERS = ("int32", "int64")


@published_names()
def place(
    weight: Any,
    num_replicas: int,
    num_groups: int | None,
    num_nodes: int,
    num_gpus: int,
    *,
    current: Any = None,
    alive: Any = None,
    dtype: Any = None,
    strategy: str | None = None,
    policy: str = "auto",
    objective: str = "sum",
    off_home_target: float = 1.01,
    effort: str = "normal",
    seed: int = 0,
    max_replicas: int | None = None,
    max_moves: int | None = None,
    max_moves_total: int | None = None,
    max_arrivals: int | None = None,
    target: float | None = None,
    move_price: float = 0.0,
) -> Any:
    """Places the experts of every layer, and returns the expert in each slot: rebalance_experts without its tables.

    Args:
        weight: [layers, experts] or [windows, layers, experts], as for rebalance_experts.
        num_replicas: slots of all GPUs together, those of dead GPUs included: a multiple of num_gpus.
        num_groups: equal groups of consecutive experts; None and 0 are 1.
        num_nodes, num_gpus: as for rebalance_experts.
        current: where experts are now, [layers, num_replicas] or [num_replicas], -1 where a slot is empty or cannot be
            read. Few moves then lead from it to the answer, and what stays on a GPU stays in its slot.
        alive: [num_gpus] of 0 and 1 or bool. A GPU that is not alive gets nothing, -1, and what current says of it is
            not believed. With one that is not, policy "auto" is "global", as nodes are no longer equal. None: all are.
        dtype: "int32" or "int64", or a type of numpy or torch with that name; None is int64.
        strategy, policy, objective, off_home_target, effort, seed, max_replicas: as for rebalance_experts.
        max_moves, max_moves_total, max_arrivals, target, move_price: limits as in Context.rebalance; they need current.

    Returns:
        physical_to_logical [layers, num_replicas], of the kind of `weight` and on its device. GPU g owns slots
        g*num_replicas/num_gpus and on. -1 stands in all slots of dead GPUs, and may stay in slots that are empty in
        current.

    Raises:
        InvalidArgument, InvalidWeight, Unavailable: as rebalance_experts; a limit below the moves that are forced.
        InvalidPlacement: an id in current that is no expert, naming layer and slot.

    Weights on a CUDA device are placed there unless current, alive or dtype is given.
    """
    living = None if alive is None else read_alive(alive, integer("num_gpus", num_gpus, 1))
    if living is not None and not living.all() and str(policy).lower() == "auto":
        policy = "global"
    sizes = (
        num_replicas,
        num_gpus,
        num_nodes,
        num_groups,
        policy,
        "simple",
        objective,
        off_home_target,
        max_replicas,
    )
    limits = move_limits(max_moves, max_moves_total, max_arrivals, target, move_price)
    options = call_options(strategy, effort, seed, current is not None, limits)
    if current is None and alive is None and dtype is None:
        maps = try_on_device(weight, sizes, options)
        if maps is not None:
            return maps[0]
    name = _integer_name(dtype)
    array, deliver = weights_to_host(weight)
    now = None if current is None else current_to_host(current, array.shape[-2])
    cluster = None
    if living is not None and not living.all():
        cluster = Cluster(slots=np.where(living, integer("num_replicas", num_replicas) // len(living), 0).tolist())
        now = None if now is None else _without_dead(now, living)
    with solved(array, now, cluster, sizes, options) as session:
        if name == "int64":
            return deliver(session.ints("physical_to_logical"))
        return deliver(session.ints32("physical_to_logical", (array.shape[-2], int(num_replicas))))


def read_alive(alive: Any, num_gpus: int) -> Array:
    """Which GPUs are alive, bool [G], as callers give it.

    Raises:
        InvalidArgument: another length, other values than 0 and 1, or no GPU that is alive.
    """
    array, _ = to_host("alive", alive)
    if array.shape != (num_gpus,) or array.dtype.kind not in "biu" or ((array != 0) & (array != 1)).any():
        found = f"{array.dtype.name} of shape {list(array.shape)}"
        raise invalid_argument(f"alive is {found}, must be 0 or 1 for each of {num_gpus} GPUs")
    living = array.astype(bool)
    if not living.any():
        raise invalid_argument("alive has no GPU that is alive: there is nowhere to place an expert")
    return living


def _without_dead(current: Array, living: Array) -> Array:
    if current.shape[1] % len(living):  # the library refuses it, and says which sizes fit
        return current
    of_slot = np.repeat(living, current.shape[1] // len(living))
    return np.ascontiguousarray(np.where(of_slot, current, -1))


def _integer_name(dtype: Any) -> str:
    name = "int64" if dtype is None else dtype_name(dtype)
    if name not in _INTEGERS:
        raise invalid_argument(f"dtype is {name}, must be one of {', '.join(_INTEGERS)}, or None for int64")
    return name
