"""ATOM: its rebalance_experts, or one of its policies for single layers. See docs/engines.md for the patch."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import Ints
from .._maps import maps_of
from ._kinds import delivery
from ._options import Options
from ._planner import Question, answer, with_policy
from ._start import announce, options_or_default


def plan(
    weight: Any,
    *,
    num_physical: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    enable_hierarchical: bool = False,
    policy: Any = None,
    old_p2l: Any = None,
    options: Options | None = None,
) -> tuple[Any, Any, Any]:
    """The next maps of all layers: rebalance_experts of ATOM's model_ops/eplb.py, with its names.

    Args:
        weight: integers [layers, experts] on any device.
        num_physical: slots over all GPUs.
        num_groups, num_nodes, num_gpus: as there.
        enable_hierarchical: groups stay on nodes.
        policy: ATOM's policy for single layers, which is not used.
        old_p2l: [layers, num_physical], the map that ATOM has; None plans from nothing.
        options: how; None is what EPLB_ENGINE says.

    Returns:
        physical_to_logical [layers, num_physical], logical_to_physical [layers, experts, X], ascending and then -1, and
        the number of replicas [layers, experts]; int32, of the kind of weight and on its device.

    Raises:
        InvalidArgument, InvalidWeight, InvalidPlacement: only without an old map that can be kept.
    """
    chosen = options_or_default(options)
    announce("atom", chosen)
    chosen = with_policy(chosen, "hierarchical" if enable_hierarchical else "global")
    question = Question("atom", num_physical, num_groups, num_nodes, num_gpus, old_p2l)
    placement = answer(weight, question, chosen)
    slots, counts, _ = maps_of(placement, int(weight.shape[-1]))
    deliver = delivery(weight)
    return _int32(deliver, placement), _int32(deliver, slots), _int32(deliver, counts)


def plan_layer(
    weight_l: Any, num_physical: int, num_gpus: int, old_p2l_layer: Any = None, *, options: Options | None = None
) -> tuple[Any, Any, Any]:
    """The next maps of one layer, as a value of ATOM's _PLACEMENT_POLICIES.

    Args:
        weight_l: integers [experts] on any device.
        num_physical, num_gpus: slots, and GPUs that they are on.
        old_p2l_layer: [num_physical], the map that the layer has; None plans from nothing.
        options: how; None is what EPLB_ENGINE says.

    Returns:
        physical_to_logical [num_physical], the number of each slot among those of its expert [num_physical], and the
        number of replicas [experts]; int32, of the kind of weight_l and on its device.

    Raises:
        InvalidArgument, InvalidWeight, InvalidPlacement: only without an old map that can be kept.
    """
    chosen = options_or_default(options)
    announce("atom", chosen)
    old = None if old_p2l_layer is None else old_p2l_layer.reshape(1, -1)
    question = Question("atom", num_physical, 1, 1, num_gpus, old)
    placement = answer(weight_l.reshape(1, -1), question, chosen)
    _, counts, rank = maps_of(placement, int(weight_l.shape[-1]))
    deliver = delivery(weight_l)
    return _int32(deliver, placement[0]), _int32(deliver, rank[0]), _int32(deliver, counts[0])


def _int32(deliver: Any, array: Ints) -> Any:
    return deliver(np.ascontiguousarray(array, np.int32))
