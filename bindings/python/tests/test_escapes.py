"""What comes from elsewhere, such as names of files and what is in them, does nothing to a terminal or to a page."""

import json
import unicodedata
from pathlib import Path

import eplb
import numpy as np
import pytest
from eplb._printable import printable

pytest.importorskip("typer")
pytest.importorskip("rich")

# Colours in two ways, a new line, and text from right to left.
NAME, SHOWN = "a\x1b[31m\x9b1m\n\u202eb", r"a\x1b[31m\x9b1m\n\u202eb"
TABLE = "480,460,30,30,20,10,10,10\n100,50,50,50,40,30,20,20\n"
CLUSTER = ["--slots", "16", "--gpus", "8"]


def is_harmless(text):
    return not any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in text.replace("\n", ""))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (NAME, SHOWN),
        ("plan.json", "plan.json"),
        ("专家\u3000负载 \U0001f600 \xa0é", "专家\u3000负载 \U0001f600 \xa0é"),
        ("\0\x07\r\t\x7f\x85", r"\x00\x07\r\t\x7f\x85"),
        ("\u2028\u2029\u2066\u200f\u061c\ufeff", r"\u2028\u2029\u2066\u200f\u061c\ufeff"),
        ("\udcff\ue000\U000e0041", r"\udcff\ue000\U000e0041"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Loads and a plan with such a name, in such a folder."""
    folder = tmp_path / NAME
    folder.mkdir()
    monkeypatch.chdir(folder)
    loads, plan = Path(f"{NAME}.csv"), Path(f"{NAME}.json")
    loads.write_text(TABLE)
    eplb.write_placement(plan, np.tile(np.arange(16) % 8, (2, 1)), num_gpus=8)
    return loads, plan


@pytest.mark.parametrize(
    "arguments",
    [
        ["solve", "LOADS", *CLUSTER, "-o", f"{NAME}.sglang.json", "--picture", f"{NAME}.svg"],
        ["solve", "LOADS", *CLUSTER, "--json"],
        ["compare", "LOADS", *CLUSTER],
        ["evaluate", "LOADS", "PLAN"],
        ["rebalance", "LOADS", "--current", "PLAN", "--moves", f"{NAME}.moves.csv"],
        ["sweep", "LOADS", "--gpus", "8"],
        ["replay", "LOADS", "LOADS", "LOADS", *CLUSTER],
        ["convert", "PLAN", "-o", f"{NAME}.yaml"],
        ["sample", "--layers", "1", "--experts", "2", "-o", f"{NAME}.sample.csv"],
    ],
)
def test_names_of_files(run, files, arguments):
    if "--picture" in arguments:
        pytest.importorskip("matplotlib")
    loads, plan = files
    code, out, err = run(*({"LOADS": loads, "PLAN": plan}.get(each, each) for each in arguments))
    assert code == 0, err
    assert is_harmless(out)
    assert is_harmless(err)
    assert SHOWN in out or "--json" in arguments or arguments[0] in ("compare", "replay", "sweep")


@pytest.mark.parametrize(
    "arguments",
    [
        ["solve", NAME, *CLUSTER],
        ["solve", "LOADS", *CLUSTER, "--before", NAME],
        ["solve", "LOADS", *CLUSTER, "-o", f"{NAME}/plan.json"],
        ["solve", "LOADS", *CLUSTER, "--strategy", NAME],
        ["replay", "LOADS", "LOADS", *CLUSTER, "--rule", NAME],
        [NAME],
        [f"--{NAME}"],
    ],
)
def test_names_in_refusals(run, files, arguments):
    code, out, err = run(*(files[0] if each == "LOADS" else each for each in arguments))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert is_harmless(err)
    assert r"\x1b" in err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plan.json", json.dumps({"physical_to_logical": [[0, 1]], "num_gpus": NAME})),
        ("plan.json", json.dumps({"physical_to_logical": [[0, 1]] * 2, "num_gpus": 2, "policy": NAME})),
        ("plan.yaml", json.dumps({"initial_global_assignments": {NAME: [0]}, "num_slots": 1})),
        ("plan.csv", f"1,2\n1,{NAME}\n"),
    ],
)
def test_what_is_in_files(run, tmp_path, name, content):
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    loads, plan = tmp_path / "in.csv", tmp_path / name
    loads.write_text("2,1\n2,1\n")
    plan.write_text(content)
    code, out, err = run("evaluate", loads, plan)
    assert (code, out) == (2, "")
    assert is_harmless(err)
    assert r"\x1b[31m" in err


def test_objects_and_errors(files):
    loads, plan = files
    plan.write_text(json.dumps({"physical_to_logical": [[0, 1]], "policy": NAME}))
    placement, read = eplb.read_placement(plan), eplb.read_loads(loads)
    for text in (str(placement), placement._repr_html_(), repr(placement), str(read), read._repr_html_(), repr(read)):
        assert is_harmless(text)
    assert SHOWN in str(placement)
    assert SHOWN in repr(read)
    with pytest.raises(eplb.FileError) as raised:
        eplb.read_loads(NAME)
    assert str(raised.value) == f"{SHOWN}: no such file or directory"
