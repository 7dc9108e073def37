"""docs/notebook.md is run as a notebook: its cells go on from each other, and what ends a cell is shown.

python tests/docs/test_notebook.py --write puts into the document what its cells show now.
"""

import ast
import re
import sys
import tempfile
from pathlib import Path

from commands import run_python
from documents import ROOT, blocks, read

DOCUMENT = "docs/notebook.md"
# Between the outputs of cells.
MARK = "\x1e"
# What may follow a cell.
BELOW = re.compile(r"```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
# As IPython does it, in text. Pictures are drawn, and not shown.
SHOW = """
def show(value):
    if hasattr(value, "_repr_png_"):
        assert value._repr_png_().startswith(b"\\x89PNG")
    elif hasattr(value, "_repr_html_"):
        assert "<table>" in value._repr_html_()
        print(value)
    elif value is not None:
        print(repr(value))
"""


def cells():
    return [block.text for block in blocks(DOCUMENT) if block.language == "python"]


def as_program(text):
    """A cell as lines of a program, its last expression shown."""
    module = ast.parse(text)
    last = module.body[-1]
    if isinstance(last, ast.Expr):
        module.body[-1] = ast.parse(f"show({ast.unparse(last)})").body[0]
    return f"{ast.unparse(module)}\nprint({MARK!r})\n"


def comparable(text):
    """Without times, and the widths that columns have from them."""
    return [re.sub(r"\d+\.\d\d ms", "0.00 ms", line).split() for line in text.splitlines()]


def outputs(folder):
    printed = run_python(SHOW + "".join(map(as_program, cells())), folder, {})
    return printed.split(f"{MARK}\n")[:-1]


def parts(text, cell):
    """What is before a cell, what it shows (nothing, where it ends with a picture), and what is after that."""
    start = f"```python\n{cell}"
    before, after = text.split(start, 1)
    below = BELOW.match(after)
    return before + start, below[1] or "", after[below.end() :]


def test_notebook(folder):
    printed = outputs(folder)
    assert len(printed) == len(cells()) > 5
    for cell, output in zip(cells(), printed, strict=True):
        assert comparable(output) == comparable(parts(read(DOCUMENT), cell)[1]), cell
    assert read(DOCUMENT).count("```text\n") == sum(map(bool, printed)), "some output is of no cell"


def write():
    text = read(DOCUMENT)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "examples").symlink_to(ROOT / "examples")
        for cell, output in zip(cells(), outputs(Path(name)), strict=True):
            before, _, after = parts(text, cell)
            shown = f"\n```text\n{output}```\n" if output else ""
            text = f"{before}```\n{shown}{after}"
    (ROOT / DOCUMENT).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()
