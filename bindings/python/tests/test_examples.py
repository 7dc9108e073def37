"""The Python examples of the repository run, on weights made up here."""

import importlib.util
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, child_environment
from eplb.sample import sample_weights


def replay(tmp_path, *arguments):
    trace = tmp_path / "trace.npz"
    # The hot experts change half-way.
    windows = [sample_weights(2, 32, seed) for seed in (1, 1, 1, 2, 2, 2)]
    np.savez(trace, counts=np.repeat(windows, 2, axis=0))
    command = [sys.executable, str(ROOT / "examples" / "replay.py"), str(trace), "--slots", "48", "--gpus", "8"]
    done = subprocess.run([*command, *arguments], env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_replay(tmp_path):
    lines = replay(tmp_path, "--step", "2")
    assert [line.endswith("nothing moves") for line in lines[:-1]] == [True, True, False, True, True]
    assert int(re.search(r"(\d+) moves, 0 from storage", lines[2])[1]) > 0


def test_replay_with_a_budget(tmp_path):
    lines = replay(tmp_path, "--step", "2", "--max-moves", "2")
    counts = [int(each) for each in re.findall(r"(\d+) moves", "".join(lines))]
    assert counts
    assert max(counts) <= 2 * 2


def test_replay_with_losses(tmp_path):
    lines = replay(tmp_path, "--step", "2", "--kill", "2:0,5")
    assert lines[1].startswith("GPUs [0, 5] are lost: ")
    assert len(lines) == 7


def serving_loop(trace, state):
    sizes = ["--slots", "48", "--gpus", "8", "--state", str(state)]
    command = [sys.executable, str(ROOT / "examples" / "serving_loop.py"), str(trace), *sizes]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_serving_loop(tmp_path):
    """The hot experts change half-way: moves follow, and pay; the second run goes on where the first ended."""
    trace, state = tmp_path / "trace.npz", tmp_path / "state.npz"
    np.savez(trace, counts=np.stack([sample_weights(2, 32, seed) for seed in (1, 1, 1, 2, 2, 2)]))
    lines = serving_loop(trace, state)
    assert [line.endswith("nothing moves") for line in lines[:3]] == [True] * 3
    assert any(re.search(r"[1-9]\d* moves in [12] layers", line) for line in lines[3:6])
    imbalance = [float(re.search(r"imbalance (\S+),", line)[1]) for line in lines[:6]]
    assert imbalance[5] < imbalance[3]
    assert [line.split()[1:3] for line in lines[8:10]] == [["seen", "6"], ["remembered", "6,"]]
    assert serving_loop(trace, state)[0].startswith("window 7: ")


def test_several_processes():
    pytest.importorskip("torch")
    command = [sys.executable, str(ROOT / "examples" / "several_processes.py")]
    done = subprocess.run(command, env=child_environment(GLOO_SOCKET_IFNAME="lo"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after, moves = re.search(r"imbalance (\S+) -> (\S+) by (\d+) moves", done.stdout).groups()
    assert float(after) < float(before)
    assert 0 < int(moves) <= 4 * 6
    assert done.stdout.endswith("every slot of every rank holds its expert\n")


def test_objectives(tmp_path):
    """The sum of windows hides that they want different placements."""
    windows, picture = [tmp_path / f"{name}_L2xE32.csv" for name in ("prefill", "decode", "later")], tmp_path / "o.png"
    for seed, path in enumerate(windows):
        np.savetxt(path, sample_weights(2, 32, min(seed, 1)) * (1, 9, 2)[seed], delimiter=",")
    program, sizes = str(ROOT / "examples" / "objectives.py"), ["--slots", "48", "--gpus", "8"]
    command = [sys.executable, program, *map(str, windows[:2]), *sizes, "--unseen", str(windows[2])]
    pictured = ["--picture", str(picture)] if importlib.util.find_spec("matplotlib") else []
    done = subprocess.run([*command, *pictured], env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    table = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()]
    rows = {name: figures for name, *figures in table}
    assert list(rows) == ["imbalance", "prefill", "decode", "later, unseen"]
    assert rows["decode"] == rows["later, unseen"]
    assert all(float(each) < float(of_sum) for of_sum, each in list(rows.values())[1:])
    assert picture.exists() == bool(pictured)


def soft_groups(tmp_path, *sizes):
    loads = tmp_path / "loads.csv"
    np.savetxt(loads, sample_weights(2, 64), delimiter=",", fmt="%d")
    command = [sys.executable, str(ROOT / "examples" / "soft_groups.py"), str(loads), *sizes]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["policy", "imbalance", "worst", "away", "at", "least", "sends", "busiest"]
    return dict(line.split(maxsplit=1) for line in lines[1:4]), lines[4:]


def test_soft_groups(tmp_path):
    """Whole groups are served at home and send least, and balance worst."""
    rows, rest = soft_groups(tmp_path, "--slots", "80", "--gpus", "16", "--nodes", "4", "--groups", "8")
    figures = {policy: [float(each) for each in row.split()] for policy, row in rows.items()}
    assert list(figures) == ["hierarchical", "soft", "global"]
    imbalance, _, away, _, sends, _ = zip(*figures.values(), strict=True)
    assert imbalance[0] > max(imbalance[1:])
    assert away[0] == 0 < away[1] <= away[2]
    assert sends[0] < sends[1] <= sends[2]
    assert len(rest) == 1


def test_soft_groups_that_do_not_divide(tmp_path):
    rows, _ = soft_groups(tmp_path, "--slots", "72", "--gpus", "12", "--nodes", "3", "--groups", "8")
    assert rows["hierarchical"].startswith("num_groups is 8, must be a multiple of num_nodes = 3")
    assert len(rows["soft"].split()) == 6


def test_soft_groups_of_no_router(tmp_path):
    """A token that picks from one group only picks its experts equally often."""
    sizes = ["--slots", "80", "--gpus", "16", "--nodes", "4", "--groups", "8"]
    _, rest = soft_groups(tmp_path, *sizes, "--groups-per-token", "1")
    assert rest[1].startswith("No router of this kind has such loads: ")


def test_torch_cuda_graph():
    """Runs anywhere: it says what is missing, or that the device answers as the CPU."""
    command = [sys.executable, str(ROOT / "examples" / "torch_cuda_graph.py")]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Nothing to show here: ") or all(line.endswith("as on the CPU") for line in lines)
