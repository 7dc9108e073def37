"""A picture of what a placement gains: the load of every GPU in every layer, before and after."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, MaxNLocator

from ._arrays import Flags, Floats
from ._loads import NodeLoads, mean_with_load, relative_loads

FORMATS = ("png", "svg", "pdf")
# Blue GPUs are idle, red ones make all others wait, grey is the mean.
_COLOURS = "coolwarm"
# Up to this number of layers or GPUs, each has a label, and each layer its own bars.
_FEW = 12
_BEFORE, _AFTER, _BOUND = "#b40426", "#3b4cc0", "#222222"
_AWAY = "#f4987a"
# Inches.
_HOMES_HEIGHT = 1.7
# Characters of a name that fit into the narrowest picture.
_MOST_OF_NAME = 100


class Windows(NamedTuple):
    """Imbalance of each layer in each window [L,T], and the lowest that is possible; masked where there is no load."""

    before: Floats
    after: Floats
    lowest: Floats


def draw_comparison(
    path: str | PathLike[str],
    before: Floats,
    after: Floats,
    bound: Floats,
    *,
    title: str,
    windows: Windows | None = None,
    homes: NodeLoads | None = None,
) -> None:
    """Draws two heat maps, layers by GPUs, on one scale, and next to them the imbalance of every layer.

    Args:
        path: where to write it; the suffix selects the format, one of FORMATS.
        before, after: loads [L,G].
        bound: [L], proven lower bounds on the largest load, in the same unit.
        title: a caption, such as the name of the file.
        windows: of several windows, what is below: two more heat maps, windows by layers, and the mean of every window.
        homes: of groups on several nodes, what is at the bottom: the load of each node in the layer where most is
            served away from home.
    """
    mean = after.mean(axis=1)
    lowest = np.divide(bound, mean, out=np.ones_like(mean), where=mean > 0)
    before, after = relative_loads(before), relative_loads(after)
    figure, (left, right, side, scale, key), below, nodes = _make_axes(len(before), windows, homes is not None)
    largest = max(2.0, *(float(each.max()) for each in (before, after, *(windows or ()))))
    norm = TwoSlopeNorm(1, 0, largest)
    draw_heat(left, before, norm, "Before")
    image = draw_heat(right, after, norm, "After")
    left.set_ylabel("layer")
    draw_scale(figure, image, scale, largest)
    _draw_imbalance(side, before.max(axis=1), after.max(axis=1), lowest)
    side.set_title("Imbalance: the busiest GPU", fontsize=11)
    more = ""
    if windows is not None:
        _draw_windows(below, windows, norm)
        more = f"; in a single window {windows.after.mean():.3f}x, was {windows.before.mean():.2f}x"
    if homes is not None:
        _draw_homes(nodes, homes)
    for axes in (right, side, *below[1:]):
        axes.tick_params(labelleft=False)
    handles = dict(zip(*reversed(side.get_legend_handles_labels()), strict=True))
    names = ("before", "after", "proven limit")
    key.legend([handles[name] for name in names], names, loc="center", ncols=3, frameon=False, fontsize=9)
    draw_titles(figure, _headline(before, after, mean > 0), title, more)
    with unknown_glyphs_allowed():
        figure.savefig(path)


def draw_titles(figure: Figure, headline: str, name: str, more: str = "") -> None:
    """At the top of a picture: what it shows, and below it a name that a user has given, and what is added to it."""
    inch = 1 / float(figure.get_figheight())
    figure.text(0.5, 1 - 0.16 * inch, headline, ha="center", va="top", fontsize=14, fontweight="bold")
    # A name is text, even with two $ or under a user's setting of TeX.
    plain: dict[str, Any] = {"parse_math": False, "usetex": False}
    place: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 9, "color": "#555555"}
    figure.text(0.5, 1 - 0.48 * inch, _printable(name) + more, **place, **plain)


def _printable(name: str) -> str:
    """In one line, without what no font can draw, such as bytes that are not UTF-8; long ones are cut in the middle."""
    words = " ".join(name.split())
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)
    if len(text) <= _MOST_OF_NAME:
        return text
    half = _MOST_OF_NAME // 2
    return f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"


@contextmanager
def unknown_glyphs_allowed() -> Iterator[None]:
    """Characters that no installed font has are drawn as boxes; warnings would name a line of this installation."""
    with warnings.catch_warnings():
        # The second one is that of versions before 3.11.
        for text in (r"Glyph \d+ .*missing from", "Matplotlib currently does not support"):
            warnings.filterwarnings("ignore", message=text)
        yield


def _make_axes(layers: int, windows: Windows | None, homes: bool) -> tuple[Figure, list[Any], list[Any], list[Any]]:
    """Two heat maps, the imbalance, the colour scale and the key, what windows and what homes add.

    All is in inches, so that text fits.
    """
    rows, of_windows = _height(layers), 0.0 if windows is None else _height(windows.after.shape[1])
    # Between both are the labels of one and the titles of the other.
    lift = 0.0 if windows is None else of_windows + 0.95
    # Below it all, with its own labels and title.
    base = _HOMES_HEIGHT + 1.05 if homes else 0.0
    width, height = 12.5, rows + lift + base + 2.5
    figure = Figure(figsize=(width, height), dpi=120)
    three = [(0.75, 4.1), (5.1, 4.1), (9.6, 2.65)]

    def add(places: Sequence[tuple[float, float]], y: float, high: float) -> list[Any]:
        return [figure.add_axes((x / width, (y + base) / height, wide / width, high / height)) for x, wide in places]

    axes = [*add(three, 1.42 + lift, rows), *add([(0.75, 8.45), (9.6, 2.65)], 0.62, 0.16)]
    axes[4].axis("off")
    below = [] if windows is None else add(three, 1.42, of_windows)
    nodes = add([(0.75, 8.45), (9.6, 2.65)], 0.55 - base, _HOMES_HEIGHT) if homes else []
    return figure, axes, below, nodes


def _height(rows: int) -> float:
    """One row is a strip; many rows fill a page."""
    return float(np.clip(1.0 + 0.09 * rows, 1.3, 5.6))


def _draw_windows(places: list[Any], windows: Windows, norm: TwoSlopeNorm) -> None:
    left, right, side = places
    draw_window_heat(left, windows.before, norm, "Before")
    draw_window_heat(right, windows.after, norm, "After")
    left.set_ylabel("window")
    # Of a window without load, nothing is above 1.
    _draw_imbalance(side, *(np.ma.filled(each.mean(axis=0), 1.0) for each in windows))
    side.set_title("Imbalance, mean over layers", fontsize=11)


def _draw_homes(places: list[Any], homes: NodeLoads) -> None:
    axes, key = places
    # The layer where the largest share is away; where none is, that of the busiest node.
    total = np.maximum(homes.of_groups.sum(axis=1), np.finfo(float).tiny)
    share = homes.away.sum(axis=1) / total
    busiest = (homes.at_home + homes.away).max(axis=1) / total
    layer = int(np.lexsort((np.arange(len(share))[::-1], busiest, share))[-1])
    at_home, away, of_groups = (each[layer] / (total[layer] / len(each[layer])) for each in homes)
    nodes = np.arange(len(at_home))
    axes.bar(nodes, at_home, 0.7, color=_AFTER, label="served, of groups at home here")
    axes.bar(nodes, away, 0.7, bottom=at_home, color=_AWAY, label="served, of groups at home elsewhere")
    axes.plot(nodes, of_groups, color=_BOUND, marker="_", markersize=18, ls="", label="load of the groups at home here")
    axes.axhline(1, color=_BOUND, lw=0.6, ls=":")
    axes.set_xlim(-0.6, len(nodes) - 0.4)
    axes.xaxis.set_major_locator(whole_numbers(len(nodes)))
    axes.set_xlabel("node")
    axes.set_ylabel("load over the mean")
    which = "" if len(share) == 1 else ", where it is most" if share[layer] > 0 else ", with the busiest one"
    axes.set_title(f"Nodes in layer {layer}{which}: {share[layer]:.1%} of the load away from home", fontsize=11)
    axes.set_ylim(0, 1.08 * max(1.0, float(of_groups.max()), float((at_home + away).max())))
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    key.axis("off")
    key.legend(*axes.get_legend_handles_labels(), loc="center left", frameon=False, fontsize=9)


def draw_window_heat(axes: Any, imbalance: Floats, norm: TwoSlopeNorm, name: str) -> Any:
    """Windows by layers, from [L,T]."""
    image = axes.imshow(imbalance.T, norm=norm, cmap=_COLOURS, aspect="auto", interpolation="nearest")
    axes.set_title(f"{name}: imbalance {_range(imbalance)} in single windows", fontsize=11)
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(whole_numbers(len(imbalance)))
    axes.yaxis.set_major_locator(whole_numbers(imbalance.shape[1]))
    return image


def _range(values: Floats) -> str:
    least, most = f"{values.min():.2f}x", f"{values.max():.2f}x"
    return f"{least} to {most}" if least != most else most


def _headline(before: Floats, after: Floats, loaded: Flags) -> str:
    was, now = (mean_with_load(each.max(axis=1), loaded) for each in (before, after))
    return f"All GPUs wait for the busiest one: it carries {now:.3f}x the mean load, was {was:.2f}x"


def draw_heat(axes: Any, loads: Floats, norm: TwoSlopeNorm, name: str) -> Any:
    image = axes.imshow(loads, norm=norm, cmap=_COLOURS, aspect="auto", interpolation="nearest")
    carried = _range(loads)
    who = "GPUs carry" if " to " in carried else "every GPU carries"
    axes.set_title(f"{name}: {who} {carried} the mean", fontsize=11)
    axes.set_xlabel("GPU")
    axes.xaxis.set_major_locator(whole_numbers(loads.shape[1]))
    axes.yaxis.set_major_locator(whole_numbers(len(loads)))
    return image


def whole_numbers(count: int) -> Locator:
    return FixedLocator(range(count)) if count <= _FEW else MaxNLocator(8, integer=True)


def draw_scale(figure: Figure, image: Any, axes: Any, largest: float) -> None:
    bar = figure.colorbar(image, cax=axes, orientation="horizontal")
    bar.set_ticks([0, 0.5, *_ticks_from_mean(largest)])
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "mean" if value == 1 else f"{value:g}x"))
    bar.set_label("load of a GPU over the mean of its layer: blue GPUs wait, red ones are waited for")


def _ticks_from_mean(largest: float) -> list[float]:
    """The mean always has a tick, which an automatic choice would omit when loads are far above it."""
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(1, largest)
    return [1, *(float(tick) for tick in ticks if 1.01 < tick <= largest)]


def _draw_imbalance(axes: Any, before: Floats, after: Floats, lowest: Floats) -> None:
    """Of layers or of windows, one below the other."""
    layers = np.arange(len(before))
    if len(layers) <= _FEW:
        axes.barh(layers - 0.2, before - 1, 0.36, left=1, color=_BEFORE, label="before")
        axes.barh(layers + 0.2, after - 1, 0.36, left=1, color=_AFTER, label="after")
        axes.plot(lowest, layers + 0.2, color=_BOUND, marker="|", markersize=14, ls="", label="proven limit")
    else:
        axes.plot(before, layers, color=_BEFORE, label="before")
        axes.plot(after, layers, color=_AFTER, label="after")
        axes.plot(lowest, layers, color=_BOUND, ls=":", label="proven limit")
        axes.fill_betweenx(layers, after, before, color=_BEFORE, alpha=0.12, lw=0)
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.yaxis.set_major_locator(whole_numbers(len(layers)))
    axes.set_xlabel("its load over the mean")
    span = max(float(before.max()), float(after.max()), 1.1) - 1
    axes.set_xlim(1 - 0.05 * span, 1 + 1.08 * span)
    axes.set_xticks(_ticks_from_mean(1 + span))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.grid(alpha=0.25)
