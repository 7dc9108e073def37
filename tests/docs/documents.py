"""The Markdown documents of the repository, taken apart as far as the tests need."""

import os
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {
    ".git",
    ".venv",
    "build",
    "target",
    "node_modules",
    "shared",
    "__pycache__",
    "_native",
    ".ruff_cache",
    ".hypothesis",
    ".cache",
}
RUNNABLE = ("c", "go", "python", "rust", "sh")

FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]*?) -->\s*)?^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.M | re.S
)


class Block(NamedTuple):
    document: str
    line: int
    language: str
    text: str
    why_not_run: str | None


def files():
    """Paths of all files that a checkout has, relative to its top."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and not name.startswith(("build-", ".pytest"))]
        for name in names:
            yield (Path(folder) / name).relative_to(ROOT)


def documents():
    return sorted(str(path) for path in files() if path.suffix == ".md")


def read(document):
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document):
    text = read(document)
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        yield Block(document, line, match["language"], match["text"], match["why"])


def prose(document):
    """The text without its fenced blocks, which become empty lines so that line numbers stay."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), read(document))


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def anchors(document):
    """What GitHub makes of the headings: lower case, no punctuation, hyphens for spaces, numbered when they repeat."""
    found = []
    for heading in re.findall(r"^#+ +(.*?) *$", prose(document), re.M):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        repeats = sum(re.fullmatch(re.escape(slug) + r"(-\d+)?", other) is not None for other in found)
        found.append(f"{slug}-{repeats}" if repeats else slug)
    return set(found)
