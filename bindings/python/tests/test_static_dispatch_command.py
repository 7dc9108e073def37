"""The command evaluate with --static-dispatch: its columns, sentences and JSON are those of Context.static_dispatch."""

import eplb
import numpy as np
import pytest
from test_command import CLUSTER, OLMOE, refused

pytest.importorskip("typer")


def test_evaluate_with_static_dispatch(run, json_of, tmp_path):
    """Without swaps, and after any number."""
    plan, other = tmp_path / "plan.npz", OLMOE.replace("allenai", "github")
    assert run("solve", OLMOE, *CLUSTER, "-o", plan)[0] == 0
    code, out, _ = run("evaluate", other, plan, "--static-dispatch")
    assert code == 0
    weights, placement = np.loadtxt(other, delimiter=","), eplb.read_placement(plan)
    plain, swapped = (eplb.static_dispatch(weights, placement, max_swaps=swaps) for swaps in (0, None))
    heading, row, *sentences = out.splitlines()
    assert "worst layer  static dispatch: mean  worst layer  after swaps: mean  worst layer  gap: mean" in heading
    figures = plain.imbalance_mean, plain.imbalance_worst, swapped.imbalance_mean, swapped.imbalance_worst
    assert row.split()[3:7] == [f"{figure:.4f}" for figure in figures]
    assert swapped.imbalance_mean < plain.imbalance_mean
    assert sentences == [*plain.sentences(), swapped.sentences()[-1]]
    found = json_of("evaluate", other, plan, "--static-dispatch", "--split", "--ranks", 5)
    plain, swapped = (eplb.static_dispatch(weights, placement, max_swaps=swaps, num_ranks=5) for swaps in (0, None))
    assert found["static_dispatch"] == plain.to_dict()
    assert found["static_dispatch_after_swaps"] == swapped.to_dict()
    assert found["split"] == eplb.split_tokens(weights, placement).to_dict()
    assert not {"static_dispatch", "static_dispatch_after_swaps"} & set(json_of("evaluate", other, plan, "--split"))
    err = refused(run("evaluate", other, plan, "--static-dispatch", "--ranks", 5000))
    assert "--ranks is 5000, must be 1 to 4096" in err
    assert "--ranks 5: goes with --static-dispatch" in refused(run("evaluate", other, plan, "--ranks", 5))


def test_evaluate_of_groups_with_static_dispatch(json_of, run, tmp_path):
    """Nodes and groups that the plan's file knows: swaps keep them."""
    plan, groups = tmp_path / "plan.npz", {"num_nodes": 4, "num_groups": 8, "policy": "hierarchical"}
    assert run("solve", OLMOE, *CLUSTER, "--nodes", 4, "--groups", 8, "-o", plan)[0] == 0
    weights, placement = np.loadtxt(OLMOE, delimiter=","), eplb.read_placement(plan)
    expected = eplb.static_dispatch(weights, placement, **groups, max_swaps=None)
    found = json_of("evaluate", OLMOE, plan, "--static-dispatch")["static_dispatch_after_swaps"]
    assert found == expected.to_dict()
    assert found != eplb.static_dispatch(weights, placement, num_nodes=4, max_swaps=None).to_dict()
