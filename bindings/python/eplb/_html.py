"""Tables for notebooks: HTML that takes its colours from the page around it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ._shown import Shown

# A stylesheet of a notebook turns captions grey and centres them; texts are on the right unless a cell says otherwise.
_CAPTION = "text-align: left; color: inherit; font-weight: bold; white-space: nowrap"
_LEFT, _RIGHT = "text-align: left", "text-align: right"


def html_of(shown: Shown) -> str:
    """A table with a caption, and sentences below it. All text is escaped."""
    title, columns, rows, sentences = shown
    align = _RIGHT if columns else _LEFT
    head = f"<thead>{_row('th', columns, align)}</thead>" if columns else ""
    body = "".join(_row("td", row, align) for row in rows)
    caption = f'<caption style="{_CAPTION}">{escape(title)}</caption>'
    lines = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return f"<div><table>{caption}{head}<tbody>{body}</tbody></table>{lines}</div>"


def _row(kind: str, cells: Sequence[str], align: str) -> str:
    name, *others = cells
    first = f'<th style="{_LEFT}">{escape(name)}</th>'
    more = "".join(f'<{kind} style="{align}">{escape(cell)}</{kind}>' for cell in others)
    return f"<tr>{first}{more}</tr>"
