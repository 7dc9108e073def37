"""FastDeploy: the rebalance_experts that its experts_manager calls. See docs/engines.md for the patch."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import Ints, to_host
from .._maps import maps_of
from ._options import Options
from ._planner import Question, answer, with_policy
from ._start import announce, options_or_default

_GLOBAL = "balance_intra_node"


def plan(
    weight: Any,
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    eplb_strategy: str = "",
    *,
    current: Any = None,
    options: Options | None = None,
) -> tuple[Any, Any, Any]:
    """The next maps of all layers: rebalance_experts of FastDeploy's eplb.py, with its names and order.

    Args:
        weight: integers [layers, experts].
        num_replicas: slots over all GPUs.
        num_groups, num_nodes: FastDeploy passes as many groups as experts, so each expert stays on one node if the
            nodes divide them.
        num_gpus: GPUs. At the start FastDeploy says 64 whatever there are: where these do not divide the slots, the
            answer is slot s with expert s mod E, which FastDeploy's own program begins with.
        eplb_strategy: "balance_intra_node" knows no groups; others do.
        current: [layers, num_replicas], the map that FastDeploy has, which it does not pass; None plans from nothing.
        options: how; None is what EPLB_ENGINE says.

    Returns:
        physical_to_logical [layers, num_replicas], logical_to_physical [layers, experts, X], ascending and then -1, and
        the number of replicas [layers, experts]; int32 numpy arrays.

    Raises:
        InvalidArgument, InvalidWeight, InvalidPlacement: only without a current map that can be kept.
    """
    loads, _ = to_host("weight", weight)
    placement: Ints
    if num_replicas % num_gpus:
        placement = np.tile(np.arange(num_replicas) % loads.shape[-1], (len(loads), 1))
    else:
        chosen = options_or_default(options)
        chosen = with_policy(chosen, "global") if eplb_strategy == _GLOBAL else chosen
        question = Question("fastdeploy", num_replicas, num_groups, num_nodes, num_gpus, current)
        placement = answer(loads, question, chosen)
    slots, counts, _ = maps_of(placement, loads.shape[-1])
    return placement.astype(np.int32), slots.astype(np.int32), counts.astype(np.int32)


class Remembering:
    """plan with the map of its last answer as the current one: what FastDeploy then has on all ranks."""

    def __init__(self) -> None:
        self._current: Any = None

    def __call__(self, weight: Any, num_replicas: int, *sizes: Any, **more: Any) -> tuple[Any, Any, Any]:
        """See plan. Another shape begins again."""
        announce("fastdeploy", options_or_default(None))
        current = self._current
        if current is not None and current.shape != (len(weight), num_replicas):
            current = None
        maps = plan(weight, num_replicas, *sizes, current=current, **more)
        self._current = maps[0].copy()
        return maps


rebalance_experts = Remembering()
