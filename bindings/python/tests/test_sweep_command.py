"""eplb sweep: its table, its files, and what it refuses; --redundant of the other commands."""

import csv
import itertools
import json
import re
import types
from pathlib import Path

import eplb
import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip("typer")
pytest.importorskip("rich")

from eplb._options import parse_numbers
from eplb._sweep_result import SweepRow
from test_command import OLMOE, refused

GITHUB = ROOT / "examples" / "data" / "olmoe-1b-7b_github_L3xE64.csv"
SWEEP = ["sweep", OLMOE, "--gpus", "16"]
BUDGET = [*SWEEP, "--total-slots", 210]


def test_table(run):
    code, out, err = run("sweep", OLMOE, "--gpus", "8,16", "--redundant", "0:32:8", "--expert-mib", 12)
    assert (code, err) == (0, "")
    head, columns, *rows = out.splitlines()
    assert head == "olmoe-1b-7b_allenai_L3xE64.csv: 3 layers, 64 experts; 8 sizes"
    assert " ".join(columns.split()) == "redundant slots per GPU imbalance: mean worst layer bound GiB per GPU"
    assert [row.split()[:4] for row in rows[:2]] == [["8", "GPUs", "0", "8"], ["8", "GPUs", "8", "9"]]
    assert sum(row.endswith("<- enough") for row in rows) == 2
    assert rows[-2] == "2 of 10 combinations are left out: slots must be a multiple of the GPUs."
    assert rows[-1] == "GiB per GPU: all slots of 3 layers, 12 MiB each."
    assert rows[-4].startswith("8 GPUs: ")
    assert rows[-3].startswith("16 GPUs: 5 slots per GPU (16 redundant) take the imbalance from ")


def test_json_is_what_python_finds(json_of):
    answer = json_of(*SWEEP, "--redundant", "0,16,32", "--nodes", "1,4", "--groups", 8, "--expert-mib", 12)
    found = eplb.sweep(
        np.loadtxt(OLMOE, delimiter=","), 16, [0, 16, 32], num_nodes=[1, 4], num_groups=8, expert_mib=12, num_threads=1
    )
    assert [SweepRow(**row) for row in answer["rows"]] == list(found)
    assert (answer["num_layers"], answer["num_experts"], answer["left_out"]) == (3, 64, {})


def test_csv(run, tmp_path):
    path = tmp_path / "sweep.csv"
    assert run(*SWEEP, "--redundant", "0:48:16", "-o", path)[0] == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = eplb.sweep(np.loadtxt(OLMOE, delimiter=","), 16, [0, 16, 32, 48])
    assert [float(row["imbalance_mean"]) for row in rows] == [row.imbalance_mean for row in found]
    assert [row["enough"] for row in rows] == [str(row.enough) for row in found]
    assert (rows[1]["num_slots"], rows[1]["gib_per_gpu"]) == ("80", "")


def test_windows(run, json_of):
    out = run("sweep", OLMOE, GITHUB, "--gpus", "16", "--redundant", "16", "--objective", "windows")[1]
    assert "2 windows; 1 size\n" in out
    assert "in a window: mean" in out
    answer = json_of("sweep", OLMOE, GITHUB, "--gpus", "16", "--redundant", "16", "--objective", "windows")
    assert answer["figure"] == "windows_mean"


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
@pytest.mark.parametrize("arguments", [["--redundant", "0:64:16", "--nodes", "1,4", "--groups", "1,8"], BUDGET[4:]])
def test_pictures(run, tmp_path, suffix, arguments):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"a$b_${{.{suffix}"
    assert run(*SWEEP, *arguments, "--picture", path)[0] == 0
    assert path.stat().st_size > 5_000


