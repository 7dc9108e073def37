"""A picture of a rebalance: the load of every GPU before and after, and who sends experts to whom."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ._work import Work
from .picture import draw_heat, draw_scale, draw_titles, unknown_glyphs_allowed, whole_numbers

# Who sends nothing is white, who sends little is pale.
_MOVES = ListedColormap(colormaps["Purples"](np.linspace(0.25, 1, 256)))
_BARS, _LINES = "#6a51a3", "#222222"


def draw_moves(file: IO[bytes], suffix: str, work: Work, title: str) -> None:
    """Draws heat maps of loads, layers by GPUs, before and after; and below, senders by receivers, and moves by layer.

    Args:
        file: to write to.
        suffix: the format, one of picture.FORMATS.
        work: what to draw.
        title: a caption, such as the name of the weights.
    """
    figure, (left, right, scale, senders, key, side) = _make_axes(len(work.before))
    # An expert that nobody holds makes no load: before may be below the mean everywhere.
    largest = max(1.1, float(work.before.max()), float(work.after.max()))
    norm = TwoSlopeNorm(1, 0, largest)
    # GPUs without slots are white.
    before, after = (
        np.ma.array(each, mask=np.broadcast_to(work.gone, each.shape)) for each in (work.before, work.after)
    )
    draw_heat(left, before, norm, "Before")
    image = draw_heat(right, after, norm, "After")
    left.set_ylabel("layer")
    right.tick_params(labelleft=False)
    draw_scale(figure, image, scale, largest)
    _draw_senders(figure, senders, key, work)
    _draw_layers(side, work)
    draw_titles(figure, _headline(work), title)
    with unknown_glyphs_allowed():
        figure.savefig(file, format=suffix)


def _make_axes(layers: int) -> tuple[Figure, list[Any]]:
    """Two rows, laid out in inches from the bottom, so that text always fits."""
    rows = float(np.clip(1.0 + 0.09 * layers, 1.3, 4.6))
    width, height = 10.2, rows + 7.6
    figure = Figure(figsize=(width, height), dpi=120)
    places = [
        (0.75, 6.6, 4.3, rows),
        (5.45, 6.6, 4.3, rows),
        (0.75, 5.75, 9.0, 0.16),
        (0.75, 0.6, 4.3, 4.3),
        (5.15, 0.6, 0.14, 4.3),
        (6.6, 0.6, 3.15, 4.3),
    ]
    return figure, [figure.add_axes((x / width, y / height, w / width, h / height)) for x, y, w, h in places]


def _headline(work: Work) -> str:
    report = work.report
    was, now = work.mean_before, report.imbalance_mean
    moves = f"{report.moves} move{'' if report.moves == 1 else 's'}"
    return f"{moves}: the busiest GPU carries {now:.3f}x the mean load, was {was:.3f}x"


def _draw_senders(figure: Figure, axes: Any, key: Any, work: Work) -> None:
    gpus = len(work.sent)
    # What comes from storage is the last row, apart from the GPUs.
    table = np.vstack([work.sent, work.reloaded]) if work.reloaded.any() else work.sent
    shown = np.ma.masked_equal(table, 0)
    most = max(2, int(table.max()))
    image = axes.imshow(shown, cmap=_MOVES, vmin=1, vmax=most, aspect="auto", interpolation="nearest")
    _draw_nodes(axes, gpus, work.num_nodes)
    if len(table) > gpus:
        axes.axhline(gpus - 0.5, color=_LINES, lw=1.2)
        axes.text(-0.8, gpus, "storage", ha="right", va="center", fontsize=9)
    crossing = int(work.between_nodes.sum())
    between = f", {crossing} between nodes" if work.num_nodes > 1 else ""
    axes.set_title(f"Who sends to whom: {int(work.sent.sum())} experts{between}", fontsize=11)
    axes.set_xlabel("to GPU")
    axes.set_ylabel("from GPU")
    axes.yaxis.set_label_coords(-0.09, 0.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(whole_numbers(gpus))
    figure.colorbar(image, cax=key, ticks=MaxNLocator(5, integer=True), label="experts, over all layers")


def _draw_nodes(axes: Any, gpus: int, nodes: int) -> None:
    for node in range(1, nodes):
        edge = -(-node * gpus // nodes) - 0.5
        axes.axhline(edge, color=_LINES, lw=0.6)
        axes.axvline(edge, color=_LINES, lw=0.6)


def _draw_layers(axes: Any, work: Work) -> None:
    layers = np.arange(len(work.moves))
    axes.barh(layers, work.moves, 0.8, color=_BARS)
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.set_xlim(0, max(1, float(work.moves.max())) * 1.05)
    axes.yaxis.set_major_locator(whole_numbers(len(layers)))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_title(f"Moves of each layer, in {int(work.rounds.max())} rounds at most", fontsize=11)
    axes.set_xlabel("moves")
    axes.set_ylabel("layer")
    axes.grid(axis="x", alpha=0.25)
