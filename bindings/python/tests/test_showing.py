"""What objects show when they are printed, and at the end of a cell of a notebook."""

import copy
import dataclasses

import eplb
import numpy as np
import pytest
from conftest import PAIRS, ROOT
from html_tables import Page, page_of
from invariants import check_plan

DATA = ROOT / "examples" / "data"
FILES = [DATA / f"olmoe-1b-7b_{name}_L3xE64.csv" for name in ("allenai", "github")]
SIZES = {"num_slots": 80, "num_gpus": 16}


@pytest.fixture
def loads():
    return eplb.read_loads(FILES)


def test_report(context, olmoe):
    plan = context.solve(olmoe, **SIZES)
    check_plan(olmoe, plan, SIZES)
    report = plan.report
    page = page_of(report)
    assert page.caption == "Report of 3 layers"
    assert len(page.rows) == 2
    _, *figures, time = page.rows[1]
    assert [page.rows[1][0], *figures] == [
        "best",
        f"{report.imbalance_mean:.4f}",
        f"{report.imbalance_worst:.4f}",
        f"{report.gap_mean:.3%}",
        f"{report.gap_worst:.3%}",
        str(report.duplicates),
    ]
    assert time == f"{report.microseconds / 1000:.2f} ms"
    order = np.argsort(-report.imbalance, kind="stable")
    worst = ", ".join(f"{layer} ({report.imbalance[layer]:.4f})" for layer in order)
    assert f"The worst layers are {worst}." in page.sentences
    assert f"no placement gets below {report.bound_mean:.3f}x." in page.sentences[-1]
    # One window, one node and no move have nothing to say.
    assert len(page.sentences) == 2


def test_a_plan_shows_the_columns_of_the_command(run, context, loads):
    pytest.importorskip("typer")
    _, out, _ = run("solve", *FILES, "--slots", 80, "--gpus", 16)
    printed = next(line for line in out.splitlines() if line.startswith("best"))
    columns = next(line for line in out.splitlines() if "imbalance: mean" in line)
    page = page_of(context.solve(loads, **SIZES))
    # All but the time.
    assert printed.split()[:-2] == page.rows[1][:-1]
    assert columns.split() == " ".join(page.rows[0]).split()


def test_windows_homes_and_moves_if_any(context, loads):
    problem = {**SIZES, "num_nodes": 4, "num_groups": 8, "policy": "soft"}
    plan = context.solve(loads, **problem)
    check_plan(loads, plan, problem)
    report, page = plan.report, page_of(plan)
    assert page.caption == "Plan: 3 layers, 80 slots of 16 GPUs on 4 nodes, policy soft"
    of_windows = plan.window_imbalance.mean(axis=0)
    assert page.sentences[0] == (
        f"2 windows, summed; alone: mean {report.windows_mean:.3f}, mean of the worst {of_windows.max():.3f} "
        f"(window {of_windows.argmax()})."
    )
    assert page.sentences[1] == (
        f"{report.off_home_mean:.1%} of the load away from home; an imbalance of 1.01 takes at least "
        f"{report.off_home_bound_mean:.1%}."
    )
    plan = context.rebalance(loads.counts[1], plan, num_nodes=4, max_moves=4)
    page = page_of(plan)
    assert page.sentences[0] == f"{plan.report.moves} moves in {plan.report.layers_changed} layers."
    assert page_of(plan.report).caption == f"Report of 3 layers on 4 nodes, policy {plan.report.policy}"


def test_of_what_homes_are(context, olmoe):
    plan = context.solve(olmoe, **SIZES, num_nodes=4, num_groups=8, policy="soft", off_home_target=1.05)
    other = context.evaluate(plan, num_nodes=2, num_groups=4, policy="global", off_home_target=1.5)
    for report, expected in ((plan.report, (4, 8, 1.05)), (other, (2, 4, 1.5))):
        assert (report.num_nodes, report.num_groups, report.off_home_target) == expected
    # Read late, it is the same.
    late = context.solve(olmoe, **SIZES, num_nodes=4, num_groups=8, policy="soft", off_home_target=1.05)
    context.upload(PAIRS)
    assert (late.report.num_nodes, late.report.num_groups, late.report.off_home_target) == (4, 8, 1.05)


