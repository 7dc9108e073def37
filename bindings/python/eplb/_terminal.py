"""What the command shows: tables and bars on a terminal, plain lines into a pipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from rich.bar import Bar
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ._arrays import Array, Floats, Ints
from ._figures import (
    COLUMNS_OF_MOVES,
    has_homes,
    homes_sentence,
    moves_clause,
    report_of_windows,
    report_table,
    worst_layers,
)
from ._files.values import counted
from ._loads import count_windows
from ._printable import printable
from ._report import Report
from ._shown import Showing, aligned
from ._windows import balances_windows

if TYPE_CHECKING:
    from ._split import Split
    from ._static_dispatch import StaticDispatch
    from ._work import Work

MOST_BARS = 32
# Characters between two columns of a table on a terminal, and at both ends of its lines.
_GAP, _ENDS = 2, 2
_WORK_COLUMNS = ("", "imbalance before", "after", *COLUMNS_OF_MOVES)

# Names of files and strategies are not markup, and numbers are not highlighted.
_out = Console(highlight=False, markup=False, emoji=False)
_err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def is_terminal(stream: TextIO | None) -> bool:
    # A program that is started without an output has None.
    return stream is not None and stream.isatty()


def say(text: str = "") -> None:
    _out.print(_plain(text, _out), soft_wrap=True)


def complain(text: str) -> None:
    """Prints one line on stderr, even if the text has several. Where that fails, there is nobody to hear of it."""
    line = _plain(" ".join(f"eplb: {text}".split()), _err)
    try:
        if is_terminal(sys.stderr):
            # A bar that is shown makes room for it.
            _err.print(line, soft_wrap=True)
        elif sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)
    except OSError:
        leave(sys.stderr)


def leave(stream: TextIO) -> None:
    """Lets a stream go nowhere. Python would complain again when it flushes it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _plain(text: str, console: Console) -> str:
    """With escapes for what an output cannot have: names of files need not be in its encoding, nor in any."""
    encoding = console.encoding
    return printable(text).encode(encoding, "backslashreplace").decode(encoding)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column holds names, the others numbers. Where a terminal is too narrow, several tables have them."""
    if not is_terminal(sys.stdout):
        for line in aligned([columns, *rows]):
            say(line)
        return
    # Numbers are never cut; headings are broken between words.
    least = [max(map(len, (*heading.split(), *cells))) for heading, *cells in zip(columns, *rows, strict=True)]
    width = _out.width - _ENDS
    for part in _parts_that_fit(least, width):
        table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        whole = _line_of(max(least[at], len(columns[at])) for at in part) <= width
        for at in part:
            of_column = None if whole else least[at]
            table.add_column(Text(columns[at]), justify="right" if at else "left", no_wrap=not at, width=of_column)
        for row in rows:
            table.add_row(*(Text(_plain(row[at], _out)) for at in part))
        _out.print(table)


def _parts_that_fit(widths: Sequence[int], width: int) -> list[list[int]]:
    """Columns of tables that are no wider than a line as far as can be, each with the first one."""
    parts = [[0]]
    for at in range(1, len(widths)):
        if len(parts[-1]) > 1 and _line_of(widths[each] for each in (*parts[-1], at)) > width:
            parts.append([0])
        parts[-1].append(at)
    return parts


def _line_of(widths: Iterable[int]) -> int:
    return sum(_GAP + width for width in widths) - _GAP


def show(found: Showing, name: str) -> None:
    """What was found of the file of that name, as the object shows itself."""
    _, columns, rows, sentences = found._shown()
    say(f"{name}: {found._about()}")
    show_table(columns, rows)
    for sentence in sentences:
        say(sentence)


def print_json(content: Mapping[str, Any]) -> None:
    print(json.dumps(content, allow_nan=False))


def show_reports(
    reports: Mapping[str, Report],
    more: Sequence[str] = (),
    tokens: Mapping[str, Mapping[str, Split | StaticDispatch]] | None = None,
) -> None:
    """A row for each placement. Arguments are those of report_table."""
    columns, *rows = report_table(reports, more, tokens)
    show_table(columns, rows)


def show_windows(weights: Array, report: Report, layers: Ints, objective: str) -> None:
    """One line where each of several windows was balanced: what they get. That others were summed is a warning."""
    if balances_windows(objective, count_windows(weights)):
        say(report_of_windows(report, ", each balanced", layers))


def show_homes(report: Report, problem: dict[str, Any]) -> None:
    """One line where there are several nodes and groups: how much of the load is away from its group's home."""
    if has_homes(problem):
        say(homes_sentence(report))


