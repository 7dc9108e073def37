"""What a plan says against itself: windows that were summed, and nodes and groups that changed nothing."""

from __future__ import annotations

import numpy as np

from ._arrays import Array, Ints
from ._figures import windows_sentence
from ._files.load_doubts import doubts_about
from ._files.values import counted
from ._report import Report


def doubts_of_plan(
    report: Report,
    windows: int,
    *,
    summed: bool = True,
    moves: bool = False,
    layers: Ints | None = None,
    whose: str = "",
) -> list[str]:
    """Sentences about a placement, for which nothing is solved.

    Args:
        report: of it.
        windows: how many there were, also where the report does not know them.
        summed: whether their sum was balanced, and not each of them.
        moves: whether experts come from somewhere: from another node they come more slowly, whatever the policy.
        layers: the number of each layer.
        whose: of which placement, where there are several.
    """
    doubts = [windows_sentence(report, windows, ", summed", whose, layers)] if summed and windows > 1 else []
    nodes, groups = report.num_nodes, report.num_groups
    if nodes == 1:
        return [*doubts, f"{groups} groups have no effect on one node"] if groups > 1 else doubts
    if report.policy_reason == "groups_do_not" and groups > 1:
        why = f"{groups} is no multiple of {counted(nodes, 'node')}"
        doubts.append(f"{groups} groups have no effect: {why}, so the policy auto is global, which knows no groups")
    elif report.policy_reason == "groups_do_not" and not moves:
        doubts.append(f"{nodes} nodes have no effect without groups")
    return doubts


def doubts_of_solution(report: Report, sums: Array, windows: int, summed: bool, moves: bool) -> list[str]:
    """All that is said of a plan: of its weights [L,E], summed over windows, and of itself."""
    loads = doubts_about(sums[np.newaxis], np.arange(len(sums)), {})
    return [*loads, *doubts_of_plan(report, windows, summed=summed, moves=moves)]
