"""eplb rebalance: what it says and writes, on the way from a plan to the next."""

import csv
import json
import sys

import numpy as np
import pytest
from conftest import ROOT, TRACES

pytest.importorskip("typer")
pytest.importorskip("rich")

from test_command import OLMOE, refused, several_windows

sys.path.append(str(ROOT / "tests" / "golden"))
from transfer_simulator import simulate

CLUSTER = ["--slots", "96", "--gpus", "16"]


@pytest.fixture
def later(tmp_path):
    """The layers of the measured weights in another order: other loads of the same shape."""
    path = tmp_path / "later.csv"
    rows = np.loadtxt(OLMOE, delimiter=",", dtype=np.int64)
    np.savetxt(path, rows[[1, 2, 0]], delimiter=",", fmt="%d")
    return path


@pytest.fixture
def plan(run, tmp_path):
    path = tmp_path / "plan.npz"
    assert run("solve", OLMOE, *CLUSTER, "-o", path)[0] == 0
    return path


def placement_of(path):
    if path.suffix == ".json":
        return np.array(json.loads(path.read_text())["physical_to_logical"])
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["physical_to_logical"]


def test_table(run, plan, later):
    code, out, err = run("rebalance", later, "--current", plan)
    assert (code, err) == (0, "")
    assert "later.csv: 3 layers on 16 GPUs" in out
    assert "imbalance before" in out
    assert "all layers" in out
    assert "layer 2" in out
    assert " moves in 3 layers" in out
    assert out.isascii()
    code, out, _ = run("rebalance", OLMOE, "--current", plan)
    assert (code, "Nothing moves" in out) == (0, True)


def test_budget(json_of, plan, later, tmp_path):
    answer = json_of("rebalance", later, "--current", plan, "--max-moves", 3, "-o", tmp_path / "new.npz")
    assert max(answer["layer_moves"]) <= 3
    assert answer["moves"] == sum(answer["layer_moves"]) > 0
    assert answer["imbalance_mean"] < answer["before"]["imbalance_mean"]
    evaluated = json_of("evaluate", later, tmp_path / "new.npz")
    assert evaluated["imbalance"] == answer["imbalance"]
    before = json_of("evaluate", later, plan)
    np.testing.assert_allclose(before["imbalance"], answer["before"]["imbalance"], rtol=1e-12)


@pytest.mark.parametrize("order", ["buffered", "in_place", "exclusive"])
def test_transfers(run, plan, later, tmp_path, order):
    """The file alone, carried out, makes the new plan of the old one."""
    new, moves = tmp_path / "new.json", tmp_path / "moves.csv"
    arguments = ["--current", plan, "--dead", "3,17".replace("17", "12"), "--transfer-order", order]
    assert run("rebalance", later, *arguments, "-o", new, "--moves", moves)[0] == 0
    current, placement = placement_of(plan), placement_of(new)
    places = 96 // 16
    for gpu in (3, 12):
        current[:, gpu * places : (gpu + 1) * places] = -1
    source = np.where(placement == -1, -1, np.arange(96))
    rounds, groups = np.full((3, 96), -1), np.full((3, 96), -1)
    with moves.open() as file:
        for row in csv.DictReader(file):
            at = int(row["layer"]), int(row["slot"])
            assert placement[at] == int(row["expert"])
            source[at] = -2 if row["kind"] == "reload" else int(row["source_slot"])
            rounds[at], groups[at] = int(row["round"]), int(row["group"])
    for layer in range(3):
        simulate(*(each[layer].tolist() for each in (current, placement, source, rounds, groups)), 16, order)