def show_bars(layer: int, before: Floats, after: Floats) -> None:
    """GPU loads of one layer over their mean, before and after; of many GPUs only the heaviest and the lightest."""
    if not is_terminal(sys.stdout):
        return
    order = np.argsort(-before, kind="stable")
    shown = order if len(order) <= MOST_BARS else np.concatenate([order[: MOST_BARS // 2], order[-MOST_BARS // 2 :]])
    which = "" if len(shown) == len(order) else f", the {MOST_BARS} heaviest and lightest of {len(order)}"
    say(f"Load of the GPUs over their mean in layer {layer}, the worst one before{which}:")
    table = Table(box=None, pad_edge=False)
    largest = max(before.max(), after.max())
    for column in ("", "before", "", "after", ""):
        table.add_column(column, justify="left" if column else "right", ratio=1 if column else None)
    for gpu in shown:
        cells: list[Any] = [f"GPU {gpu}"]
        for load, colour in ((before[gpu], "dark_orange"), (after[gpu], "cyan")):
            cells += [Bar(float(largest), 0, float(load), color=colour), f"{load:.2f}"]
        table.add_row(*cells)
    _out.print(table)


@contextmanager
def _bar(text: str, total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err, transient=True, disable=not is_terminal(sys.stderr)) as bar:
        yield bar, bar.add_task(text, total=total)


@contextmanager
def progress(text: str, total: int | None = None) -> Iterator[Any]:
    """A bar on stderr while the body runs, if that is a terminal; without a total it shows activity only.

    Yields a function that sets the description and advances the bar by `done`.
    """
    with _bar(text, total) as (bar, task):

        def move(description: str, done: int = 0) -> None:
            bar.update(task, description=description, advance=done)

        yield move


@contextmanager
def counting(text: str) -> Iterator[Callable[[int, int], None]]:
    """The same for work of many parts. Yields a function of the number of those that are done, and of all."""
    with _bar(text, 1) as (bar, task):

        def count(done: int, total: int) -> None:
            bar.update(task, description=f"{text} {done} of {total}", completed=done, total=total)

        yield count


def show_work(name: str, work: Work, numbers: Ints) -> None:
    """What a rebalance did, of the whole model and of its worst layers, and what it comes to. numbers: of layers."""
    layers, gpus = work.before.shape
    gone = int(work.gone.sum())
    without = f", {gone} of them without slots" if gone else ""
    report = work.report
    time = f"planned in {report.microseconds / 1000:.2f} ms"
    say(f"{name}: {counted(layers, 'layer')} on {counted(gpus, 'GPU')}{without}, {time}")
    total = (work.mean_before, report.imbalance_mean, report.moves, report.moves_between_nodes)
    rows = [_work_row("all layers" if layers > 1 else f"layer {numbers[0]}", *total, report.reloads, report.rounds)]
    if layers > 1:
        by_layer = (work.moves, work.between_nodes, work.reloads, work.rounds)
        for layer in worst_layers(work.imbalance):
            figures = (int(each[layer]) for each in by_layer)
            rows.append(
                _work_row(f"layer {numbers[layer]}", work.imbalance_before[layer], work.imbalance[layer], *figures)
            )
    show_table(_WORK_COLUMNS, rows)
    worst = int(np.argmax(work.imbalance_before))
    show_bars(int(numbers[worst]), work.before[worst], work.after[worst])
    say(_work_sentence(work))


def _work_row(name: str, before: float, after: float, *counts: int) -> tuple[str, ...]:
    return (name, f"{before:.4f}", f"{after:.4f}", *map(str, counts))


def _work_sentence(work: Work) -> str:
    report = work.report
    if not report.layers_changed:
        return "Nothing moves: no layer needs a change, or the limits allow none."
    lost = " without the experts that are lost" if report.reloads else ""
    missed = f" {counted(report.layers_missed, 'layer')} did not reach the target." if report.layers_missed else ""
    was = f"was {work.mean_before:.3f}x{lost}"
    return f"{moves_clause(report)}. The busiest GPU carries {report.imbalance_mean:.3f}x the mean, {was}.{missed}"
