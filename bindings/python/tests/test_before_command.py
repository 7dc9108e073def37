"""The row before: each expert once whatever the slots, or a plan; and no groups, which are one."""

import json

import eplb
import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from test_command import CLUSTER, OLMOE, refused


def without_redundancy(experts, gpus):
    """Slots of the GPUs, one list each: engines give the first ones one more."""
    rest = iter(range(experts))
    return [[next(rest) for _ in range(experts // gpus + (gpu < experts % gpus))] for gpu in range(gpus)]


@pytest.mark.parametrize("gpus", [1, 3, 8, 16, 60, 64, 96])
@pytest.mark.parametrize("command", ["solve", "compare"])
def test_before_has_each_expert_once_whatever_the_slots(run, gpus, command):
    weights = np.loadtxt(OLMOE, delimiter=",")
    loads = np.array([[row[held].sum() for held in without_redundancy(64, gpus)] for row in weights])
    expected = loads.max(axis=1) / loads.mean(axis=1)
    smallest = -(-64 // gpus) * gpus
    for slots in (smallest, smallest + gpus):
        report = json.loads(run(command, OLMOE, "--slots", slots, "--gpus", gpus, "--json")[1])
        assert report["before"]["imbalance"] == pytest.approx(expected.tolist())
        assert report["before"]["duplicates"] == 0
        filled = eplb.Context().evaluate(np.tile(np.arange(slots) % 64, (3, 1)), weights, num_gpus=gpus)
        assert report["no_balancer"]["imbalance"] == pytest.approx(filled.imbalance.tolist())
    out = run(command, OLMOE, "--slots", slots, "--gpus", gpus)[1]
    assert ("no balancer" in out) == (report["no_balancer"]["imbalance"] != report["before"]["imbalance"])


@pytest.mark.parametrize("command", ["solve", "compare"])
def test_before_is_a_plan(run, tmp_path, command):
    plan = tmp_path / "plan.sglang.json"
    assert run("solve", OLMOE, *CLUSTER, "--strategy", "greedy", "-o", plan)[0] == 0
    known = json.loads(run("evaluate", OLMOE, plan, "--gpus", "16", "--json")[1])
    arguments = [command, OLMOE, "--slots", "80", "--gpus", "16", "--before", plan]
    report = json.loads(run(*arguments, "--json")[1])
    assert report["before"]["imbalance"] == known["imbalance"]
    out = run(*arguments)[1]
    (row,) = (line for line in out.splitlines() if line.startswith("before "))
    assert row.split()[1] == f"{known['imbalance_mean']:.4f}"
    if command == "solve":
        assert f"was {known['imbalance_mean']:.3f}x" in out


def test_a_plan_before_that_does_not_fit(run, tmp_path):
    plan = tmp_path / "plan.json"
    assert run("solve", OLMOE, *CLUSTER, "-o", plan)[0] == 0
    kept = plan.read_bytes()
    other = ["solve", OLMOE, "--slots", "96", "--gpus", "8", "--before"]
    assert refused(run(*other, plan)) == f"{plan}: is on 16 GPUs, but --gpus is 8"
    np.save(tmp_path / "odd.npy", np.tile(np.arange(90) % 64, (3, 1)))
    odd = refused(run(*other, tmp_path / "odd.npy"))
    assert odd == f"{tmp_path / 'odd.npy'}: 90 slots of a layer are no multiple of 8 GPUs"
    np.save(tmp_path / "few.npy", np.tile(np.arange(96) % 60, (3, 1)))
    few = refused(run(*other, tmp_path / "few.npy"))
    assert few.startswith(f"{tmp_path / 'few.npy'}: placement[layer 0] has no replica of expert 60")
    assert "is an input" in refused(run("solve", OLMOE, *CLUSTER, "--before", plan, "-o", plan))
    assert plan.read_bytes() == kept


def test_no_groups_are_one(run, tmp_path):
    plan, later = tmp_path / "plan.json", tmp_path / "later.json"
    assert run("solve", OLMOE, *CLUSTER, "--groups", 0, "-o", plan)[0] == 0
    assert run("rebalance", OLMOE, "--current", plan, "--groups", 0, "-o", later)[0] == 0
    for path in (plan, later):
        assert json.loads(path.read_text())["num_groups"] == 1
        assert run("evaluate", OLMOE, path, "--groups", 0)[0] == 0
