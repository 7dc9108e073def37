"""The Python examples of the repository run, on weights made up here."""

import subprocess
import sys

import numpy as np
from conftest import ROOT, child_environment
from eplb.sample import sample_weights


def test_replay(tmp_path):
    trace = tmp_path / "trace.npz"
    # The hot experts change half-way.
    windows = [sample_weights(2, 32, seed) for seed in (1, 1, 1, 2, 2, 2)]
    np.savez(trace, counts=np.repeat(windows, 2, axis=0))
    command = [sys.executable, str(ROOT / "examples" / "replay.py"), str(trace), "--slots", "40", "--gpus", "8"]
    done = subprocess.run([*command, "--step", "2"], env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.endswith("placed again") for line in lines[:-1]] == [False, False, True, False, False]
    assert lines[-1].endswith("with 2 placements")


def test_torch_cuda_graph():
    """Runs anywhere: it says what is missing, or that the device answers as the CPU."""
    command = [sys.executable, str(ROOT / "examples" / "torch_cuda_graph.py")]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Nothing to show here: ") or all(line.endswith("as on the CPU") for line in lines)
