"""Names of files in pictures and in output: they are text, whatever a font or an encoding has of it."""

import html
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from conftest import ROOT, child_environment

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("matplotlib")

import matplotlib
from eplb.picture import FORMATS, draw_comparison, draw_titles, write_picture
from matplotlib.figure import Figure

CASES = ROOT.parent / "shared" / "cases"
TABLE = "480,460,30,30,20,10,10,10\n100,50,50,50,40,30,20,20\n"
SMALL = ["--slots", 16, "--gpus", 8]
NAMES = {
    "two $": "run$a_{$1",
    "backslashes": "\\frac{a}^_%&#~ $x$ and \\$y",
    "not UTF-8": "bad\udcff\udcfe",
    "Chinese": "专家负载",
    "emoji": "\U0001f600 run",
    "a line feed": "a\nb\tc",
    "a control character": "a\x07b",
    "long": "x" * 240,
}
ODD = ("not UTF-8", "Chinese")


def write(folder, name):
    path = folder / f"{name}.csv"
    try:
        path.write_text(TABLE)
    except OSError:
        pytest.skip("this file system has no such names")
    return path


def titled(path, name):
    """The text of a picture that is written as text."""
    ones = np.ones((2, 4))
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        write_picture(draw_comparison(ones, ones, np.ones(2), title=name), path)
    return html.unescape(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [*((name, "png") for name in NAMES.values()), *((NAMES[which], each) for which in ODD for each in FORMATS[1:])],
)
def test_pictures_of_files_with_names(run, tmp_path, name, suffix):
    weights, plan = write(tmp_path, name), tmp_path / "plan.json"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for command in (["solve", weights, *SMALL, "-o", plan], ["rebalance", weights, "--current", plan]):
            picture = tmp_path / f"{command[0]}.{suffix}"
            code, _, err = run(*command, "--picture", picture)
            assert (code, err) == (0, "")
            assert picture.stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (NAMES["two $"], NAMES["two $"]),
        (NAMES["backslashes"], NAMES["backslashes"]),
        (NAMES["Chinese"], NAMES["Chinese"]),
        (NAMES["a line feed"], r"a\nb\tc"),
        (NAMES["not UTF-8"], r"bad\udcff\udcfe"),
        (NAMES["a control character"], r"a\x07b"),
        ("a" * 120 + "b" * 120, "a" * 50 + "…" + "b" * 50),
    ],
)
def test_titles(tmp_path, name, shown):
    assert f">{shown}<" in titled(tmp_path / "picture.svg", name)


def test_titles_are_no_tex_for_those_who_set_it(tmp_path):
    with matplotlib.rc_context({"text.usetex": True}):
        figure = Figure()
        draw_titles(figure, "headline", "run$a_{$1")
    assert not figure.texts[1].get_usetex()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("name", [NAMES[which] for which in ODD], ids=ODD)
def test_output_in_any_encoding(tmp_path, name, encoding):
    """Strict ones, as those of terminals are."""
    weights = write(tmp_path, name)
    environment = child_environment(PYTHONIOENCODING=f"{encoding}:strict", PYTHONWARNINGS="error")
    for path in (weights, weights.with_suffix(".no")):
        command = [sys.executable, "-m", "eplb", "solve", os.fsencode(path), *map(str, SMALL)]
        done = subprocess.run(command, env=environment, capture_output=True)
        written, empty = (done.stdout, done.stderr) if path == weights else (done.stderr, done.stdout)
        assert (done.returncode, empty) == (0 if path == weights else 2, b"")
        assert path.stem.encode(encoding, "backslashreplace") in written


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not on this machine")
def test_the_case(run, tmp_path):
    weights = tmp_path / "run$a_{$1.csv"
    weights.write_bytes((CASES / "06_title.csv").read_bytes())
    code, _, err = run("solve", weights, *SMALL, "--picture", tmp_path / "t.png")
    assert (code, err) == (0, "")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
