"""What objects show of themselves: a table with a title and sentences, on a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple

from ._errors import InvalidState
from ._printable import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Shown(NamedTuple):
    """What an object has to say.

    Attributes:
        title: what it is.
        columns: their names; empty where rows are facts, a name and a value each.
        rows: names first, then one text for each of the other columns.
        sentences: what follows the table.
    """

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    sentences: Sequence[str] = ()


class Showing:
    """Shows itself when it is printed, and at the end of a cell of a notebook. repr stays short, and computes nothing.

    A derived class says what in _show. What cannot be known any more is a sentence there, since an object that nobody
    asked for anything must not raise.
    """

    def _show(self) -> Shown:
        raise NotImplementedError

    def _about(self) -> str:
        """What can be said in any case, after the name of the class, or of the file that it was made from."""
        return ""

    def _title(self) -> str:
        about = self._about()
        return f"{type(self).__name__}: {about}" if about else type(self).__name__

    def _shown(self) -> Shown:
        try:
            found = self._show()
        except InvalidState as error:
            found = Shown(self._title(), sentences=[str(error)])
        columns, sentences = (list(map(printable, texts)) for texts in (found.columns, found.sentences))
        return Shown(printable(found.title), columns, [list(map(printable, row)) for row in found.rows], sentences)

    def __str__(self) -> str:
        title, columns, rows, sentences = self._shown()
        return "\n".join([title, *aligned([*([columns] if columns else []), *rows], bool(columns)), *sentences])

    def _repr_html_(self) -> str:
        from ._html import html_of

        return html_of(self._shown())


class Drawing(Showing):
    """Draws itself, too; what, the derived class says."""

    def draw(self, path: str | PathLike[str] | None = None, *, title: str = "") -> Figure:
        """Draws it as a figure that a notebook shows, as Plan.draw does.

        Args:
            path: where to write it, too: .png, .svg or .pdf.
            title: a caption.

        Raises:
            FileError: the file cannot be written.
            Unavailable: matplotlib is not installed.
        """
        from ._pictures import draw

        return draw(self, path, title)


def aligned(rows: Sequence[Sequence[str]], numbers: bool = True) -> list[str]:
    """Lines of a table in text: names on the left, numbers on the right; what is no number on the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) if numbers else cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
    return lines
