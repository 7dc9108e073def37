"""Links lead somewhere, files that documents name exist, and documents speak only of what is in the repository."""

import os
import re
from pathlib import Path

import pytest
from documents import ROOT, anchors, documents, files, line_of, prose

LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FILE = re.compile(r"(\.{0,2}/)?[\w.-]+(/[\w.-]+)*/?")
ENDINGS = {
    *(".c", ".h", ".cpp", ".cu", ".cuh", ".inc", ".go", ".rs", ".py", ".md", ".txt", ".toml", ".json"),
    *(".csv", ".png", ".map", ".in", ".supp", ".abi"),
}
# What builds and commands make, or what is on other machines: the first part of the path, or the name.
MADE = {"build", ".venv"}
MADE_FILES = {"gpu.md", "torch.md", "nvcc", "eplb.pc", "meta_info.json"}


@pytest.mark.parametrize("document", documents())
def test_links(document):
    text = prose(document)
    broken = []
    for match in LINK.finditer(text):
        target, _, anchor = match[1].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (ROOT / document).parent / target if target else ROOT / document
        where = f"{document}:{line_of(text, match.start())}: {match[1]}"
        if not path.exists():
            broken.append(f"{where}: no such file")
        elif not path.resolve().is_relative_to(ROOT):
            broken.append(f"{where}: outside of the repository")
        elif anchor and anchor not in anchors(path.resolve().relative_to(ROOT)):
            broken.append(f"{where}: no such heading")
    assert broken == []


def looks_like_a_file(word):
    """Paths below a folder of the repository, and names with an ending that files here have."""
    if word.startswith("/") or not FILE.fullmatch(word):
        return False
    first = word.removeprefix("./").split("/")[0]
    return Path(word).suffix in ENDINGS or ("/" in word and (ROOT / first).exists())


@pytest.mark.parametrize("document", documents())
def test_named_files_exist(document):
    text = prose(document)
    paths = {str(path) for path in files()}
    names = {os.path.basename(path) for path in paths}
    missing = []
    for match in CODE.finditer(text):
        word = match[1]
        if not looks_like_a_file(word):
            continue
        relative = word.removeprefix("./").rstrip("/")
        if relative.split("/")[0] in MADE or relative in MADE_FILES:
            continue
        here = (ROOT / document).parent / relative
        # Inside lib, files are named as they are included.
        if here.exists() or (ROOT / relative).exists() or (ROOT / "lib" / relative).exists():
            continue
        if "/" not in relative and relative in names:
            continue
        missing.append(f"{document}:{line_of(text, match.start())}: {word}")
    assert missing == []


# Documents that are not in the repository, and why each pattern means one of them.
ABSENT = {
    r"\bsections? \d[\d.]* of\b": "a section of a document that is elsewhere",
    r"\bdesign(\.md|,? section| page)": "the design notes",
    r"\bhouse\.md|\brevise\.md|(?<!docs/)(?<!\]\()\bengines\.md|\bbest\.md, section": "background notes",
    r"\bthe seeds\b": "reference programs that are elsewhere",
    r"(?<![\w.])/(work|root|tmp)/": "a path of one machine",
}
MAY_NAME_SHARED = ("bench/", "tests/")  # optional data next to the checkout


@pytest.mark.parametrize("document", documents())
def test_nothing_absent_is_mentioned(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    found = [
        f"{document}:{line_of(text, match.start())}: {match[0]}: {why}"
        for pattern, why in ABSENT.items()
        for match in re.finditer(pattern, text, re.I)
    ]
    if not document.startswith(MAY_NAME_SHARED):
        found += [f"{document}:{line_of(text, m.start())}: {m[0]}" for m in re.finditer(r"\.\./shared", text)]
    assert found == []
