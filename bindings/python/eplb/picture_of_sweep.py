"""Pictures of a sweep, imbalance by slots per GPU, and of a budget, slots and imbalance by layer."""

from __future__ import annotations

from typing import IO, Any

from matplotlib import colormaps
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ._arrays import Ints
from ._budget import Budget
from ._sweep_result import Sweep, place_name
from .picture import Picture, draw_titles, whole_numbers

# More lines than colours start again.
_COLOURS = colormaps["tab10"].colors  # type: ignore[attr-defined]
_EVEN, _BY_GAIN = "#b40426", "#3b4cc0"
_BUSIEST = "busiest GPU over the mean"
# Names of lines that fit into the axes, and inches of a row of them below.
_NAMES_INSIDE, _NAME = 4, 0.2


def draw_sweep(file: IO[bytes], suffix: str, found: Sweep, title: str) -> None:
    """Draws a line for each GPUs, nodes and groups; dashed is the bound, and a ring marks the smallest good size.

    Args:
        file: to write to.
        suffix: the format, one of picture.FORMATS.
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
        colour = _COLOURS[number % len(_COLOURS)]
        slots = [row.slots_per_gpu for row in rows]
        figures = [getattr(row, found.figure) for row in rows]
        # The first ones are the widest: of equal lines, all can be seen.
        width = 1.5 + min(1.5, 6 / len(places)) * (len(places) - 1 - number)
        axes.plot(slots, figures, color=colour, marker="o", ms=width + 2.5, lw=width, label=place_name(rows[0].where))
        if not in_windows:
            axes.plot(slots, [row.bound_mean for row in rows], color=colour, ls="--", lw=1)
        knee = next(row for row in rows if row.knee)
        ring: dict[str, Any] = {"ls": "", "marker": "o", "ms": 13, "mfc": "none", "mew": 1.6}
        axes.plot([knee.slots_per_gpu], [getattr(knee, found.figure)], mec=colour, **ring)
    if not in_windows:
        axes.plot([], [], color="#555555", ls="--", lw=1, label="proven limit")
    axes.plot([], [], mec="#555555", label="smallest within 1 % of the best", **ring)
    axes.set_xlabel("slots per GPU in a layer")
    window = " in single windows" if in_windows else ""
    axes.set_ylabel(f"{_BUSIEST}{window}, average of the layers")
    axes.xaxis.set_major_locator(whole_numbers(1 + max(row.slots_per_gpu for row in found)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.grid(alpha=0.25)
    if below:
        figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=2, frameon=False, fontsize=9)
    else:
        axes.legend(frameon=False, fontsize=9)
    draw_titles(figure, _headline(found), title)
    figure.savefig(file, format=suffix)


def draw_budget(file: IO[bytes], suffix: str, budget: Budget, layers: Ints, title: str) -> None:
    """Draws the slots of every layer, and its imbalance with these and with as many slots in each.

    Args:
        file, suffix, title: as of draw_sweep.
        budget: what to draw.
        layers: the number of each layer.
    """
    figure = Picture(figsize=(8.2, 6.4), dpi=120)
    above, below = figure.add_axes((0.1, 0.5, 0.86, 0.35)), figure.add_axes((0.1, 0.09, 0.86, 0.35))
    fewest, equal = budget.num_experts or 0, budget.layers_equal
    above.bar(layers, budget.layer_slots - fewest, 0.8, color=_BY_GAIN)
    above.axhline(equal.num_slots - fewest, color=_EVEN, lw=1)
    above.set_ylabel("redundant experts")
    below.plot(
        layers, budget.layers_equal.imbalance, color=_EVEN, label=f"{budget.layers_equal.num_slots} slots in each layer"
    )
    below.plot(layers, budget.imbalance, color=_BY_GAIN, label="slots by gain")
    below.set_ylabel(_BUSIEST)
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    below.set_xlabel("layer")
    below.legend(frameon=False, fontsize=9)
    for axes in (above, below):
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.set_xlim(layers[0] - 0.6, layers[-1] + 0.6)
    above.tick_params(labelbottom=False)
    was, now = equal.imbalance_mean, budget.imbalance_mean
    headline = f"Imbalance {now:.3f} with slots by gain, {was:.3f} with {equal.num_slots} in each layer"
    draw_titles(figure, headline, title)
    figure.savefig(file, format=suffix)


def _headline(found: Sweep) -> str:
    places = list(found.by_place())
    if len(places) > 1:
        return "What redundant experts gain"
    knee = found.knees[0]
    verdict = "as good as more" if knee is found[0] else "enough"
    return f"{place_name(knee.where)}: {knee.slots_per_gpu} slots per GPU, {knee.redundant} redundant, are {verdict}"
