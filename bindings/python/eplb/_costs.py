"""What a demand costs: whole groups on nodes, and a cap on replicas, each against the same solve without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ._figures import has_homes
from ._given_loads import GivenLoads
from ._plan import Plan
from ._plan_doubts import worse_than
from ._report import Report
from ._windows import balances_windows

# What costs less of the balance is rarely worth giving up what was asked for.
_WORTH_A_LINE = 1.01


def note_costs(
    given: GivenLoads,
    report: Report,
    asked: dict[str, Any],
    solve: Callable[..., Plan],
    unbalanced: Report | None = None,
) -> None:
    """Notes each demand that costs more than 1 %. It takes a solve without it, at effort fast.

    Args:
        report: of the plan.
        asked: what the plan was solved for, problem and options.
        solve: the same again, but for options that are given by name.
        unbalanced: without a balancer; None where that is not what the work began with.
    """
    in_windows = balances_windows(asked.get("objective"), report.num_windows)
    field, where = ("windows_mean", " in single windows") if in_windows else ("imbalance_mean", "")
    found: float = getattr(report, field)
    worse = "" if unbalanced is None else worse_than(found, getattr(unbalanced, field))
    for demand, without, changes in _demands(report, asked):
        other: float = getattr(solve(**changes, effort="fast").report, field)
        if found <= _WORTH_A_LINE * other:
            continue
        given.note(f"the imbalance{where} is {found:.4f} with {demand}{worse}, but {other:.4f} {without}")
        worse = ""
    if worse:
        given.note(f"the imbalance{where} is {found:.4f}{worse}")


def _demands(report: Report, asked: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What was demanded, the words for the same without it, and the options of that."""
    if report.policy == "hierarchical" and has_homes(asked):
        yield "whole groups on nodes", "with --policy global", {"policy": "global"}
    if asked.get("max_replicas"):
        yield f"--max-replicas {asked['max_replicas']}", "without it", {"max_replicas": None}
