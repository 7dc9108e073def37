"""Several processes, over torch.distributed with any backend: global loads, shared solves, agreement, moved experts.

    loads = eplb.distributed.all_reduce_loads(local_counts)  # [L,E] of this rank
    plan = eplb.distributed.rebalance(loads, placement, num_gpus=32, max_moves=16, transfer_order="in_place")
    eplb.distributed.check_agreement(plan)
    eplb.distributed.move_experts(parameters, plan.moves, in_place=True, load=load_expert)

All functions are collective: every rank of the group calls them, in the same order. What is wrong on one rank is the
same error on all of them, so that none waits for another; a rank that died or does not answer is a GroupError after the
timeout of the group (init_process_group(timeout=...)). The group is then of no further use.
"""

from __future__ import annotations

try:
    import torch.distributed  # noqa: F401
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "torch":
        raise
    text = "eplb.distributed needs torch, which is not installed: pip install torch"
    raise ModuleNotFoundError(text, name=error.name) from None

from ._agreement import check_agreement
from ._group import GroupError
from ._loads import all_reduce_loads
from ._mover import move_experts
from ._solve import rebalance, solve

__all__ = ["GroupError", "all_reduce_loads", "check_agreement", "move_experts", "rebalance", "solve"]
