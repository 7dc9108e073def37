"""Functions, types and constants that the documents for developers name exist in the code."""

import re

import pytest
from documents import ROOT, files, line_of, prose, read

DOCUMENTS = ("docs/architecture.md", "docs/algorithms.md", "docs/contributing.md")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# Words with an underscore, a scope or capitals inside; others may be words of any kind.
NAME = re.compile(r"(?:\w+::)*(?:[A-Za-z]\w*_\w*|[A-Za-z][a-z]+[A-Z]\w*|(?<=::)\w+)(?:\(\))?")
# "`name` in `file`" and "`name` (`file`)"
PLACED = re.compile(r"`([\w:]+)`\s+(?:in\s+|\()`([\w/]+\.[\w.]+)`")
SOURCES = (".h", ".in", ".c", ".cc", ".cpp", ".cu", ".cuh", ".py", ".go", ".rs", ".toml", ".json", ".txt", "")


@pytest.fixture(scope="module")
def words_of_the_code():
    words = set()
    for path in files():
        if path.suffix in SOURCES and path.parts[0] not in ("docs", "examples") and path.name != "vectors.json":
            words.update(re.findall(r"[A-Za-z_]\w*", read(path)))
    return words


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_exist(document, words_of_the_code):
    text = prose(document)
    missing = []
    for match in CODE.finditer(text):
        if NAME.fullmatch(match[1]):
            unknown = [part for part in match[1].removesuffix("()").split("::") if part not in words_of_the_code]
            missing += [f"{document}:{line_of(text, match.start())}: {match[1]}"] if unknown else []
    assert missing == []


def path_of(file):
    """Inside lib, files are named as they are included; a name alone must be unique."""
    for path in (ROOT / file, ROOT / "lib" / file):
        if path.exists():
            return path
    (path,) = [path for path in files() if path.name == file]
    return ROOT / path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_are_where_the_document_says(document):
    text = prose(document)
    missing = []
    for match in PLACED.finditer(text):
        name = match[1].split("::")[-1]
        if not re.search(rf"\b{name}\b", path_of(match[2]).read_text(encoding="utf-8")):
            missing.append(f"{document}:{line_of(text, match.start())}: {match[1]} in {match[2]}")
    assert missing == []


def test_there_are_places_to_look_at():
    assert len(PLACED.findall(prose("docs/architecture.md"))) > 30
