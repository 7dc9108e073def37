"""docs/notebook.md is run as a notebook: its cells go on from each other, and what ends a cell is shown."""

import ast
import re

from commands import run_python
from documents import blocks, read

DOCUMENT = "docs/notebook.md"
# Between the outputs of cells.
MARK = "\x1e"
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


def shown_after(cell):
    """The text below a cell; none where it ends with a picture."""
    found = re.match(r"```\n\n```text\n(.*?)^```$", read(DOCUMENT).split(cell, 1)[1], re.M | re.S)
    return found[1] if found else ""


def test_notebook(folder):
    printed = outputs(folder)
    assert len(printed) == len(cells()) > 5
    for cell, output in zip(cells(), printed, strict=True):
        assert comparable(output) == comparable(shown_after(cell)), cell
