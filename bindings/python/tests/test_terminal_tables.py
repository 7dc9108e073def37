"""Tables on a terminal: numbers are never cut, and what does not fit goes into another table."""

import io

import pytest

pytest.importorskip("rich")

from eplb import _terminal
from rich.console import Console

COLUMNS = ["", "imbalance: mean", "worst layer", "gap: mean", "time"]
ROWS = [["no balancer", "1.5920", "1.6435", "59.201%", "-"], ["best", "1.0002", "1.0009", "0.020%", "12.08 ms"]]


@pytest.fixture
def shown(monkeypatch):
    """Of a width, the lines of the table."""

    def lines_of(width, columns=COLUMNS, rows=ROWS):
        text = io.StringIO()
        monkeypatch.setattr(_terminal, "_out", Console(file=text, width=width, force_terminal=True, color_system=None))
        monkeypatch.setattr(_terminal, "is_terminal", lambda stream: True)
        _terminal.show_table(columns, rows)
        return text.getvalue().splitlines()

    return lines_of


@pytest.mark.parametrize("width", [30, 40, 48, 56, 64, 80, 120])
def test_no_cell_is_cut(shown, width):
    lines = shown(width)
    assert max(map(len, lines)) <= width
    for name, *cells in ROWS:
        parts = [line.strip().removeprefix(name).split() for line in lines if line.strip().startswith(name)]
        assert sum(parts, []) == " ".join(cells).split()
    assert "…" not in "".join(lines)


def test_headings_are_broken_before_a_table_is(shown):
    wide, narrow, several = shown(80), shown(60), shown(40)
    assert any(line.split() == " ".join(COLUMNS).split() for line in wide)
    assert narrow[1].split() == ["imbalance:", "worst", "gap:"]
    assert narrow[2].split() == ["mean", "layer", "mean", "time"]
    for name, *_ in ROWS:
        assert [sum(name in line for line in lines) for lines in (wide, narrow, several)] == [1, 1, 2]


def test_a_name_as_wide_as_the_terminal_comes_with_each_column(shown):
    name = "rebalance,memory=8"
    lines = shown(len(name) + 10, ["", "moves", "cost"], [[name, "1", "2"]])
    assert [line.split() for line in lines if name in line] == [[name, "1"], [name, "2"]]
