"""The command that solves with every strategy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from . import _terminal
from ._arrays import Array
from ._context import Context
from ._costs import note_costs
from ._errors import Error, Unavailable
from ._given_loads import read_given
from ._library import EFFORTS, STRATEGIES
from ._loads import count_windows
from ._options import (
    Bound,
    Device,
    Experts,
    Files,
    Gpus,
    Groups,
    Header,
    Index,
    Json,
    Layers,
    MaxReplicas,
    Nodes,
    OffHomeTarget,
    Policy,
    Redundant,
    Seed,
    Slots,
    Threads,
    naming,
    print_json,
    slots_of,
)
from ._plan import Plan
from ._problem import before_of, problem_of, sizes_of
from ._report import Report
from ._tables import MOST_WINDOWS

# The other one starts from a placement, which the command rebalance has.
FROM_NOTHING = [name for name in STRATEGIES if name != "rebalance"]


def compare(
    files: Files,
    gpus: Gpus,
    slots: Slots = None,
    redundant: Redundant = None,
    nodes: Nodes = 1,
    groups: Groups = 1,
    policy: Policy = "auto",
    off_home_target: OffHomeTarget = 1.01,
    seed: Seed = 0,
    max_replicas: MaxReplicas = None,
    bound: Bound = "simple",
    device: Device = "cpu",
    threads: Threads = 1,
    experts: Experts = None,
    layers: Layers = None,
    header: Header = None,
    index: Index = None,
    json_output: Json = False,
) -> None:
    """Solves FILE with every strategy and shows them side by side: best at all efforts, for windows, and soft."""
    given = read_given(files, [], json_output, experts=experts, layers=layers, header=header, index=index)
    weights = given.weights
    problem = problem_of(slots_of(slots, redundant, weights.shape[-1]), gpus, nodes, groups, policy, off_home_target)
    options: dict[str, Any] = {**problem, "seed": seed, "max_replicas": max_replicas, "bound": bound}
    reports: dict[str, Report | str] = {}
    refusal: Error | None = None
    rows_of = {name: {**options, **choice} for name, choice in _choices(weights, problem).items()}
    with naming(given.name), Context(device, threads) as context, _terminal.progress("", len(rows_of)) as move:
        for name, row in rows_of.items():
            move(name)
            try:
                reports[name] = _fastest(partial(context.solve, weights, **row))
            except Unavailable as unavailable:
                reports[name] = str(unavailable)
            except Error as error:
                # One strategy may reject what others accept, such as a cap. What all reject is the caller's mistake.
                reports[name] = str(error)
                refusal = error
            move(name, 1)
        solved = {name: report for name, report in reports.items() if isinstance(report, Report)}
        if refusal is not None and not solved:
            raise refusal
        before = before_of(context, weights, problem)[0]
        # The soft policy has a row of its own. Of equal rows, the last is that of most effort.
        strict = {name: report for name, report in reversed(solved.items()) if report.policy != "soft"}
        best = _best(strict or solved)
        if best is not None:
            note_costs(given, solved[best], rows_of[best], partial(context.solve, weights, **rows_of[best]), before)
    if json_output:
        rows = {name: row.to_dict() if isinstance(row, Report) else {"why": row} for name, row in reports.items()}
        print_json({**sizes_of(given, problem), "before": before.to_dict(), "strategies": rows})
        return
    best = _best(solved)
    if best is not None:
        _terminal.show_windows(weights, solved[best], given.layers, f" of {best}")
    more = {"windows": "best windows" in reports, "homes": _terminal.has_homes(problem)}
    _terminal.show_reports({"before": before, **reports}, [kind for kind, shown in more.items() if shown])


def _choices(weights: Array, problem: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each row of the table, by its name."""
    # Only best knows efforts.
    choices: dict[str, dict[str, Any]] = {name: {"strategy": name} for name in FROM_NOTHING if name != "best"}
    choices |= {f"best {effort}": {"strategy": "best", "effort": effort} for effort in EFFORTS if "best" in STRATEGIES}
    if 1 < count_windows(weights) <= MOST_WINDOWS:
        choices["best windows"] = {"strategy": "best", "objective": "windows"}
    if _terminal.has_homes(problem) and problem["policy"] != "soft":
        choices["best soft"] = {"strategy": "best", "policy": "soft"}
    return choices


def _best(solved: dict[str, Report]) -> str | None:
    """The row with the lowest imbalance, if there is one."""
    return min(solved, key=lambda name: solved[name].imbalance_mean, default=None)


def _fastest(solve: Callable[[], Plan]) -> Report:
    """The report of the fastest of several equal solves: the first one also allocates."""
    reports: list[Report] = []
    while len(reports) < 5 and sum(report.microseconds for report in reports) < 200_000:
        reports.append(solve().report)
    return min(reports, key=lambda report: report.microseconds)
