"""vLLM: the value under "default" in its EPLB_POLICIES, put there by the entry point vllm.general_plugins."""

from __future__ import annotations

from typing import Any

from ._kinds import delivery
from ._options import Options, from_environment
from ._planner import Question, answer
from ._start import announce, options_or_default, version_of


def plan(
    weight: Any,
    num_replicas: int,
    num_groups: int | None,
    num_nodes: int,
    num_ranks: int,
    old_global_expert_indices: Any = None,
    *,
    options: Options | None = None,
) -> Any:
    """The next map of all layers: AbstractEplbPolicy.rebalance_experts of vLLM, with its names and order.

    Args:
        weight: [layers, experts], summed over steps and ranks; [steps, layers, experts] is summed here. Zeros, as in a
            profile run, change nothing.
        num_replicas: slots of the new map: a multiple of num_ranks.
        num_groups: groups of experts; 0 where the model has none.
        num_nodes, num_ranks: where the slots are.
        old_global_expert_indices: [layers, slots], the map that vLLM has: -1 on ranks just added, wider than
            num_replicas where the last ranks leave. None: plan from nothing.
        options: how; None is what EPLB_ENGINE says.

    Returns:
        [layers, num_replicas], int64 on the CPU: a tensor for a tensor, else a numpy array.

    Raises:
        InvalidArgument, InvalidWeight, InvalidPlacement: only without an old map that can be kept; with one it is
            returned, and the error is logged, since a policy that raises ends vLLM's asynchronous worker for good.
    """
    question = Question("vllm", num_replicas, num_groups, num_nodes, num_ranks, old_global_expert_indices)
    placement = answer(weight, question, options_or_default(options))
    # On the CPU whatever device the weights are on, which is what vLLM asserts.
    return delivery(weight, on_cpu=True)(placement)


def plan_of_context(context: Any, *, options: Options | None = None) -> Any:
    """The same map for the hooks that are proposed for vLLM (pull request 49700), which pass a context.

    Args:
        context: has load_window_cpu [steps, layers, experts], num_replicas, physical_to_logical_map_cpu, and topology
            with num_groups, num_nodes and num_ranks.
        options: how; None is what EPLB_ENGINE says.

    Nothing is kept between calls: where experts are is what the context says, so a plan that is not committed, or
    committed for some layers only, needs no undoing.
    """
    topology = context.topology
    sizes = context.num_replicas, topology.num_groups, topology.num_nodes, topology.num_ranks
    return plan(context.load_window_cpu, *sizes, context.physical_to_logical_map_cpu, options=options)


def policy(base: type, options: Options) -> type:
    """A policy class for vLLM's table, over its AbstractEplbPolicy."""

    def rebalance_experts(
        cls: type,
        weight: Any,
        num_replicas: int,
        num_groups: int,
        num_nodes: int,
        num_ranks: int,
        old_global_expert_indices: Any = None,
    ) -> Any:
        sizes = num_replicas, num_groups, num_nodes, num_ranks
        return plan(weight, *sizes, old_global_expert_indices, options=options)

    members = {
        "__doc__": f"libeplb in vLLM: {options}",
        "__module__": __name__,
        "rebalance_experts": classmethod(rebalance_experts),
    }
    return type("LibeplbPolicy", (base,), members)


def register() -> None:
    """What the entry point calls, in each process before a model is made, perhaps more than once.

    Does nothing unless EPLB_ENGINE is set. The key stays "default": vLLM accepts no other, and only that one may be
    asynchronous.

    Raises:
        InvalidArgument: EPLB_ENGINE has an unknown word or a value that is not allowed.
        RuntimeError: this vLLM has no table of policies.
    """
    options = from_environment()
    if options is None:
        return
    try:
        from vllm.distributed.eplb.policy import EPLB_POLICIES, AbstractEplbPolicy
    except ImportError as error:
        text = f"vllm {version_of('vllm')} has no vllm.distributed.eplb.policy.EPLB_POLICIES, which EPLB_ENGINE needs"
        raise RuntimeError(text) from error
    EPLB_POLICIES["default"] = policy(AbstractEplbPolicy, options)
    announce("vllm", options)
