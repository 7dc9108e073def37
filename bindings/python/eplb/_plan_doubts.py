"""What a plan says against itself: windows that were summed, and nodes and groups that changed nothing."""

from __future__ import annotations

import numpy as np

from ._arrays import Array
from ._figures import windows_sentence
from ._files.load_doubts import doubts_about
from ._files.values import counted
from ._loads import gpu_loads, mean_with_load, placement_in_order, relative_loads
from ._report import Report
from ._windows import Alone

# Sums in another order differ by less.
_ROUNDING = 1e-9


def doubts_of_plan(
    report: Report,
    windows: int,
    *,
    alone: Alone | None = None,
    summed: bool = True,
    moves: bool = False,
    whose: str = "",
) -> list[str]:
    """Sentences about a placement, for which nothing is solved.

    Args:
        report: of it.
        windows: how many there were, also where the report does not know them.
        alone: what each of them gets, if it is known.
        summed: whether their sum was balanced, and not each of them.
        moves: whether experts come from somewhere: from another node they come more slowly, whatever the policy.
        whose: of which placement, where there are several.
    """
    doubts = [windows_sentence(windows, alone, whose)] if summed and windows > 1 else []
    nodes, groups = report.num_nodes, report.num_groups
    if nodes == 1:
        return [*doubts, f"{groups} groups have no effect on one node"] if groups > 1 else doubts
    if report.policy_reason == "groups_do_not" and groups > 1:
        why = f"{groups} is no multiple of {counted(nodes, 'node')}"
        doubts.append(f"{groups} groups have no effect: {why}, so the policy auto is global, which knows no groups")
    elif report.policy_reason == "groups_do_not" and not moves:
        doubts.append(f"{nodes} nodes have no effect without groups")
    return doubts


def worse_than(imbalance: float, unbalanced: float) -> str:
    """The end of a sentence about an imbalance, if it is above that without a balancer."""
    return f", worse than no balancer ({unbalanced:.4f})" if imbalance > unbalanced * (1 + _ROUNDING) else ""


def doubts_of_solution(
    report: Report,
    sums: Array,
    windows: int,
    alone: Alone | None,
    summed: bool,
    moves: bool,
    slots: tuple[int, int] | None,
) -> list[str]:
    """All that is said of a plan: of its weights [L,E], summed over windows, and of itself.

    Args:
        slots: S and G, for the imbalance without a balancer; None where that is not what the plan is compared with.
    """
    doubts = doubts_about(sums[np.newaxis], np.arange(len(sums)), {})
    doubts += doubts_of_plan(report, windows, alone=alone, summed=summed, moves=moves)
    if slots is not None and summed and not moves:
        layers, experts = sums.shape
        placement = placement_in_order(layers, experts, slots[0])
        loads = gpu_loads(sums.astype(np.float64), placement, slots[1])
        unbalanced = mean_with_load(relative_loads(loads).max(axis=1), loads.sum(axis=1) > 0)
        worse = worse_than(report.imbalance_mean, unbalanced)
        doubts += [f"the imbalance is {report.imbalance_mean:.4f}{worse}"] if worse else []
    return doubts