@pytest.mark.parametrize("arguments", [["--redundant", "0:64:16"], BUDGET[4:]])
def test_pictures_on_a_slow_machine(run, tmp_path, monkeypatch, arguments):
    legend, clock = pytest.importorskip("matplotlib.legend"), itertools.count(step=2)
    monkeypatch.setattr(legend, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    code, _, err = run(*SWEEP, *arguments, "--picture", tmp_path / "sweep.svg")
    assert (code, err) == (0, "")
    assert next(clock) > 0  # it was looked at


def test_the_title_of_a_picture_is_text(run, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    loads, path = tmp_path / "run$a_{$1.csv", tmp_path / "sweep.svg"
    loads.write_bytes(Path(OLMOE).read_bytes())
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        assert run("sweep", loads, "--gpus", "16", "--picture", path)[0] == 0
    text = path.read_text()
    assert "run$a_{$1" in text
    assert "16 GPUs: 5 slots per GPU, 16 redundant, are enough" in text


def test_the_title_does_not_praise_what_no_size_mends(run, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    path = tmp_path / "sweep.svg"
    where = ("--gpus", "16", "--nodes", "8", "--groups", "8", "--redundant", "0,64")
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        code, out, _ = run("sweep", OLMOE, *where, "--picture", path)
    assert code == 0
    assert "16 GPUs, 8 nodes, 8 groups: " in path.read_text()
    assert ("are as good as more" in path.read_text()) is ("(0 redundant) are as good as more" in out)


def test_many_names_are_below_the_lines(run, tmp_path):
    pytest.importorskip("matplotlib")
    heights = []
    for gpus in ("4,8,16,32", "2,4,8,16,32"):
        assert run("sweep", OLMOE, "--gpus", gpus, "--redundant", "0", "--picture", tmp_path / "sweep.svg")[0] == 0
        size = re.search(r'<svg [^>]*height="([0-9.]+)pt"', (tmp_path / "sweep.svg").read_text())
        heights.append(float(size[1]))
    assert heights[0] < heights[1] < 1.2 * heights[0]


@pytest.mark.parametrize("step", [None, 16])
def test_budget(run, json_of, tmp_path, step):
    path = tmp_path / "plan.json"
    arguments = [*BUDGET, *([] if step is None else ["--slot-step", step])]
    code, out, err = run(*arguments, "-o", path, "--first-layer", 1, "--expert-mib", 12)
    assert (code, err) == (0, "")
    names = ["by gain", "layers equal", "layers and GPUs equal"]
    assert [name for name in names if f"\n{name}  " in out] == names
    answer = json_of(*arguments, "--expert-mib", 12)
    assert answer["used_slots"] == sum(answer["layer_slots"]) == sum(answer["gpu_totals"]) <= 210
    assert f"{answer['used_slots']} slots, " in out
    plan = json.loads(path.read_text())
    assert plan["layers"] == [1, 2, 3]
    held = np.array(plan["physical_to_logical"]) >= 0
    assert held.sum(axis=1).tolist() == answer["layer_slots"]
    evaluated = json_of("evaluate", OLMOE, path, "--first-layer", 1)
    np.testing.assert_allclose(evaluated["imbalance"], answer["imbalance"], rtol=1e-12)
    assert answer["imbalance_mean"] <= answer["all_equal"]["imbalance_mean"]
    assert answer["gib_per_gpu"] == pytest.approx(max(answer["gpu_totals"]) * 12 / 1024)


def test_a_budget_below_equal_gpus(json_of, run):
    assert json_of("sweep", OLMOE, "--gpus", "9", "--total-slots", 195)["all_equal"] is None
    assert "layers and GPUs equal" not in run("sweep", OLMOE, "--gpus", "9", "--total-slots", 195)[1]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("5", [5]),
        ("0:64:16", [0, 16, 32, 48, 64]),
        ("0:63:16", [0, 16, 32, 48]),
        ("3:5", [3, 4, 5]),
        ("7,0:2, 1", [0, 1, 2, 7]),
        ("1-5", [1, 2, 3, 4, 5]),
    ],
)
def test_ranges(text, numbers):
    assert sorted(set(parse_numbers("--redundant", text, "numbers"))) == numbers


@pytest.mark.parametrize("text", ["", "a", "-1", "1.5", "1:2:3:4", "1,,2", "1:", ":5", "٣", "1" * 10, "1 2"])
def test_what_is_no_range(run, text):
    sentence = f"--redundant {text}: must be numbers like 3,17 or 8-15, or 0:64:8 for every eighth"
    assert " ".join(sentence.split()) in refused(run(*SWEEP, "--redundant", text))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--redundant", "8:0"], "--redundant 8:0: 8:0 must not fall, and its step must be 1 at least"),
        (["--redundant", "0:8:0"], "--redundant 0:8:0: 0:8:0 must not fall, and its step must be 1 at least"),
        (["--redundant", "0:99999"], "100000 combinations of sizes are too many: at most 10000"),
        (["--redundant", "0:999999"], "--redundant 0:999999: there are numbers 0 to 262144"),
        (["--redundant", "5"], "no combination of sizes is legal for 64 experts: slots must be a multiple of the GPUs"),
        (["-o", "a.json"], "a.json: a sweep is written as .csv, and a placement only with --total-slots"),
        (["-o", "nowhere/a.csv"], "nowhere/a.csv: there is no folder nowhere"),
        (["--slot-step", "16"], "--slot-step 16: is for --total-slots, which is not given"),
        (["--first-layer", "3"], "--first-layer 3: is for --total-slots, which is not given"),
        (["--expert-mib", "-1"], "--expert-mib is -1.0, must be a number above 0"),
        (["--picture", "a.txt"], "a.txt: a picture is written as png, svg, pdf"),
        (["--strategy", "bestest"], "--strategy is 'bestest'"),
        (["--total-slots", "100"], "--total-slots is 100, too few: 3 layers of 64 experts need 192"),
        (["--total-slots", "210", "--redundant", "16"], "--redundant 16: is not for --total-slots: leave out one"),
        (["--total-slots", "210", "--dask", "a:1"], "--dask a:1: is not for --total-slots: leave out one"),
        (["--total-slots", "210", "--nodes", "1,4"], "--nodes: must be one number with --total-slots, is 1, 4"),
        (["--total-slots", "210", "-o", "a.csv"], "a.csv"),
    ],
)
def test_wrong_input(run, tmp_path, monkeypatch, arguments, sentence):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(run(*SWEEP, *arguments))
    assert not list(tmp_path.iterdir())


def test_inputs_are_never_written(run, tmp_path):
    loads = tmp_path / "loads.csv"
    loads.write_bytes(Path(OLMOE).read_bytes())
    assert "is an input of this command" in refused(run("sweep", loads, "--gpus", "16", "-o", loads))
    assert loads.read_bytes() == Path(OLMOE).read_bytes()


@pytest.mark.parametrize("command", ["solve", "compare"])
def test_redundant_instead_of_slots(run, json_of, command):
    answers = [json_of(command, OLMOE, *size, "--gpus", 16) for size in (["--slots", 80], ["--redundant", 16])]
    assert answers[0]["num_slots"] == answers[1]["num_slots"] == 80
    assert answers[0].get("imbalance") == answers[1].get("imbalance")
    both = refused(run(command, OLMOE, "--slots", 80, "--redundant", 16, "--gpus", 16))
    assert both == "--slots 80 and --redundant 16 say the same: give one of them"
    assert "give --slots, or --redundant" in refused(run(command, OLMOE, "--gpus", 16))
