"""The soft policy in the command: what it says of load away from home, writes and draws."""

import json

import eplb
import numpy as np
import pytest
from eplb._loads import node_loads
from eplb.sample import sample_weights

pytest.importorskip("typer")
pytest.importorskip("rich")

SIZES = {"num_slots": 80, "num_gpus": 16, "num_nodes": 4, "num_groups": 8}
GPUS = eplb.Cluster(16, num_nodes=4)


def test_loads_of_nodes(context):
    weights = sample_weights(3, 64).astype(float)
    weights[2] = 0
    plan = context.solve(weights, **SIZES, policy="global")
    at_home, away, of_groups = node_loads(weights, plan.physical_to_logical, GPUS, 8)
    np.testing.assert_allclose(at_home + away, plan.gpu_load.reshape(3, 4, 4).sum(axis=2), rtol=1e-12)
    for table in (at_home + away, of_groups):
        np.testing.assert_allclose(table.sum(axis=1), weights.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(away[:2].sum(axis=1) / weights[:2].sum(axis=1), plan.off_home[:2], rtol=1e-12)
    # Whole groups on nodes: nothing is away, not even a rounding error.
    hierarchical = context.solve(weights, **SIZES).physical_to_logical
    assert not node_loads(weights, hierarchical, GPUS, 8).away.any()


@pytest.fixture
def file(tmp_path):
    np.savetxt(tmp_path / "weights.csv", sample_weights(3, 64), delimiter=",", fmt="%d")
    return tmp_path / "weights.csv"


OPTIONS = ["--slots", "80", "--gpus", "16", "--nodes", "4", "--groups", "8"]


def sentence(content, target):
    return (
        f"{content['off_home_mean']:.1%} of the load away from home; an imbalance of {target} takes at least "
        f"{content['off_home_bound_mean']:.1%}"
    )


def test_the_first_line_says_what_is_away(run, file, tmp_path):
    plan = tmp_path / "plan.npz"
    soft = ["--policy", "soft", "--off-home-target", "1.05"]
    content = json.loads(run("solve", file, *OPTIONS, *soft, "-o", plan, "--json")[1])
    assert (content["policy"], content["off_home_target"]) == ("soft", 1.05)
    assert content["off_home_mean"] == pytest.approx(np.mean(content["off_home"]))
    assert len(content["off_home_bound"]) == 3
    assert run("solve", file, *OPTIONS, *soft)[1].splitlines()[0] == sentence(content, 1.05)
    # The plan remembers policy and target.
    found = json.loads(run("evaluate", file, plan, "--json")[1])
    for name in ("policy", "off_home", "off_home_bound", "off_home_mean", "off_home_worst", "off_home_bound_mean"):
        assert found[name] == content[name]
    assert run("evaluate", file, plan)[1].splitlines()[0] == sentence(content, 1.05)
    other = json.loads(run("evaluate", file, plan, "--json", "--off-home-target", "1")[1])
    assert other["off_home_bound_mean"] > content["off_home_bound_mean"]
    next_plan = tmp_path / "next.npz"
    moved = json.loads(run("rebalance", file, "--current", plan, "-o", next_plan, "--json")[1])
    assert (moved["policy"], moved["off_home_target"]) == ("soft", 1.05)
    with np.load(next_plan, allow_pickle=False) as arrays:
        assert (str(arrays["policy"]), float(arrays["off_home_target"])) == ("soft", 1.05)
    assert run("rebalance", file, "--current", plan)[1].splitlines()[0] == sentence(moved, 1.05)
    moved = json.loads(run("rebalance", file, "--current", plan, "--off-home-target", "1.2", "--json")[1])
    assert moved["off_home_target"] == 1.2


@pytest.mark.parametrize("sizes", [["--groups", "8"], ["--nodes", "4", "--policy", "global"]])
def test_without_nodes_or_groups_nothing_is_said(run, file, tmp_path, sizes):
    arguments, plan = ["--slots", "80", "--gpus", "16", *sizes], tmp_path / "plan.npz"
    assert "home" not in run("solve", file, *arguments, "-o", plan)[1]
    assert "home" not in run("evaluate", file, plan)[1]
    assert "off_home" not in json.loads(run("evaluate", file, plan, "--json")[1])
    assert "home" not in run("compare", file, *arguments)[1]


def test_compare_has_a_row_for_soft(run, file):
    rows = json.loads(run("compare", file, *OPTIONS, "--json")[1])["strategies"]
    assert rows["best soft"]["policy"] == "soft"
    assert {row["policy"] for name, row in rows.items() if name != "best soft"} == {"hierarchical"}
    lines = run("compare", file, *OPTIONS)[1].splitlines()
    assert "worst layer  away from home: mean  " in lines[0]
    assert f"{rows['best soft']['off_home_mean']:.2%}  {rows['best soft']['off_home_worst']:.2%}" in lines[-1]
    # The placement before is one of nodes and groups, too: in order, each expert is at home.
    before, filled = (
        json.loads(run("compare", file, *OPTIONS, "--json")[1])[name] for name in ("before", "no_balancer")
    )
    assert before["off_home_mean"] == 0 < filled["off_home_mean"]
    # Where all are asked to be soft, one row says it.
    rows = json.loads(run("compare", file, *OPTIONS, "--policy", "soft", "--json")[1])["strategies"]
    assert "best soft" not in rows
    assert rows["best normal"]["policy"] == "soft"
    why = "--policy is 'soft', which strategy greedy does not have: 'best' and 'rebalance' do"
    assert rows["greedy"]["why"] == why
    assert f"greedy: {why}\n" in run("compare", file, *OPTIONS, "--policy", "soft")[1]


def test_command_refuses_a_target(run, file, tmp_path):
    code, out, err = run("solve", file, *OPTIONS, "--policy", "soft", "--off-home-target", "0.9")
    assert (code, out) == (2, "")
    assert "--off-home-target is 0.9" in err
    (tmp_path / "plan.json").write_text('{"physical_to_logical": [[0, 1]], "num_gpus": 2, "off_home_target": "1"}')
    assert "off_home_target must be a number" in run("evaluate", file, tmp_path / "plan.json")[2]


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("policy", ["soft", "global", "hierarchical"])
def test_picture_of_homes(run, tmp_path, windows, policy):
    pytest.importorskip("matplotlib")
    weights = np.stack([sample_weights(2, 64, seed) for seed in (1, 2)])
    weights[:, 1] = 0
    np.save(tmp_path / "weights.npy", weights if windows else weights[0])
    heights = []
    for sizes in (["--nodes", "4", "--groups", "8", "--policy", policy], []):
        path = tmp_path / f"{len(sizes)}.png"
        assert run("solve", tmp_path / "weights.npy", "--slots", 80, "--gpus", 16, *sizes, "--picture", path)[0] == 0
        heights.append(int.from_bytes(path.read_bytes()[20:24], "big"))
    # A panel more.
    assert heights[0] > heights[1] + 200
