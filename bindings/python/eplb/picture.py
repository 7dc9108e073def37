"""A picture of what a placement gains: the load of every GPU in every layer, before and after."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, MaxNLocator

from ._arrays import Array, Floats
from ._errors import FileError
from ._loads import NodeLoads
from ._output_file import check_output, write_file
from ._printable import printable

FORMATS = ("png", "svg", "pdf")
# The label of an axis of imbalance.
BUSIEST = "busiest GPU over the mean"
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


class Picture(Figure):
    """A figure that a notebook shows, whether pyplot is used there or not."""

    def savefig(self, fname: Any, *, transparent: bool | None = None, **options: Any) -> None:
        """As that of any figure. Characters that no installed font has are drawn as boxes."""
        with _unknown_glyphs_allowed():
            super().savefig(fname, transparent=transparent, **options)

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def format_of(path: Path) -> str:
    """The format that the suffix of a picture stands for.

    Raises:
        FileError: none of FORMATS.
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise FileError(f"{path}: a picture is written as {', '.join(FORMATS)}")
    return suffix


def write_picture(figure: Figure, path: Path) -> None:
    """Writes a picture in the format of the suffix. The file is there whole or not at all.

    Raises:
        FileError: another suffix, or the file cannot be written.
    """
    suffix = format_of(path)
    check_output(path)
    content = io.BytesIO()
    figure.savefig(content, format=suffix)
    write_file(path, content.getvalue())


def draw_comparison(
    before: Array | None,
    after: Array,
    lowest: Floats,
    *,
    title: str,
    windows: Windows | None = None,
    homes: NodeLoads | None = None,
) -> Picture:
    """Draws two heat maps, layers by GPUs, on one scale, and next to them the imbalance of every layer.

    Args:
        before, after: times of GPUs over the mean of their layer [L,G]; masked where a GPU has no slots or a layer no
            load. Without
            before there is one heat map.
        lowest: [L], imbalance that no placement is below.
        title: a caption, such as the name of the file.
        windows: of several windows, what is below: two more heat maps, windows by layers, and the mean of every window.
        homes: of groups on several nodes, what is at the bottom: the load of each node in the layer where most is
            served away from home.
    """
    figure, (*maps, side, scale, key), below, nodes = _make_axes(before is not None, len(after), windows, homes)
    loads = {"Before": before, "After": after} if before is not None else {"Load": after}
    largest = max(2.0, *(float(each.max()) for each in (*loads.values(), *(windows or ()))))
    norm = TwoSlopeNorm(1, 0, largest)
    images = [draw_heat(axes, each, norm, name) for axes, (name, each) in zip(maps, loads.items(), strict=True)]
    maps[0].set_ylabel("layer")
    draw_scale(figure, images[-1], scale, largest)
    _draw_imbalance(side, None if before is None else before.max(axis=1), after.max(axis=1), lowest)
    side.set_title("Imbalance: the busiest GPU", fontsize=11)
    more = ""
    if windows is not None:
        _draw_windows(below, windows, norm)
        more = f"; in a single window {windows.after.mean():.3f}x, was {windows.before.mean():.2f}x"
    if homes is not None:
        _draw_homes(nodes, homes)
    for axes in (*maps[1:], side, *below[1:]):
        axes.tick_params(labelleft=False)
    handles = dict(zip(*reversed(side.get_legend_handles_labels()), strict=True))
    names = [name for name in ("before", "after", "load", "proven limit") if name in handles]
    key.legend([handles[name] for name in names], names, loc="center", ncols=3, frameon=False, fontsize=9)
    draw_titles(figure, _headline(before, after), title, more)
    return figure


def draw_titles(figure: Figure, headline: str, name: str, more: str = "") -> None:
    """At the top of a picture: what it shows, and below it a name that a user has given, and what is added to it."""
    inch = 1 / float(figure.get_figheight())
    figure.text(0.5, 1 - 0.16 * inch, headline, ha="center", va="top", fontsize=14, fontweight="bold")
    # A name is text, even with two $ or under a user's setting of TeX.
    plain: dict[str, Any] = {"parse_math": False, "usetex": False}
    place: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 9, "color": "#555555"}
    figure.text(0.5, 1 - 0.48 * inch, _short(printable(name)) + more, **place, **plain)


def _short(text: str) -> str:
    """Long ones are cut in the middle."""
    if len(text) <= _MOST_OF_NAME:
        return text
    half = _MOST_OF_NAME // 2
    return f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"


@contextmanager
def _unknown_glyphs_allowed() -> Iterator[None]:
    """Characters that no installed font has are drawn as boxes; warnings would name a line of this installation."""
    with warnings.catch_warnings():
        # The second one is that of versions before 3.11.
        for text in (r"Glyph \d+ .*missing from", "Matplotlib currently does not support"):
            warnings.filterwarnings("ignore", message=text)
        yield