def test_evaluation(context, olmoe):
    plan = context.solve(olmoe, **SIZES)
    found = context.evaluate(plan, olmoe[:, ::-1].copy())
    page = page_of(found)
    assert page.caption == "Evaluation of 3 layers"
    assert page.row("placement")["imbalance: mean"] == f"{found.imbalance_mean:.4f}"
    # Nothing was solved.
    assert page.row("placement")["time"] == "-"


def test_moves(context, olmoe):
    plan = context.solve(olmoe, **SIZES)
    plan = context.rebalance(olmoe[:, ::-1].copy(), plan, num_nodes=4, max_moves=4)
    table, page = plan.moves.table(), page_of(plan.moves)
    total = page.row("all layers")
    assert total == {
        "moves": str(plan.report.moves),
        "between nodes": str((table["kind"] == 2).sum()),
        "reloads": str((table["kind"] == 3).sum()),
        "rounds": str(plan.report.rounds),
    }
    assert page.row("layer 1")["moves"] == str(plan.moves.count[1])
    # Layers that stay as they are have no row.
    assert len(page_of(context.rebalance(olmoe, plan, max_moves=0).moves).rows) == 2


def test_loads(loads):
    page = page_of(loads)
    assert page.row("windows") == "2"
    assert page.row("layers") == "3: 0 to 2"
    assert page.row("experts") == "64"
    assert int(page.row("tokens routed").replace(",", "")) == loads.counts.sum()
    assert page.row("source") == loads.source
    share = loads.counts.sum(axis=0) / loads.counts.sum(axis=(0, 2))[:, np.newaxis]
    layer, expert = np.unravel_index(share.argmax(), share.shape)
    assert page.row("heaviest expert").startswith(f"expert {expert} of layer {layer}, {64 * share.max():.1f}x the mean")


def test_layers_without_load(loads, tmp_path):
    counts = loads.counts[0].copy()
    counts[1] = 0
    np.save(tmp_path / "counts.npy", counts)
    found = eplb.read_loads(tmp_path / "counts.npy")
    page = page_of(found)
    assert page.row("layers without load") == "1"
    assert page.sentences == list(found.notes)
    assert found.notes
    left_out = dataclasses.replace(loads, left_out=np.array([3, 4, 5, 9]))
    assert page_of(left_out).row("layers left out") == "3 to 5, 9"


def test_loads_are_taken_where_weights_are(context, loads):
    plan = context.solve(loads, **SIZES)
    assert np.array_equal(plan.physical_to_logical, context.solve(loads.counts, **SIZES).physical_to_logical)
    assert np.asarray(loads) is loads.counts
    assert np.array(loads, copy=True) is not loads.counts
    assert np.asarray(loads, np.float32).dtype == np.float32


def test_placement(context, olmoe, tmp_path):
    context.solve(olmoe, **SIZES).save(tmp_path / "plan.npz", first_layer=3)
    placement = eplb.read_placement(tmp_path / "plan.npz")
    page = page_of(placement)
    assert page.row("layers") == "3: 3 to 5"
    assert page.row("experts") == "64"
    assert page.row("GPUs") == "16"
    most = max(np.bincount(row).max() for row in placement.physical_to_logical)
    assert page.row("most replicas of an expert") == str(most)
    bare = page_of(eplb.Placement([[0, 1, -1, 0]]))
    assert [bare.row(name) for name in ("layers", "experts", "GPUs", "empty slots")] == [
        "1, without numbers",
        "2 or more",
        "not known",
        "1",
    ]


def test_what_comes_from_outside_is_escaped(loads):
    name = '<script>alert("&amp;")</script>'
    page = Page(dataclasses.replace(loads, source=name, notes=(name,))._repr_html_())
    assert page.row("source") == name
    assert page.sentences == [name]
    assert "script" not in page.tags
    placement = eplb.Placement([[0, 1]], problem={name: name})
    assert Page(placement._repr_html_()).row(name) == name


def test_a_short_word_for_each(context, olmoe, calls):
    plan = context.solve(olmoe, **SIZES)
    before = calls.copy()
    assert repr(plan) == "Plan(3 layers, 80 slots of 16 GPUs)"
    # Nobody has asked for more.
    assert calls == before
    assert repr(copy.copy(plan)) == repr(plan)
