"""What the command says of demands that cost balance: whole groups on nodes, and a cap on replicas."""

import json
import re

import eplb
import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip("typer")
pytest.importorskip("rich")

CASES = ROOT.parent / "shared" / "cases"
SIZES = {"num_slots": 36, "num_gpus": 4, "num_nodes": 4, "num_groups": 4}
OPTIONS = ["--slots", 36, "--gpus", 4, "--nodes", 4, "--groups", 4]
ONE_NODE = "4 groups have no effect on one node"
GROUPS = r"the imbalance is (\S+) with whole groups on nodes(.*?), but (\S+) with --policy global"


@pytest.fixture
def hot(tmp_path):
    """The first of four groups has most of the load, and its experts share it."""
    weights = np.full((2, 32), 100)
    weights[:, :8] = 400
    np.savetxt(tmp_path / "hot.csv", weights, delimiter=",", fmt="%d")
    return tmp_path / "hot.csv"


@pytest.fixture
def even(tmp_path):
    weights = np.tile([400, 300, 200, 100, 100, 200, 300, 400], (2, 4))
    np.savetxt(tmp_path / "even.csv", weights, delimiter=",", fmt="%d")
    return tmp_path / "even.csv"


def warning(run, *arguments):
    """The only one, which is the only line on stderr too."""
    code, out, err = run(*arguments, "--json")
    assert (code, err) == (0, "")
    (text,) = json.loads(out)["warnings"]
    code, _, err = run(*arguments)
    assert (code, err) == (0, f"eplb: {arguments[1]}: {text}\n")
    return text


def test_both_figures_are_those_of_the_two_policies(run, hot, context):
    weights = np.loadtxt(hot, delimiter=",")
    for effort in ("fast", "max"):
        found = re.fullmatch(GROUPS, warning(run, "solve", hot, *OPTIONS, "--effort", effort))
        efforts = {"hierarchical": effort, "global": "fast"}
        exact = [context.solve(weights, **SIZES, policy=p, effort=e).report.imbalance_mean for p, e in efforts.items()]
        assert [found[1], found[3]] == [f"{each:.4f}" for each in exact]


def test_worse_than_no_balancer_or_not(run, hot, context):
    weights = np.loadtxt(hot, delimiter=",")
    before = context.evaluate(np.tile(np.arange(36) % 32, (2, 1)), weights, num_gpus=4).imbalance_mean
    found = re.fullmatch(GROUPS, warning(run, "solve", hot, *OPTIONS))
    assert found[2] == f", worse than no balancer ({before:.4f})"
    # A hot expert, which gets a replica on the other GPU of its node; but its group is above the others, too.
    weights = np.full((1, 32), 100)
    weights[0, 8:16] = 20
    weights[0, 12] = 800
    np.savetxt(hot, weights, delimiter=",", fmt="%d")
    sizes = ["--slots", 40, "--gpus", 8, "--nodes", 4, "--groups", 4]
    assert re.fullmatch(GROUPS, warning(run, "solve", hot, *sizes))[2] == ""


@pytest.mark.parametrize("policy", ["auto", "hierarchical"])
def test_given_or_chosen(run, hot, policy):
    assert re.fullmatch(GROUPS, warning(run, "solve", hot, *OPTIONS, "--policy", policy))


@pytest.mark.parametrize("command", ["solve", "compare", "evaluate"])
def test_groups_that_do_not_divide(run, even, tmp_path, command):
    np.save(tmp_path / "plan.npy", np.tile(np.arange(36) % 32, (2, 1)))
    sizes = ["--gpus", 6, "--nodes", 3, "--groups", 4]
    text = warning(run, command, even, *([tmp_path / "plan.npy"] if command == "evaluate" else ["--slots", 36]), *sizes)
    why = "4 is no multiple of 3 nodes, so the policy auto is global, which knows no groups"
    assert text == f"4 groups have no effect: {why}"
    assert "no effect" not in run("compare", even, "--slots", 36, *sizes, "--policy", "global")[2]


def test_nodes_matter_where_experts_move(run, even, tmp_path):
    """Without groups, too: they say what is near."""
    plan = tmp_path / "plan.npz"
    assert run("solve", even, "--slots", 36, "--gpus", 4, "--nodes", 2, "-o", plan)[0] == 0
    assert run("rebalance", even, "--current", plan)[2] == ""


@pytest.mark.parametrize("command", ["compare", "rebalance"])
def test_other_commands(run, hot, tmp_path, command):
    plan = tmp_path / "plan.npz"
    assert run("solve", hot, *OPTIONS, "-o", plan)[0] == 0
    arguments = OPTIONS if command == "compare" else ["--current", plan]
    found = re.fullmatch(GROUPS, warning(run, command, hot, *arguments))
    assert float(found[1]) > 1.01 * float(found[3])


@pytest.mark.parametrize("policy", ["global", "soft"])
def test_other_policies_cost_nothing(run, hot, policy):
    code, _, err = run("solve", hot, *OPTIONS, "--policy", policy)
    assert (code, err) == (0, "")


def test_what_costs_little_is_not_said_and_what_nobody_asked_for_not_solved(run, even, calls):
    assert run("solve", even, *OPTIONS)[2] == ""
    assert calls["solve"] == 2
    sizes = ["--slots", 36, "--gpus", 4]
    for more, why in ((["--nodes", 4], "4 nodes have no effect without groups"), (["--groups", 4], ONE_NODE)):
        calls.clear()
        assert warning(run, "solve", even, *sizes, *more) == why
        assert calls["solve"] == 2


def test_windows(run, tmp_path):
    windows = np.full((2, 1, 32), 100)
    windows[0, 0, :8], windows[1, 0, 8:16] = 900, 900
    np.save(tmp_path / "windows.npy", windows)
    text = warning(run, "solve", tmp_path / "windows.npy", *OPTIONS, "--objective", "windows")
    assert text.startswith("the imbalance in single windows is ")


def test_cap(run, tmp_path):
    file = tmp_path / "one.csv"
    file.write_text("500,100,100,100,100,100,100,100\n")
    sizes = ["--slots", 16, "--gpus", 8]
    with eplb.Context() as context:
        capped, free = (
            context.solve([[500] + [100] * 7], 16, 8, max_replicas=cap, effort="fast").report.imbalance_mean
            for cap in (2, None)
        )
    text = f"the imbalance is {capped:.4f} with --max-replicas 2, but {free:.4f} without it"
    assert warning(run, "solve", file, *sizes, "--max-replicas", 2, "--effort", "fast") == text
    assert warning(run, "compare", file, *sizes, "--max-replicas", 2).startswith("the imbalance is ")
    for cap in (0, 9):
        assert run("solve", file, *sizes, "--max-replicas", cap)[2] == ""


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not on this machine")
@pytest.mark.parametrize("command", ["solve", "compare"])
def test_the_cases(run, command):
    sizes = ["--slots", 72, "--gpus", 8, "--nodes", 8, "--groups", 8]
    found = re.fullmatch(GROUPS, warning(run, command, CASES / "14_groups.csv", *sizes))
    assert found.groups() == ("2.4008", ", worse than no balancer (1.3226)", "1.0001")
    text = warning(run, command, CASES / "07_cap.csv", "--slots", 16, "--gpus", 8, "--max-replicas", 2)
    assert text.startswith("the imbalance is 1.6000 with --max-replicas 2, but 1.")
