"""A drop-in replacement for the function of the published program."""

from __future__ import annotations

from typing import Any

from ._arrays import current_to_host, weights_to_host
from ._device_pool import MAPS_OF_A_CALL, synchronize_devices
from ._library import DEVICE_KINDS
from ._move_limits import move_limits
from ._one_call import call_options, solved, try_on_device
from ._session import parse_device
from ._wording import published_names


@published_names()
def rebalance_experts(
    weight: Any,
    num_replicas: int,
    num_groups: int | None,
    num_nodes: int,
    num_gpus: int,
    *,
    strategy: str | None = None,
    policy: str = "auto",
    objective: str = "sum",
    off_home_target: float = 1.01,
    effort: str = "normal",
    seed: int = 0,
    max_replicas: int | None = None,
    current: Any = None,
    max_moves: int | None = None,
    max_moves_total: int | None = None,
    max_arrivals: int | None = None,
    target: float | None = None,
    move_price: float = 0.0,
) -> tuple[Any, Any, Any]:
    """Places the experts of every layer. Replaces the function of this name in the published program.

    Sizes are in its order, where Context.solve takes num_nodes and num_groups by name only.

    Args:
        weight: [layers, experts], the tokens routed to each expert; or [windows, layers, experts].
            float32, float64, int32, int64, and what these can hold: float16, bfloat16, smaller and unsigned integers,
            but no bool.
        num_replicas: replicas of all experts together, which is the number of slots: a multiple of num_gpus.
        num_groups: equal groups of consecutive experts; None and 0 are 1, as engines mean it for models without groups.
        num_nodes: nodes that the GPUs are on.
        num_gpus: GPUs, a multiple of num_nodes where whole groups go to nodes.
        strategy: one of eplb.strategies(); None takes the library's default.
        policy: "auto" (whole groups go to nodes if num_groups is a multiple of num_nodes), "hierarchical", "global", or
            "soft" (groups stay on a node as far as the balance allows), as in Context.solve.
        objective: "sum", which balances the sum of all windows, or "windows", each of them, as in Context.solve.
        off_home_target: the imbalance up to which replicas leave home under the soft policy, as in Context.solve.
        effort: "fast", "normal" or "max", for the strategies that know it.
        seed: 0 to 2^64 - 1. The same seed gives the same answer.
        max_replicas: the most replicas of any expert; None for no limit.
        current: where experts are now, as Context.rebalance takes it, such as the physical_to_logical of the last call.
            It is then changed by few moves, and what follows limits these, as in Context.rebalance.
        max_moves, max_moves_total, max_arrivals, target, move_price: limits; they need current.

    Returns:
        physical_to_logical [layers, num_replicas]: the expert in each slot; GPU g owns slots
            g*num_replicas/num_gpus and on.
        logical_to_physical [layers, experts, X]: the slots of each expert in the order its replicas were made, then -1.
        replica_count [layers, experts].
        All int64 and of the kind of `weight`: torch tensors on its device for a torch tensor, numpy arrays for numpy
        and nested lists, the producer's own arrays for whatever else speaks DLPack (jax makes these int32, unless
        64 bits are switched on there).

    Raises:
        InvalidArgument: sizes that do not fit each other, with the nearest legal value; unknown names; wrong types.
        InvalidWeight: a weight that is NaN, infinite or negative, naming layer and expert.
        Unavailable: this version does not have the strategy, the effort or the objective.

    What differs from the published program (https://github.com/deepseek-ai/EPLB):
        - The default strategy is the library's, which balances better. strategy="greedy" is the published one.
        - X is num_replicas - experts + 1, or max_replicas, whatever the data; there it is the largest count.
        - Sorts are stable, so ties always go to the lowest index; there they go as torch's sort has them.
        - A layer of zeros is spread evenly; there all spare replicas go to expert 0.
        - Results are on the device of `weight`; there on the host.
        - Bad weights and sizes raise the errors above; there NaN is placed somehow, and sizes are asserted.

    Each thread keeps a context of its own, so repeated calls allocate their results only. The GIL is free meanwhile.

    On a CUDA device (torch, CuPy, and what goes through them by DLPack) all of it happens there, in the order of the
    stream that is current for the library of `weight`, and the call does not wait. Only the first call of a thread
    with such shapes, sizes and options on such a stream gets memory, which may wait; eight of these stay ready. A bad
    weight is then found late: its layer is placed as a layer of zeros, and eplb.synchronize(device) raises
    InvalidWeight. The call can be captured in a graph if it was made once before; the graph keeps the context of that
    call, for good. Where this library cannot use the device (not built, driver too old), and with current, the weights
    go to the host and the maps back, which waits.
    """
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
    if current is None:
        maps = try_on_device(weight, sizes, options)
        if maps is not None:
            return maps
    array, deliver = weights_to_host(weight)
    now = None if current is None else current_to_host(current, array.shape[-2])
    with solved(array, now, None, sizes, options) as session:
        placement, slots, count = (session.ints(name) for name in MAPS_OF_A_CALL)
    return deliver(placement), deliver(slots), deliver(count)


def synchronize(device: Any = None) -> None:
    """Waits for this thread's calls of rebalance_experts and for those in graphs, and raises errors found late.

    Several calls may have had bad weights: each is raised by a call of this function, once.

    Args:
        device: "cuda:1" or a torch.device; "cuda" is every CUDA device; None is every device. On "cpu" every call
            returns finished, so there is nothing to wait for.

    Raises:
        InvalidWeight: a weight on the device was NaN, infinite or negative, naming the lowest layer and expert.
        InvalidArgument: no such kind of device; a max_replicas that only the weights showed to be too small.
    """
    kind, index = (None, None) if device is None else parse_device(device)
    if kind in (None, DEVICE_KINDS["cuda"]):
        synchronize_devices(None if device is None or ":" not in str(device) else index)
