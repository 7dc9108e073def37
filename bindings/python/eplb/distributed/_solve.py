"""Context.solve and Context.rebalance by all ranks of a group."""

from __future__ import annotations

from typing import Any

from .._context import Context
from .._plan import Plan
from ._layers import share_out


def solve(weights: Any, *sizes: Any, group: Any = None, num_threads: int = 1, **options: Any) -> Plan:
    """Context.solve, by all ranks of a group: each solves some of the layers, and all get the whole plan. Collective.

    The plan is that of one process, bit for bit, for any number of ranks: a layer's answer does not depend on others.
    That includes its report, except for `microseconds`, which counts from call to return on this rank, and
    `context_bytes`. Two all-gathers: a small one in which the ranks compare their arguments, and the layers.

    Args:
        weights: [L,E] or [T,L,E], on the host, the same on all ranks: see all_reduce_loads.
        sizes, options: the other arguments of Context.solve, the same on all ranks.
        group: of torch.distributed; None is all ranks.
        num_threads: CPU threads of this rank. May differ from rank to rank.

    Raises:
        GroupError: arguments that differ, naming the ranks; a rank that failed or does not answer.
        Other errors are those of Context.solve. Every rank raises the same.
    """
    return share_out(Context.solve, group, num_threads, (weights, *sizes), options)


def rebalance(weights: Any, current: Any, *sizes: Any, group: Any = None, num_threads: int = 1, **options: Any) -> Plan:
    """Context.rebalance, by all ranks of a group: each changes some of the layers, and all get the plan. Collective.

    As solve in this module. max_moves_total is the one option by which layers depend on each other: with it, rank 0 of
    the group plans all of them, and the others get its plan.

    Args:
        weights: [L,E] or [T,L,E], on the host, the same on all ranks: see all_reduce_loads.
        current: where experts are now, as in Context.rebalance; the same on all ranks.
        sizes, options: the other arguments of Context.rebalance, the same on all ranks.
        group: of torch.distributed; None is all ranks.
        num_threads: CPU threads of this rank. May differ from rank to rank.

    Raises:
        GroupError: arguments that differ, naming the ranks; a rank that failed or does not answer.
        Other errors are those of Context.rebalance. Every rank raises the same.
    """
    return share_out(Context.rebalance, group, num_threads, (weights, current, *sizes), options)