def test_gpus_die_join_and_leave(json_of, plan, later, tmp_path):
    new = [tmp_path / f"{number}.json" for number in range(4)]
    lost = json_of("rebalance", later, "--current", plan, "--dead", "4-5", "-o", new[0])
    assert lost["gpu_slots"] == [6] * 4 + [0] * 2 + [6] * 10
    assert lost["moves_forced"] > 0
    assert lost["reloads"] >= lost["moves_forced"]
    assert (placement_of(new[0])[:, 24:36] == -1).all()
    # The plan remembers its GPUs.
    assert json_of("evaluate", later, new[0])["imbalance"] == lost["imbalance"]
    again = json_of("rebalance", later, "--current", new[0], "-o", new[1])
    assert (again["gpu_slots"], again["moves"]) == (lost["gpu_slots"], 0)
    grown = json_of("rebalance", later, "--current", new[1], "--gpus", 18, "--target", "1.0", "-o", new[2])
    assert (grown["num_gpus"], grown["num_slots"]) == (18, 108)
    assert grown["gpu_slots"] == lost["gpu_slots"] + [6, 6]
    # Some of their slots may stay empty: a layer may be good with less.
    assert (placement_of(new[2])[:, 96:].reshape(3, 2, 6) >= 0).any(axis=2).all()
    drained = json_of("rebalance", later, "--current", new[2], "--drain", "0", "-o", new[3])
    assert (placement_of(new[3])[:, :6] == -1).all()
    assert drained["reloads"] == 0


