"""Figures of placements in columns and sentences, which the command prints and notebooks show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import Ints
from ._files.values import counted

if TYPE_CHECKING:
    from ._report import Report
    from ._split import Split
    from ._static_dispatch import StaticDispatch
    from ._windows import Alone

_COLUMNS = ("", "imbalance: mean", "worst layer", "gap: mean", "worst layer", "duplicates", "time")
# After the imbalance, where asked for: columns, and the figures of a report that they show.
_MORE_COLUMNS = {
    "windows": (("in a window: mean", "windows_mean", ".4f"), ("worst", "windows_worst", ".4f")),
    "homes": (("away from home: mean", "off_home_mean", ".2%"), ("worst", "off_home_worst", ".2%")),
}
# The same where tokens are not split evenly: by what is asked for, figures of its results.
_WORST = ("worst layer", "imbalance_worst", ".4f")
_COLUMNS_OF_TOKENS = {
    "split": (("tokens split: mean", "imbalance_mean", ".4f"), _WORST, ("bound of splits", "bound_mean", ".4f")),
    "static_dispatch": (("static dispatch: mean", "imbalance_mean", ".4f"), _WORST),
    "static_dispatch_after_swaps": (("after swaps: mean", "imbalance_mean", ".4f"), _WORST),
}
_BEFORE_MORE = 3
# Of a rebalance, after the imbalance; and of moves alone.
COLUMNS_OF_MOVES = ("moves", "between nodes", "reloads", "rounds")
_MOST_WORST_LAYERS = 5


def has_homes(problem: Mapping[str, Any]) -> bool:
    """Whether there are several nodes and several groups."""
    return all(problem.get(name, 1) > 1 for name in ("num_nodes", "num_groups"))


def report_table(
    reports: Mapping[str, Report],
    more: Sequence[str] = (),
    tokens: Mapping[str, Mapping[str, Split | StaticDispatch]] | None = None,
) -> list[tuple[str, ...]]:
    """Columns, then a row for each placement.

    Args:
        more: figures of "windows", of "homes".
        tokens: of the same placements, by what is asked for and by name: with tokens that are not split evenly.
    """
    table = [_COLUMNS, *(_report_row(name, report) for name, report in reports.items())]
    added: list[tuple[Mapping[str, Any], str, str, str]] = []
    added += [(reports, *column) for kind in more for column in _MORE_COLUMNS[kind]]
    added += [(found, *column) for kind, found in (tokens or {}).items() for column in _COLUMNS_OF_TOKENS[kind]]
    cells = [
        [title for _, title, *_ in added],
        *([f"{getattr(found[row], name):{form}}" for found, _, name, form in added] for row in reports),
    ]
    return [(*row[:_BEFORE_MORE], *each, *row[_BEFORE_MORE:]) for row, each in zip(table, cells, strict=True)]


def _report_row(name: str, report: Report) -> tuple[str, ...]:
    time = f"{report.microseconds / 1000:.2f} ms" if report.strategy else "-"
    numbers = (
        f"{report.imbalance_mean:.4f}",
        f"{report.imbalance_worst:.4f}",
        f"{report.gap_mean:.3%}",
        f"{report.gap_worst:.3%}",
        str(report.duplicates),
    )
    return (name, *numbers, time)


def sentences_of(report: Report, warnings: Sequence[str] = ()) -> list[str]:
    """What else a report has to say: of windows, homes and moves if there are any, and of its worst layers.

    Args:
        warnings: of the plan. What each of several windows gets is one of them, if they were summed.
    """
    said = [warning if warning.endswith("?") else f"{warning}." for warning in warnings]
    windows = f"{report.num_windows} windows"
    if report.num_windows > 1 and not any(warning.startswith(windows) for warning in warnings):
        said.append(f"{report_of_windows(report)}.")
    if has_homes(vars(report)):
        said.append(f"{homes_sentence(report)}.")
    if report.moves:
        said.append(f"{moves_clause(report)}.")
    if len(report.imbalance) > 1:
        worst = [f"{layer} ({report.imbalance[layer]:.4f})" for layer in worst_layers(report.imbalance)]
        said.append(f"The worst layers are {', '.join(worst)}.")
    carries = f"The busiest GPU carries {report.imbalance_mean:.3f}x the mean"
    return [*said, f"{carries}; {bound_clause(report)}."]


def worst_layers(figures: Any) -> list[int]:
    """The first of those with the highest figures [L]."""
    return [int(layer) for layer in np.argsort(-figures, kind="stable")[:_MOST_WORST_LAYERS]]


def bound_clause(report: Report) -> str:
    return f"no placement gets below {report.bound_mean:.3f}x"


def windows_sentence(windows: int, alone: Alone | None, whose: str = "") -> str:
    """What each of several windows gets of a placement for their sum.

    Args:
        windows: how many there are.
        alone: figures of each; None: they are not known.
        whose: of which placement.
    """
    if alone is None:
        return f"{windows} windows, summed; what each of them gets is not known"
    figures = f"mean {alone.mean:.3f}, mean of the worst {alone.worst:.3f} (window {alone.worst_window})"
    return f"{windows} windows{_empty(alone.num_empty)}, summed; alone{whose}: {figures}"


def report_of_windows(report: Report, balanced: str = "", layers: Ints | None = None) -> str:
    """What a report says of windows, whatever was balanced. layers: the number of each."""
    layer = report.worst_window_layer if layers is None else layers[report.worst_window_layer]
    worst = f"worst layer {report.windows_worst:.3f} (window {report.worst_window}, layer {layer})"
    windows = f"{report.num_windows} windows{_empty(report.num_empty_windows)}{balanced}"
    return f"{windows}; alone: mean {report.windows_mean:.3f}, {worst}"


def _empty(count: int) -> str:
    return f", {count} of them empty" if count else ""


def homes_sentence(report: Report) -> str:
    """How much of the load is away from its group's home."""
    needed = f"an imbalance of {report.off_home_target:g} takes at least {report.off_home_bound_mean:.1%}"
    return f"{report.off_home_mean:.1%} of the load away from home; {needed}"


def moves_clause(report: Report) -> str:
    """How many moves there are, and how many there have to be."""
    forced = f", {report.moves_forced} of them forced" if report.moves_forced else ""
    needed = f", where {report.moves_bound} are needed at least" if report.moves_bound > report.moves_forced else ""
    return f"{counted(report.moves, 'move')} in {counted(report.layers_changed, 'layer')}{forced}{needed}"
