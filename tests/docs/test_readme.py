"""Every example that a reader may copy from a document is run as it stands there, and README.md keeps its size.

Fenced blocks marked c, go, python, rust and sh are run, except those with a comment before them that gives a reason:
<!-- not run: why -->. One that is followed by a block marked text prints that.
"""

import re

import pytest
from commands import RUN
from documents import RUNNABLE, blocks, documents, read

MOST_WORDS = 1000
# test_notebook.py runs the cells of this one, which need each other.
NOTEBOOK = "docs/notebook.md"
MOST_ROWS = 5
# Documents with examples, and the languages of which each must have at least one that is run.
QUICK_STARTS = {
    "README.md": {"c", "python", "sh"},
    "bindings/go/README.md": {"go"},
    "bindings/python/README.md": {"python"},
    "bindings/rust/eplb/README.md": {"rust"},
}


def run_blocks():
    for document in documents():
        for block in blocks(document) if document != NOTEBOOK else []:
            if block.language in RUNNABLE and block.why_not_run is None:
                yield pytest.param(block, id=f"{document}:{block.line}-{block.language}")


@pytest.mark.parametrize("block", list(run_blocks()))
def test_block(block, folder, installed):
    printed = RUN[block.language](block.text, folder, installed)
    assert printed
    shown = re.match(r"```\n\n```text\n(.*?)^```$", read(block.document).split(block.text, 1)[1], re.M | re.S)
    if shown is not None:
        assert printed == shown[1]
    if block.language == "go":
        assert "GPU 7: experts" in printed


@pytest.mark.parametrize("document", QUICK_STARTS)
def test_every_language_has_an_example(document):
    languages = {block.language for block in blocks(document) if block.why_not_run is None}
    assert languages >= QUICK_STARTS[document]


def test_the_readme_is_short():
    assert len(read("README.md").split()) <= MOST_WORDS


def cells(line):
    return [cell.strip(" *`") for cell in line.strip().strip("|").split("|")]


def section_of(row, results):
    """The rows of the section of the results that a row of the README summarises, by name."""
    slots, gpus, *more = re.findall(r"\d+", row[0])
    heading = f"### {slots} slots on {gpus} GPUs" + (f", {more[0]} groups on {more[1]} nodes" if more else "\n")
    section = results.split(heading, 1)[1].split("\n### ", 1)[0]
    return {cells(line)[0]: cells(line) for line in section.splitlines() if line.startswith("|")}


def test_the_table_is_taken_from_the_committed_results():
    """If the results were renewed, copy the new figures: a time may be 10 % off, everything else must be equal."""
    table = read("README.md").split("## What it gains", 1)[1].split("\n## ", 1)[0]
    rows = [cells(line) for line in table.splitlines() if re.match(r"\| \d", line)]
    assert 0 < len(rows) <= MOST_ROWS
    results = read("bench/results/heap-greedy.md")
    for row in rows:
        rows_of = section_of(row, results)
        greedy, best = rows_of["GREEDY"], rows_of["BEST, NORMAL"]
        assert row[1:4] == [greedy[3], best[3], best[4]], row[0]
        assert float(row[4]) == pytest.approx(float(greedy[2]), rel=0.1)
        assert float(row[5]) == pytest.approx(float(best[2]), rel=0.1)