def test_slots_and_speeds_from_files(json_of, plan, later, tmp_path):
    slots, speeds = tmp_path / "slots.csv", tmp_path / "speeds.csv"
    slots.write_text(",".join(["6"] * 15 + ["4"]))
    speeds.write_text("\n".join(["1"] * 15 + ["0.8"]))
    new = tmp_path / "new.npz"
    arguments = ["--gpu-slots", slots, "--speeds", speeds, "-o", new]
    answer = json_of("rebalance", later, "--current", plan, *arguments)
    assert answer["gpu_speeds"] == [1] * 15 + [0.8]
    assert (placement_of(new)[:, -2:] == -1).all()
    assert json_of("evaluate", later, new)["imbalance"] == answer["imbalance"]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_picture(run, plan, later, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"moves.{suffix}"
    assert run("rebalance", later, "--current", plan, "--plot", path, "--dead", "3")[0] == 0
    assert path.stat().st_size > 10_000


def test_inputs_are_never_written(run, plan, later, tmp_path):
    kept = plan.read_bytes(), later.read_bytes()
    for option, path in (("-o", plan), ("--moves", later)):
        assert "is an input of this command" in refused(run("rebalance", later, "--current", plan, option, path))
    (tmp_path / "later.npz").hardlink_to(plan)
    assert "is an input" in refused(run("rebalance", later, "--current", plan, "-o", tmp_path / "later.npz"))
    assert (plan.read_bytes(), later.read_bytes()) == kept


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--dead", "16"], "--dead 16: there are GPUs 0 to 15"),
        (["--dead", "3;4"], "--dead 3;4: must be GPUs like 3,17 or 8-15"),
        (["--drain", "9-8"], "--drain 9-8: 9-8 must not fall, and its step must be 1 at least"),
        (["--gpus", "15"], "is on 16 GPUs, more than --gpus 15"),
        (["--dead", "0-5"], "the cluster has 60 open slots, 4 fewer than the 64 experts"),
        (["--max-moves", "-1"], "--max-moves is -1, must be at least 0"),
        (["--max-moves", "0", "--dead", "3"], "--max-moves is 0"),
        (["--target", "0.9"], "target is 0.9, must be"),
        (["--transfer-order", "any"], "--transfer-order is 'any', must be one of"),
        (["--moves", "moves.txt"], "moves.txt: transfers are written as .csv"),
        (["-o", "plan.csv"], "plan.csv: a plan is written as .npz or .json"),
        (["--speeds", "nothing.csv"], "nothing.csv: no such file"),
        (["--nodes", "3", "--policy", "hierarchical"], "--groups is 1, must be a multiple of --nodes = 3"),
    ],
)
def test_refused(run, monkeypatch, plan, later, tmp_path, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert sentence in refused(run("rebalance", later, "--current", plan, *arguments))
    assert sorted(tmp_path.iterdir()) == before


def test_files_that_do_not_fit(run, plan, later, tmp_path):
    table = placement_of(plan)
    np.save(tmp_path / "short.npy", table[:2])
    assert "2 layers, but the weights have 3" in refused(
        run("rebalance", later, "--current", tmp_path / "short.npy", "--gpus", 16)
    )
    np.save(tmp_path / "plan.npy", table)
    assert "give --gpus" in refused(run("rebalance", later, "--current", tmp_path / "plan.npy"))
    assert "96 slots of a layer are no multiple of 7 GPUs" in refused(
        run("rebalance", later, "--current", tmp_path / "plan.npy", "--gpus", 7)
    )
    table[1, 5] = 64
    np.save(tmp_path / "plan.npy", table)
    said = refused(run("rebalance", later, "--current", tmp_path / "plan.npy", "--gpus", 16))
    assert said.startswith(str(tmp_path / "plan.npy"))
    assert "layer 1, slot 5" in said
    (tmp_path / "speeds.csv").write_text("1,2,3\n")
    said = refused(run("rebalance", later, "--current", plan, "--speeds", tmp_path / "speeds.csv"))
    assert "3 values, must have one for each of 16 GPUs" in said


def test_windows_are_balanced_on_request(run, json_of, tmp_path):
    file, plan = several_windows(tmp_path / "counts.npy", 4), tmp_path / "plan.npz"
    assert run("solve", OLMOE, *CLUSTER, "-o", plan)[0] == 0
    options = ["--current", plan, "--max-moves", "9"]
    windows = json_of("rebalance", file, *options, "--objective", "windows")
    assert windows["windows_worst"] < json_of("rebalance", file, *options)["windows_worst"]
    assert max(windows["layer_moves"]) <= 9
    out = run("rebalance", file, *options, "--objective", "windows", "-o", tmp_path / "next.npz")[1]
    assert out.startswith("4 windows, 1 of them empty, each balanced; alone: ")
    with np.load(tmp_path / "next.npz", allow_pickle=False) as arrays:
        assert str(arrays["objective"]) == "windows"


@pytest.mark.skipif(not TRACES.exists(), reason="no traces next to the checkout")
def test_a_newcomer_follows_a_trace(run, json_of, tmp_path, monkeypatch):
    """Window after window of real requests: a budget is kept, two GPUs die, and every plan is where the next begins."""
    monkeypatch.chdir(tmp_path)
    with np.load(TRACES / "deepseek-v2-lite_law-requests_T33xL26xE64.npz", allow_pickle=False) as arrays:
        counts = arrays["counts"].astype(np.int64)
    windows = [counts[first : first + 11].sum(axis=0) for first in (0, 11, 22)]
    for number, window in enumerate(windows):
        np.savetxt(f"window{number}.csv", window, delimiter=",", fmt="%d")
    sizes = ["--slots", 80, "--gpus", 16, "--nodes", 2, "--policy", "global"]
    assert run("solve", "window0.csv", *sizes, "-o", "plan0.npz")[0] == 0
    first = json_of("rebalance", "window1.csv", "--current", "plan0.npz", "--max-moves", 6, "-o", "plan1.npz")
    assert max(first["layer_moves"]) <= 6
    assert first["imbalance_mean"] < first["before"]["imbalance_mean"]
    assert first["num_nodes"] == 2
    dead = ["--dead", "3,11", "-o", "plan2.npz", "--moves", "moves.csv", "--plot", "moves.png"]
    code, out, err = run("rebalance", "window2.csv", "--current", "plan1.npz", *dead)
    assert (code, err) == (0, "")
    assert "26 layers on 16 GPUs, 2 of them without slots" in out
    assert "of them forced" in out
    final = json_of("evaluate", "window2.csv", "plan2.npz")
    assert final["imbalance_mean"] < 1.1
    with open("moves.csv") as file:
        assert {row["gpu"] for row in csv.DictReader(file)}.isdisjoint({"3", "11"})


def test_layers_without_load_are_in_no_mean(run, olmoe, tmp_path):
    """Before as after, in the table and in JSON."""
    weights = olmoe.astype(int)
    weights[1] = 0
    np.savetxt(tmp_path / "loads.csv", weights, delimiter=",", fmt="%d")
    np.save(tmp_path / "plan.npy", np.tile(np.arange(80) % 64, (len(weights), 1)))
    arguments = ["rebalance", tmp_path / "loads.csv", "--current", tmp_path / "plan.npy", "--gpus", 16]
    report = json.loads(run(*arguments, "--json")[1])
    assert report["num_empty_layers"] == 1
    for each in (report, report["before"]):
        assert each["imbalance_mean"] == pytest.approx(np.delete(each["imbalance"], 1).mean())
    assert report["warnings"] == ["layer 1 has no load, and is left out of all means"]
    assert f"{report['before']['imbalance_mean']:.4f}" in run(*arguments)[1]
