"""A plan that leaves some layers as they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import Array, Flags
from ._cluster import Cluster
from ._context import Context
from ._gathered_solution import GatheredSolution
from ._maps import maps_of
from ._moves import figures_of_moves
from ._plan import Plan


def keep_layers(context: Context, plan: Plan, kept: Flags, current: Array, cluster: Cluster) -> Plan:
    """The plan of a context's last call, a rebalance of current, but with the layers that are kept [L] as they were.

    Args:
        kept: layers in which current is a valid placement.
        cluster: of that rebalance.
    """
    experts, keep = plan.replica_count.shape[1], kept[:, np.newaxis]
    slots = np.where(keep, _slots_of_experts(current, experts), plan.replica_slots)
    count = np.where(keep, maps_of(current, experts)[1], plan.replica_count)
    placement = np.where(keep, current, plan.physical_to_logical)
    moves = context.plan_transfers(current, placement, cluster=cluster)
    report = plan.report
    # Layers that are valid as they are have no forced moves.
    figures: dict[str, Any] = {
        **{name: getattr(report, name) for name in ("moves_forced", "moves_bound", "layers_missed")},
        **figures_of_moves(moves, plan.num_gpus),
        "layers_changed": int((plan.changed & ~kept).sum()),
    }
    with context._shared as session:
        weights = context._weights
        assert weights is not None, "a rebalance of weights of the host was the last call"
        return Plan(GatheredSolution(session, weights, report.microseconds, slots, count, figures, {}))


def _slots_of_experts(placement: Array, experts: int) -> Array:
    """The slots of expert 0, then those of expert 1, and so on [L,S]; at the end those that are empty."""
    return np.argsort(np.where(placement < 0, experts, placement), axis=1, kind="stable")