def _make_axes(
    two: bool, layers: int, windows: Windows | None, homes: NodeLoads | None
) -> tuple[Picture, list[Any], list[Any], list[Any]]:
    """One heat map or two, the imbalance, the colour scale and the key, what windows and what homes add.

    All is in inches, so that text fits.
    """
    rows, of_windows = _height(layers), 0.0 if windows is None else _height(windows.after.shape[1])
    # Between both are the labels of one and the titles of the other.
    lift = 0.0 if windows is None else of_windows + 0.95
    # Below it all, with its own labels and title.
    base = 0.0 if homes is None else _HOMES_HEIGHT + 1.05
    width, height = 12.5, rows + lift + base + 2.5
    figure = Picture(figsize=(width, height), dpi=120)
    whole, right = (0.75, 8.45), (9.6, 2.65)
    three = [(0.75, 4.1), (5.1, 4.1), right]

    def add(places: Sequence[tuple[float, float]], y: float, high: float) -> list[Any]:
        return [figure.add_axes((x / width, (y + base) / height, wide / width, high / height)) for x, wide in places]

    axes = [*add(three if two else [whole, right], 1.42 + lift, rows), *add([whole, right], 0.62, 0.16)]
    axes[-1].axis("off")
    below = [] if windows is None else add(three, 1.42, of_windows)
    nodes = [] if homes is None else add([whole, right], 0.55 - base, _HOMES_HEIGHT)
    return figure, axes, below, nodes


def _height(rows: int) -> float:
    """One row is a strip; many rows fill a page."""
    return float(np.clip(1.0 + 0.09 * rows, 1.3, 5.6))


def _draw_windows(places: list[Any], windows: Windows, norm: TwoSlopeNorm) -> None:
    left, right, side = places
    draw_window_heat(left, windows.before, norm, "Before")
    draw_window_heat(right, windows.after, norm, "After")
    left.set_ylabel("window")
    _draw_imbalance(side, *(each.mean(axis=0) for each in windows))
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


def _range(values: Array) -> str:
    least, most = f"{values.min():.2f}x", f"{values.max():.2f}x"
    return f"{least} to {most}" if least != most else most


def _headline(before: Array | None, after: Array) -> str:
    was = "" if before is None else f", was {before.max(axis=1).mean():.2f}x"
    return f"All GPUs wait for the busiest one: it carries {after.max(axis=1).mean():.3f}x the mean load{was}"


def draw_heat(axes: Any, loads: Array, norm: TwoSlopeNorm, name: str) -> Any:
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


def show_times(axis: Any) -> None:
    """Labels an axis of imbalance: how many times the mean."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))


def line_colour(number: int) -> Any:
    """Of one of several lines; more lines than colours start again."""
    return colormaps["tab10"](number % 10)


def draw_scale(figure: Figure, image: Any, axes: Any, largest: float) -> None:
    bar = figure.colorbar(image, cax=axes, orientation="horizontal")
    bar.set_ticks([0, 0.5, *_ticks_from_mean(largest)])
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "mean" if value == 1 else f"{value:g}x"))
    bar.set_label("load of a GPU over the mean of its layer: blue GPUs wait, red ones are waited for")


def _ticks_from_mean(largest: float) -> list[float]:
    """The mean always has a tick, which an automatic choice would omit when loads are far above it."""
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(1, largest)
    return [1, *(float(tick) for tick in ticks if 1.01 < tick <= largest)]


def _draw_imbalance(axes: Any, before: Floats | None, after: Floats, lowest: Floats) -> None:
    """Of layers or of windows, one below the other."""
    # Where there is no load, nothing is above 1.
    before = None if before is None else np.ma.filled(before, 1.0)
    after, lowest = (np.ma.filled(each, 1.0) for each in (after, lowest))
    layers = np.arange(len(after))
    name, shift = ("load", 0.0) if before is None else ("after", 0.2)
    if len(layers) <= _FEW:
        if before is not None:
            axes.barh(layers - shift, before - 1, 0.36, left=1, color=_BEFORE, label="before")
        axes.barh(layers + shift, after - 1, 0.36, left=1, color=_AFTER, label=name)
        axes.plot(lowest, layers + shift, color=_BOUND, marker="|", markersize=14, ls="", label="proven limit")
    else:
        if before is not None:
            axes.plot(before, layers, color=_BEFORE, label="before")
            axes.fill_betweenx(layers, after, before, color=_BEFORE, alpha=0.12, lw=0)
        axes.plot(after, layers, color=_AFTER, label=name)
        axes.plot(lowest, layers, color=_BOUND, ls=":", label="proven limit")
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.yaxis.set_major_locator(whole_numbers(len(layers)))
    axes.set_xlabel("its load over the mean")
    span = max(*(float(each.max()) for each in (before, after) if each is not None), 1.1) - 1
    axes.set_xlim(1 - 0.05 * span, 1 + 1.08 * span)
    axes.set_xticks(_ticks_from_mean(1 + span))
    show_times(axes.xaxis)
    axes.grid(alpha=0.25)
