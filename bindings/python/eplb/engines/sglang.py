"""SGLang: a hook around eplb_algorithms.rebalance_experts, put there by the entry point sglang.srt.plugins."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np

from .._arrays import Ints, placement_to_host
from .._errors import InvalidArgument
from .._maps import maps_of
from .._place import read_alive
from ._kinds import delivery
from ._options import VARIABLE, Options, from_environment
from ._planner import Question, answer, with_policy
from ._start import announce, options_or_default

TARGET = "sglang.srt.eplb.eplb_algorithms.rebalance_experts"


def plan(
    tokens_per_expert: Any,
    num_physical_experts: int,
    num_local_physical_experts: int,
    num_groups: int | None,
    num_nodes: int,
    algorithm: Any = None,
    *,
    current: Any = None,
    alive: Any = None,
    options: Options | None = None,
) -> tuple[Any, Any, Any]:
    """The next maps of all layers: rebalance_experts of SGLang's eplb_algorithms, with its names and order.

    Args:
        tokens_per_expert: [steps, layers, experts], a ring buffer in any order, with rows that are not filled yet; or
            [layers, experts]. Layers are those of the model: dense ones have no load, and keep what the map has.
        num_physical_experts: slots over all GPUs.
        num_local_physical_experts: slots of a GPU.
        num_groups: groups of experts; None where the model has none.
        num_nodes: nodes.
        algorithm: a member of EplbAlgorithm, of which only "hierarchical" at the end of the name counts: groups then
            stay on nodes. None: they do where they divide.
        current: [layers, slots], the map that SGLang has; None plans from nothing.
        alive: 0 or 1 for each GPU; None: all are.
        options: how; None is what EPLB_ENGINE says.

    Returns:
        physical_to_logical [layers, slots], with expert 0 in slots of dead GPUs, as SGLang has it;
        logical_to_all_physical [layers, experts, X], ascending and then -1, which leaves dead GPUs out; and the number
        of replicas [layers, experts]. int64 on the CPU: tensors for a tensor.

    Raises:
        InvalidArgument, InvalidWeight, InvalidPlacement: only without a current map that can be kept.
    """
    gpus = num_physical_experts // num_local_physical_experts
    chosen = options_or_default(options)
    if algorithm is not None:
        is_hierarchical = getattr(algorithm, "name", str(algorithm)).endswith("hierarchical")
        chosen = with_policy(chosen, "hierarchical" if is_hierarchical else "global")
    known = None if current is None else _readable(placement_to_host(current, "current"), gpus)
    if alive is not None and not read_alive(alive, gpus).all() and chosen.policy == "hierarchical":
        # Nodes on which GPUs are dead are not equal; SGLang goes the same way.
        chosen = dataclasses.replace(chosen, policy="global")
    question = Question("sglang", num_physical_experts, num_groups, num_nodes, gpus, known, alive)
    placement = answer(tokens_per_expert, question, chosen)
    slots, counts, _ = maps_of(placement, int(tokens_per_expert.shape[-1]))
    deliver = delivery(tokens_per_expert, on_cpu=True)
    return deliver(np.where(placement < 0, 0, placement)), deliver(slots), deliver(counts)


def around(original: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
    """The hook: SGLang's call, with the map and the GPUs of its own state."""
    options = options_or_default(None)
    call = inspect.signature(original).bind(*args, **kwargs).arguments
    gpus = call["num_physical_experts"] // call["num_local_physical_experts"]
    current, alive = _current_map(call), _active_ranks(gpus)
    return plan(**call, current=current, alive=alive, options=options)


def register() -> None:
    """What the entry point calls, in each process of SGLang. Does nothing unless EPLB_ENGINE is set.

    Raises:
        SystemExit: EPLB_ENGINE has an unknown word or a value that is not allowed. SGLang logs exceptions of plug-ins,
            and would go on without this one.
    """
    try:
        options = from_environment()
    except InvalidArgument as error:
        raise SystemExit(str(error)) from None
    if options is None:
        return
    try:
        from sglang.srt.plugins.hook_registry import HookRegistry, HookType
    except ImportError as error:
        raise SystemExit(
            f"{VARIABLE} is set, but this sglang has no sglang.srt.plugins.hook_registry: {error}"
        ) from None
    HookRegistry.register(TARGET, around, HookType.AROUND)
    announce("sglang", options)


def _current_map(call: dict[str, Any]) -> Any:
    """The map that SGLang has, unless it has none yet, or one of other layers."""
    from sglang.srt.eplb.expert_location import get_global_expert_location_metadata

    metadata = get_global_expert_location_metadata()
    if metadata is None:
        return None
    current = metadata.physical_to_logical_map_cpu
    return current if len(current) == call["tokens_per_expert"].shape[-2] else None


def _active_ranks(gpus: int) -> Any:
    from sglang.srt.elastic_ep.elastic_ep import ElasticEPStateManager

    state = ElasticEPStateManager.instance()
    if state is None or state.active_ranks is None or len(state.active_ranks) < gpus:
        return None
    # Room for ranks that may come is not counted.
    return state.active_ranks[:gpus].cpu()


def _readable(current: Ints, gpus: int) -> Ints:
    """The map without GPUs that hold expert 0 in each slot: so SGLang writes down what died, and may have come back."""
    if current.shape[1] % gpus or current.shape[1] // gpus < 2:
        return current
    by_gpu = current.reshape(len(current), gpus, -1)
    was_dead = (by_gpu == 0).all(axis=2, keepdims=True)
    return np.ascontiguousarray(np.where(was_dead, -1, by_gpu).reshape(current.shape))
