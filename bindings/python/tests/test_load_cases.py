"""Cases made after reports of others, outside of the repository: loads that were misread, or not read at all."""

import json

import eplb
import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip("typer")
pytest.importorskip("rich")

CASES = ROOT.parent / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not on this machine")


@pytest.fixture
def answer(run):
    """Runs a command with --json, which must succeed without a word on stderr."""

    def call(command, name, *arguments):
        code, out, err = run(command, CASES / name, *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


@pytest.fixture
def in_order(tmp_path):
    """A file of the placement that has expert i in slot i."""

    def write(layers, experts=8, order=None):
        np.save(tmp_path / "plan.npy", np.tile(np.arange(experts) if order is None else order, (layers, 1)))
        return tmp_path / "plan.npy"

    return write


def test_integer_header(run, answer):
    arguments = ["--slots", 16, "--gpus", 8]
    code, out, err = run("solve", CASES / "01_integer_header.csv", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"eplb: {CASES / '01_integer_header.csv'}: the first row looks like a header")
    assert "--header" in err
    report = answer("solve", "01_integer_header.csv", *arguments, "--header")
    assert (report["num_layers"], report["num_experts"], report["layers"]) == (2, 8, [0, 1])
    assert report["no_balancer"]["imbalance_mean"] == pytest.approx(2.3833, abs=5e-5)


def test_long_table(run, answer):
    report = answer("solve", "02_long_table.csv", "--slots", 16, "--gpus", 8)
    assert (report["layers"], report["num_experts"]) == ([3, 4], 8)
    assert report["no_balancer"]["imbalance_mean"] == pytest.approx(2.4202, abs=5e-5)
    assert eplb.read_loads(CASES / "02_long_table.csv").counts[0, [0, 1], [7, 0]].tolist() == [0, 0]
    assert (
        "experts are counted by the largest number, 7"
        in run("solve", CASES / "02_long_table.csv", "--slots", 16, "--gpus", 8)[2]
    )
    assert answer("solve", "02_long_table.csv", "--slots", 16, "--gpus", 8, "--experts", 8)["warnings"] == []


def test_sglang_dump(run, answer, in_order):
    report = answer("evaluate", "03_sglang_dump.npz", in_order(2), "--gpus", 4)
    # Layer 0 has no load: it is not among those that means are of.
    assert report["layers"] == [1, 2]
    assert report["warnings"] == [
        "layer 0 without any load is left out, as dense layers are",
        "2 windows, summed; alone: mean 2.383, mean of the worst 2.383 (window 0)",
    ]
    assert report["imbalance"] == pytest.approx([1.6, 1.0])
    loads = eplb.read_loads(CASES / "03_sglang_dump.npz")
    assert (loads.layers.tolist(), loads.left_out.tolist()) == ([1, 2], [0])
    with eplb.Context() as context:
        evaluation = context.evaluate([list(range(8))] * 2, loads.counts, num_gpus=4)
        np.testing.assert_allclose(evaluation.window_imbalance, [[3.1, 3.1], [1.6667, 1.6667]], rtol=1e-4)
    code, _, err = run("solve", CASES / "03_sglang_dump.npz", "--slots", 8, "--gpus", 4)
    assert code == 0
    assert "layer 0 without any load is left out" in err


def test_windows(answer, in_order, run):
    plan = in_order(1, order=[0, 2, 1, 3, 4, 5, 6, 7])
    report = answer("evaluate", "05_windows.npz", plan, "--gpus", 4)
    assert (report["num_windows"], report["imbalance_mean"], report["windows_worst"]) == (2, 1.0, 1.0)
    alone = "2 windows, summed; alone: mean {0:.3f}, mean of the worst {0:.3f} (window 0)"
    assert report["warnings"] == [alone.format(1)]
    assert answer("solve", "05_windows.npz", "--slots", 8, "--gpus", 4)["warnings"] == [alone.format(1.5)]


def test_json(answer, in_order):
    report = answer("evaluate", "09_weights.json", in_order(3), "--gpus", 4)
    assert report["layers"] == [0, 1, 2]
    assert report["imbalance_mean"] == pytest.approx(1.0852, abs=5e-5)


def test_a_pickled_neighbour(answer):
    report = answer("solve", "13_counts_and_meta.npz", "--slots", 16, "--gpus", 8)
    assert report["no_balancer"]["imbalance_mean"] == pytest.approx(2.3833, abs=5e-5)
    assert report["warnings"] == []


@pytest.mark.parametrize("name", ["04_plan_sglang.json", "10_trtllm.yaml"])
def test_placements_are_no_loads(run, name):
    code, out, err = run("solve", CASES / name, "--slots", 16, "--gpus", 8)
    assert (code, out) == (2, "")
    assert err.startswith(f"eplb: {CASES / name}: ")


WARM_UP = "experts 5, 7, 43 and 58 have 87 % of the load: padding or warm-up?"


@pytest.mark.parametrize("command", ["solve", "compare", "evaluate", "rebalance"])
def test_warm_up(run, answer, in_order, command):
    plan = in_order(1, order=np.arange(64) % 60)
    sizes = ["--slots", 64, "--gpus", 8]
    arguments = {"evaluate": [plan, "--gpus", 8], "rebalance": ["--current", plan, "--gpus", 8]}.get(command, sizes)
    code, _, err = run(command, CASES / "08_warmup.csv", *arguments)
    assert (code, err) == (0, f"eplb: {CASES / '08_warmup.csv'}: {WARM_UP}\n")
    report = answer(command, "08_warmup.csv", *arguments)
    assert report["warnings"] == [WARM_UP]
    if command == "solve":
        assert report["imbalance_mean"] == pytest.approx(1.0, abs=5e-4)


def test_many_replicas(run, answer, tmp_path):
    """Counts leave the table of slots as wide as the largest one, not as wide as it can become."""
    path = tmp_path / "m.json"
    answer("solve", "15_many_replicas.csv", "--slots", 1024, "--gpus", 64, "-o", path)
    plan = json.loads(path.read_text())
    largest = max(map(max, plan["replica_count"]))
    slots = np.array(plan["logical_to_physical"])
    assert slots.shape == (4, 64, largest)
    assert largest <= 64
    assert path.stat().st_size < 100_000
