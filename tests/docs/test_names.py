"""Functions, types and constants that the documents for developers name exist in the code."""

import re

import pytest
from documents import files, line_of, prose, read

DOCUMENTS = ("docs/architecture.md", "docs/algorithms.md", "docs/contributing.md")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# Words with an underscore, a scope or capitals inside; others may be words of any kind.
NAME = re.compile(r"(?:\w+::)*(?:[A-Za-z]\w*_\w*|[A-Za-z][a-z]+[A-Z]\w*|(?<=::)\w+)(?:\(\))?")
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
