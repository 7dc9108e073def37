"""Pictures of a sweep, imbalance by slots per GPU, and of a budget, slots and imbalance by layer."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import MaxNLocator

from ._budget_result import Budget
from ._sweep_result import Sweep, place_name
from .picture import BUSIEST, Picture, draw_titles, line_colour, show_times, whole_numbers

_EVEN, _BY_GAIN = "#b40426", "#3b4cc0"
# Names of lines that fit into the axes, and inches of a row of them below.
_NAMES_INSIDE, _NAME = 4, 0.2


def draw_sweep(found: Sweep, title: str) -> Picture:
    """Draws a line for each GPUs, nodes and groups; dashed is the bound, and rings mark sizes that are enough.

    Args:
        found: what to draw.
        title: a caption, such as the name of the weights.
    """
    places = list(found.by_place())
    # There is room for a few names above the lines.
    below = _NAME * (1 + len(places) // 2) if len(places) > _NAMES_INSIDE else 0.0
    high = 5.4 + below
    figure = Picture(figsize=(8.2, high), dpi=120)
    axes = figure.add_axes((0.09, (0.6 + below) / high, 0.87, 3.9 / high))
    # The bound is that of the sum of windows.
    in_windows = found.figure == "windows_mean"
    for number, rows in enumerate(places):
        colour = line_colour(number)
        slots = [row.slots_per_gpu for row in rows]
        figures = [getattr(row, found.figure) for row in rows]
        # The first ones are the widest: of equal lines, all can be seen.
        width = 1.5 + min(1.5, 6 / len(places)) * (len(places) - 1 - number)
        axes.plot(slots, figures, color=colour, marker="o", ms=width + 2.5, lw=width, label=place_name(rows[0].where))
        if not in_windows:
            axes.plot(slots, [row.bound_mean for row in rows], color=colour, ls="--", lw=1)
        enough = next(row for row in rows if row.enough)
        ring: dict[str, Any] = {"ls": "", "marker": "o", "ms": 13, "mfc": "none", "mew": 1.6}
        axes.plot([enough.slots_per_gpu], [getattr(enough, found.figure)], mec=colour, **ring)
    if not in_windows:
        axes.plot([], [], color="#555555", ls="--", lw=1, label="proven limit")
    axes.plot([], [], mec="#555555", label="smallest within 1 % of the best", **ring)
    axes.set_xlabel("slots per GPU in a layer")
    window = " in single windows" if in_windows else ""
    axes.set_ylabel(f"{BUSIEST}{window}, average of the layers")
    axes.xaxis.set_major_locator(whole_numbers(1 + max(row.slots_per_gpu for row in found)))
    show_times(axes.yaxis)
    axes.grid(alpha=0.25)
    if below:
        figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=2, frameon=False, fontsize=9)
    else:
        axes.legend(loc="best", frameon=False, fontsize=9)  # by default, too, but then it warns if that takes a second
    draw_titles(figure, _headline(found), title)
    return figure


def draw_budget(budget: Budget, title: str) -> Picture:
    """Draws the slots of every layer, and its imbalance with these and with as many slots in each.

    Args:
        budget: what to draw.
        title: as of draw_sweep.
    """
    figure = Picture(figsize=(8.2, 6.4), dpi=120)
    above, below = figure.add_axes((0.1, 0.5, 0.86, 0.35)), figure.add_axes((0.1, 0.09, 0.86, 0.35))
    layers, experts, equal = budget.layers, budget.num_experts, budget.layers_equal
    above.bar(layers, budget.layer_slots - experts, 0.8, color=_BY_GAIN)
    above.axhline(equal.num_slots - experts, color=_EVEN, lw=1)
    above.set_ylabel("redundant experts")
    below.plot(layers, equal.imbalance, color=_EVEN, label=f"{equal.num_slots} slots in each layer")
    below.plot(layers, budget.imbalance, color=_BY_GAIN, label="slots by gain")
    below.set_ylabel(BUSIEST)
    show_times(below.yaxis)
    below.set_xlabel("layer")
    below.legend(loc="best", frameon=False, fontsize=9)
    for axes in (above, below):
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.set_xlim(layers[0] - 0.6, layers[-1] + 0.6)
    above.tick_params(labelbottom=False)
    was, now = equal.imbalance_mean, budget.imbalance_mean
    headline = f"Imbalance {now:.3f} with slots by gain, {was:.3f} with {equal.num_slots} in each layer"
    draw_titles(figure, headline, title)
    return figure


def _headline(found: Sweep) -> str:
    places = list(found.by_place())
    if len(places) > 1:
        return "What redundant experts gain"
    row = found.enough[0]
    verdict = "as good as more" if row is found[0] else "enough"
    return f"{place_name(row.where)}: {row.slots_per_gpu} slots per GPU, {row.redundant} redundant, are {verdict}"
