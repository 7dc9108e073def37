"""Sweeps, budgets, replays and rebalancers show and draw themselves as their commands show and draw them."""

import eplb
import numpy as np
import pytest
from conftest import ROOT
from html_tables import page_of

DATA = ROOT / "examples" / "data"
FILES = [DATA / f"olmoe-1b-7b_{name}_L3xE64.csv" for name in ("allenai", "github", "allenai")]
SIZES = {"num_slots": 80, "num_gpus": 16}
RULES = ["never", "rebalance,memory=1"]


def swept(loads):
    return eplb.sweep(loads, [8, 16], [0, 16], expert_mib=12)


def shared(loads):
    return eplb.plan_budget(loads, 210, 16, expert_mib=12)


def replayed(loads):
    return eplb.replay(loads, RULES, **SIZES, expert_mib=12, bandwidth=25, layer_ms=50)


COMMANDS = {
    swept: ["sweep", "--gpus", "8,16", "--redundant", "0,16", "--expert-mib", 12],
    shared: ["sweep", "--gpus", 16, "--total-slots", 210, "--expert-mib", 12],
    replayed: [
        *["replay", "--slots", 80, "--gpus", 16, "--rule", RULES[0], "--rule", RULES[1]],
        *["--expert-mib", 12, "--bandwidth", 25, "--layer-ms", 50],
    ],
}


@pytest.fixture
def loads():
    return eplb.read_loads(FILES)


@pytest.mark.parametrize("make", COMMANDS)
def test_objects_show_what_commands_print(run, loads, make):
    pytest.importorskip("typer")
    found = make(loads)
    name, *options = COMMANDS[make]
    code, out, _ = run(name, *FILES, *options)
    assert code == 0
    head, *below = str(found).splitlines()
    kind, about = head.split(": ", 1)
    assert kind == type(found).__name__
    assert out.splitlines() == [f"3 files: {about}", *below]
    page = page_of(found)
    assert page.caption == head
    assert [tuple(row) for row in page.rows] == found.table()
    assert page.sentences == found.sentences()


@pytest.mark.parametrize("make", COMMANDS)
def test_they_draw_themselves(run, loads, make, tmp_path):
    pytest.importorskip("typer")
    pytest.importorskip("matplotlib")
    name, *options = COMMANDS[make]
    assert run(name, *FILES, *options, "--picture", tmp_path / "command.png")[0] == 0
    figure = make(loads).draw(tmp_path / "object.png", title="3 files")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert (tmp_path / "object.png").read_bytes() == (tmp_path / "command.png").read_bytes()
    with pytest.raises(eplb.FileError, match="a picture is written as png, svg, pdf"):
        make(loads).draw(tmp_path / "object.gif")


def test_layers_of_a_budget_are_those_of_the_loads(tmp_path):
    counts = np.zeros((2, 4, 16), np.int64)
    counts[:, 1:] = np.arange(1, 17)
    np.savez(tmp_path / "loads.npz", logical_count=counts)
    budget = eplb.plan_budget(eplb.read_loads(tmp_path / "loads.npz"), 60, 4)
    assert budget.layers.tolist() == [1, 2, 3]
    assert budget.used_slots == budget.layer_slots.sum() <= budget.total_slots == 60


def test_a_rebalancer(loads):
    with eplb.Context() as context:
        plan = context.solve(loads.counts[0], **SIZES)
        rebalancer = eplb.Rebalancer("rebalance,memory=1", plan, context=context)
        rebalancer.observe(loads.counts[1])
        proposed = rebalancer.propose()
    facts = [
        ["rule", "rebalance,memory=1"],
        ["windows seen", "1"],
        ["windows remembered", "1, at most 1"],
        ["proposed", f"{proposed.moves.count.sum()} moves"],
    ]
    page = page_of(rebalancer)
    assert page.caption == "Rebalancer: 3 layers, 80 slots of 16 GPUs"
    assert page.rows == facts
    rebalancer.commit(proposed)
    assert "proposed            nothing" in str(rebalancer)


def test_of_many_windows_only_the_sum_is_shown():
    """The library keeps 64; figures of single ones are not known of more."""
    windows = np.random.default_rng(0).integers(1, 100, (65, 2, 16))
    assert "in a window: mean" in eplb.sweep(windows[:64], 4, 4).table()[0]
    assert "in a window: mean" not in eplb.sweep(windows, 4, 4).table()[0]


@pytest.mark.parametrize("objective", ["sum", "SUM", "windows", "WINDOWS"])
def test_objectives_in_any_case(run, objective):
    pytest.importorskip("typer")
    code, out, err = run("solve", *FILES, "--slots", 80, "--gpus", 16, "--objective", objective)
    assert code == 0
    in_windows = objective.lower() == "windows"
    assert ("3 windows, summed; alone: " in err) != in_windows
    assert ("3 windows, each balanced; alone: " in out) == in_windows
