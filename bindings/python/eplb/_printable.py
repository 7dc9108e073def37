"""Text from elsewhere, such as names of files and what is in them, as it may be shown: it must not act on a terminal.

Everything that is printed, drawn or raised passes here.
"""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    r"""With escapes, as \x1b, for control characters, line breaks, and marks that nobody sees, such as those that turn
    the direction of text."""
    if text.isprintable():
        return text
    return "".join(each if _is_shown(each) else _escaped(each) for each in text)


def _is_shown(character: str) -> bool:
    # To Python, all spaces but one are not printable. Japanese names have others.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
