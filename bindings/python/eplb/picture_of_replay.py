"""A picture of a replay: the imbalance under each rule over time, and the moves that it took."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ._arrays import Floats
from ._replay_figures import Outcome, Replay
from .picture import BUSIEST, Picture, draw_titles, line_colour, show_times

# From this number of windows on, a line is the mean of a twentieth of them, and single ones are pale.
_MANY, _PARTS = 60, 20
# Moves further apart than this are drawn on a scale of powers of ten.
_WIDE = 30
# Characters of a rule, in the key and at the top.
_MOST_OF_RULE, _MOST_OF_HEADLINE = 75, 30
# Inches.
_WIDTH, _TOP, _LINES_HEIGHT, _MOVES_HEIGHT, _BETWEEN, _ROW = 10.2, 1.05, 3.6, 1.7, 0.65, 0.2


def draw_replay(found: Replay, title: str) -> Picture:
    """Draws a line for each rule: the imbalance in each window, and below it the moves up to there.

    Args:
        found: what to draw.
        title: a caption, such as the name of the loads.
    """
    figure, lines, moves, key = _make_axes(len(found.outcomes))
    smooth = len(found.windows) // _PARTS if len(found.windows) >= _MANY else 1
    handles: list[Any] = []
    for number, outcome in enumerate(found.outcomes):
        is_best = outcome is found.best
        style = {
            "color": line_colour(number),
            "lw": 2.6 if is_best else 1.5,
            "zorder": 3 if is_best else 2,
        }
        imbalance = found.imbalance[outcome.rule]
        if smooth > 1:
            lines.plot(found.windows, imbalance, color=style["color"], lw=0.6, alpha=0.25)
        handles += lines.plot(found.windows, _smooth(imbalance, smooth), **style)
        so_far = np.cumsum(found.moves[outcome.rule]) / len(found.layers)
        moves.plot(found.windows, so_far, drawstyle="steps-post", **style)
    _dress(lines, moves, found, smooth)
    names = [_named(outcome, outcome is found.best) for outcome in found.outcomes]
    legend = key.legend(handles, names, loc="upper left", frameon=False, fontsize=9, borderaxespad=0)
    for text in legend.get_texts():
        text.set_parse_math(False)
    draw_titles(figure, _headline(found), title)
    return figure


def _make_axes(rules: int) -> tuple[Picture, Any, Any, Any]:
    """Two panels on one axis of time and the key below, laid out in inches from the bottom."""
    base = 0.35 + _ROW * rules
    height = base + 0.75 + _MOVES_HEIGHT + _BETWEEN + _LINES_HEIGHT + _TOP
    figure = Picture(figsize=(_WIDTH, height), dpi=120)

    def add(y: float, high: float) -> Any:
        return figure.add_axes((0.85 / _WIDTH, y / height, (_WIDTH - 1.1) / _WIDTH, high / height))

    moves = add(base + 0.75, _MOVES_HEIGHT)
    lines = add(base + 0.75 + _MOVES_HEIGHT + _BETWEEN, _LINES_HEIGHT)
    key = add(0.15, base - 0.15)
    key.axis("off")
    return figure, lines, moves, key


def _smooth(values: Floats, width: int) -> Floats:
    """The mean of each window and those around it; windows without load are left out."""
    known = ~np.isnan(values)
    kernel = np.ones(width)
    count = np.convolve(known, kernel, "same")
    total = np.convolve(np.where(known, values, 0), kernel, "same")
    smooth: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return smooth


def _dress(lines: Any, moves: Any, found: Replay, smooth: int) -> None:
    windows = found.windows
    around = f", mean of {smooth} windows; single windows are pale" if smooth > 1 else ""
    lines.set_title(f"Imbalance in the next window{around}", fontsize=11)
    lines.set_ylabel(BUSIEST)
    show_times(lines.yaxis)
    lines.set_ylim(bottom=1)
    lines.tick_params(labelbottom=False)
    moves.set_title("Moves of a layer up to there", fontsize=11)
    moves.set_ylabel("moves")
    moves.set_xlabel("window")
    totals = [each.moves_per_layer * each.windows for each in found.outcomes if each.moves]
    if totals and max(totals) > _WIDE * min(totals):
        moves.set_yscale("symlog", linthresh=1)
        moves.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    moves.set_ylim(bottom=0)
    for axes in (lines, moves):
        axes.set_xlim(windows[0], max(windows[-1], windows[0] + 1))
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)


def _named(outcome: Outcome, is_best: bool) -> str:
    cost = "" if outcome.cost is None else f", cost {outcome.cost:.4f}"
    figures = f"imbalance {outcome.imbalance_mean:.4f}, {outcome.moves_per_layer:.3f} moves per layer and window{cost}"
    rule = outcome.rule if len(outcome.rule) <= _MOST_OF_RULE else f"{outcome.rule[: _MOST_OF_RULE - 3]}..."
    return f"{rule}:  {figures}{'  (best)' if is_best else ''}"


def _headline(found: Replay) -> str:
    best = found.best
    never = next((each for each in found.outcomes if each.rule == "never" and each is not best), None)
    rule = best.rule if len(best.rule) <= _MOST_OF_HEADLINE else best.rule.split(",")[0]
    text = f"{rule} is best: imbalance {best.imbalance_mean:.3f}"
    return text if never is None else f"{text}, {never.imbalance_mean:.3f} with no change"
