"""A comparison of all ways to solve a problem, and that the command prints the same."""

import eplb
import numpy as np
import pytest
from conftest import ROOT
from html_tables import page_of
from invariants import check_plan

FILES = [ROOT / "examples" / "data" / f"olmoe-1b-7b_{name}_L3xE64.csv" for name in ("allenai", "github")]
SIZES = {"num_slots": 80, "num_gpus": 16}


@pytest.fixture
def loads():
    return eplb.read_loads(FILES)


def test_comparison(context, loads):
    sizes = {**SIZES, "num_nodes": 4, "num_groups": 8}
    comparison = eplb.compare(loads, **sizes, num_threads=2)
    page = page_of(comparison)
    assert repr(comparison) == str(comparison)
    names = [name for name, *_ in page.rows[1:]]
    assert names == ["before", "no balancer", *comparison.rows]
    assert {"greedy", "best fast", "best normal", "best max", "best windows", "best soft"} <= set(names)
    for name, report in comparison.rows.items():
        row = page.row(name)
        assert row["imbalance: mean"] == f"{report.imbalance_mean:.4f}"
        assert row["in a window: mean"] == f"{report.windows_mean:.4f}"
        assert row["away from home: mean"] == f"{report.off_home_mean:.2%}"
    assert comparison.rows[comparison.best].imbalance_mean == min(
        report.imbalance_mean for report in comparison.rows.values()
    )
    assert (
        page.sentences[0]
        == f"The lowest imbalance is that of {comparison.best}, in single windows that of best windows."
    )
    best = comparison.options[comparison.best]
    plan = context.solve(loads, **best)
    check_plan(loads, plan, best)
    assert plan.report.imbalance_mean == comparison.rows[comparison.best].imbalance_mean
    content = comparison.to_dict()
    assert content["strategies"]["greedy"] == comparison.rows["greedy"].to_dict()
    assert content["before"]["imbalance"] == context.evaluate([list(range(64))] * 3, policy="global").imbalance.tolist()
    assert content["no_balancer"]["imbalance_mean"] > 1.3


def test_comparison_of_the_command(json_of, loads):
    pytest.importorskip("typer")
    of_command = json_of("compare", *FILES, "--slots", 80, "--gpus", 16)["strategies"]
    of_python = eplb.compare(loads, **SIZES).to_dict()["strategies"]
    for row in (*of_command.values(), *of_python.values()):
        # What need not be the same.
        del row["microseconds"], row["context_bytes"]
    assert of_command == of_python


def test_comparison_with_refusals(olmoe):
    comparison = eplb.compare(olmoe, **SIZES, max_replicas=2)
    assert "max_replicas" in comparison.refused["greedy"]
    page = page_of(comparison)
    assert f"greedy: {comparison.refused['greedy']}" in page.sentences
    assert comparison.to_dict()["strategies"]["greedy"] == {"why": comparison.refused["greedy"]}
    assert "greedy" not in [row[0] for row in page.rows]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_slots": 81}, "num_slots is 81, must be a multiple of num_gpus = 16"),
        ({"num_nodes": 0}, "num_nodes is 0"),
        ({"num_groups": "8"}, "num_groups is '8', must be an integer"),
        ({"policy": "good"}, "policy is 'good'"),
    ],
)
def test_what_all_rows_refuse(olmoe, changes, sentence):
    with pytest.raises(eplb.InvalidArgument, match=sentence):
        eplb.compare(olmoe, **{**SIZES, **changes})


def test_weights_that_cannot_be_compared(olmoe):
    olmoe[1, 3] = np.nan
    with pytest.raises(eplb.InvalidWeight, match="layer 1, expert 3"):
        eplb.compare(olmoe, **SIZES)
