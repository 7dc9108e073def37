"""The Python examples of the repository run, on weights made up here."""

import importlib.util
import re
import subprocess
import sys

import numpy as np
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


def test_torch_cuda_graph():
    """Runs anywhere: it says what is missing, or that the device answers as the CPU."""
    command = [sys.executable, str(ROOT / "examples" / "torch_cuda_graph.py")]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Nothing to show here: ") or all(line.endswith("as on the CPU") for line in lines)
