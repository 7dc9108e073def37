"""What a plan says against itself: windows that were summed, and nodes and groups that changed nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._arrays import Array, Ints
from ._files.load_doubts import doubts_about
from ._files.values import counted
from ._report import Report


def doubts_of_plan(report: Report, windows: int, layers: Ints, problem: Mapping[str, Any], whose: str = "") -> list[str]:
    """Sentences about a report, for which nothing is solved.

    Args:
        windows: how many there were, also where the report does not know them.
        layers: the number of each layer.
        problem: num_nodes and num_groups; objective, "sum" without it; and whether there was a current placement.
        whose: " with best", say, where the report is one of several.
    """
    doubts = []
    if windows > 1 and problem.get("objective", "sum") == "sum":
        doubts.append(windows_alone(report, windows, layers, "summed", whose))
    doubts += _without_effect(report, problem)
    return doubts


def windows_alone(report: Report, windows: int, layers: Ints, how: str, whose: str = "") -> str:
    """What a placement for all windows gets in each."""
    empty = f", {report.num_empty_windows} of them empty" if report.num_empty_windows else ""
    if not report.num_windows:
        return f"{windows} windows, {how}: too many to say what each of them gets"
    where = f"window {report.worst_window}, layer {layers[report.worst_window_layer]}"
    figures = f"mean {report.windows_mean:.3f}, worst {report.windows_worst:.3f} ({where})"
    return f"{windows} windows{empty}, {how}; alone{whose}: {figures}"


def _without_effect(report: Report, problem: Mapping[str, Any]) -> list[str]:
    nodes, groups = problem.get("num_nodes") or 1, problem.get("num_groups") or 1
    if nodes == 1:
        return [f"{counted(groups, 'group')} have no effect on one node"] if groups > 1 else []
    if report.policy_reason != "groups_do_not":
        return []
    if groups > 1:
        why = f"{groups} is no multiple of {nodes} nodes"
        return [f"{groups} groups have no effect: {why}, so the policy auto is global, which knows no groups"]
    # What comes from another node costs more, whatever the policy.
    return [] if problem.get("current") else [f"{nodes} nodes have no effect without groups"]


def doubts_of_solution(report: Report, sums: Array, windows: int, problem: Mapping[str, Any]) -> list[str]:
    """All that is said of a plan in Python: of its weights [L,E], summed over windows, and of itself."""
    layers = np.arange(len(sums))
    return [*doubts_about(sums[np.newaxis], layers, {}), *doubts_of_plan(report, windows, layers, problem)]
