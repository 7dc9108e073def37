"""Errors name arguments as the caller does: those of Python, of the published function, or options of the command."""

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from test_command import CLUSTER, OLMOE, refused

pytest.importorskip("typer")
pytest.importorskip("rich")

SIZES = {"num_slots": 16, "num_gpus": 8}


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (
            {"objective": "windows", "strategy": "greedy"},
            eplb.Unavailable,
            "objective is 'windows', which strategy greedy does not have: 'best' and 'rebalance' do",
        ),
        ({"bound": "node"}, eplb.InvalidArgument, "bound is 'node', must be one of simple, threshold"),
        (
            {"strategy": "rebalance"},
            eplb.InvalidState,
            "there is no current placement to rebalance: give current",
        ),
        ({"off_home_target": 0}, eplb.InvalidArgument, "off_home_target is 0, must be 1 to 1024"),
    ],
)
def test_python(context, change, kind, text):
    with pytest.raises(kind) as raised:
        context.solve(PAIRS, **{**SIZES, **change})
    assert str(raised.value) == text


def test_what_was_not_given(context):
    with pytest.raises(eplb.InvalidState, match="^there are no weights: give them, or call upload first$"):
        context.solve(None, **SIZES)
    prices = np.ones((4, 8))
    with pytest.raises(eplb.InvalidArgument, match="prices for 4 nodes: give others, or none$"):
        context.solve(PAIRS, **SIZES, num_nodes=2, num_groups=2, policy="soft", prices=prices)


@pytest.mark.parametrize("call", [eplb.rebalance_experts, eplb.place])
@pytest.mark.parametrize(
    ("weight", "sizes", "text"),
    [
        (PAIRS, (17, 1, 1, 8), "num_replicas is 17, must be a multiple of num_gpus = 8 (16 or 24)"),
        (PAIRS, ("16", 1, 1, 8), "num_replicas is '16', must be an integer"),
        ([[1, np.nan]], (2, 1, 1, 2), "weight[layer 0, expert 1] is NaN"),
        ([[True, False]], (2, 1, 1, 2), "weight has dtype bool, must be "),
    ],
)
def test_the_published_function(call, weight, sizes, text):
    with pytest.raises(eplb.Error) as raised:
        call(weight, *sizes)
    assert str(raised.value).startswith(text)
    assert raised.value.status in ("EPLB_INVALID_ARGUMENT", "EPLB_INVALID_WEIGHT")


@pytest.mark.parametrize("command", ["solve", "compare"])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--slots", 81], "--slots is 81, must be a multiple of --gpus = 16 (80 or 96)"),
        (["--slots", 32], "--slots is 32, must be at least the number of experts = 64 (64)"),
        (["--gpus", 0], "--gpus is 0, must be at least 1"),
        (["--nodes", 0], "--nodes is 0, must be at least 1"),
        (["--policy", "hard"], "--policy is 'hard', must be one of auto, hierarchical, global, soft"),
        (["--bound", "node"], "--bound is 'node', must be one of simple, threshold"),
        (["--seed", -1], "--seed is -1, must be 0 to 18446744073709551615"),
        (["--threads", 0], "--threads is 0, must be at least 1"),
        (["--device", "gpu"], "--device is 'gpu', must be one of cpu, cuda, or like 'cuda:1'"),
        (["--max-replicas", 1], "--max-replicas is 1, too few: 80 slots of 64 experts need at least 2"),
        (["--off-home-target", 0.5], "--off-home-target is 0.5, must be 1 to 1024"),
    ],
)
def test_options(run, command, options, text):
    assert refused(run(command, OLMOE, *CLUSTER, *options)) == text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--objective", "peak"], "--objective is 'peak', must be one of sum, windows, split"),
        (["--nodes", 3, "--groups", 3], "the number of experts is 64, must be a multiple of --groups = 3 (63 or 66)"),
        (["--effort", "most"], "--effort is 'most', must be one of fast, normal, max"),
        (
            ["--strategy", "rebalance"],
            "--strategy rebalance: starts from a placement, as eplb rebalance --current PLAN does",
        ),
    ],
)
def test_options_of_solve(run, options, text):
    assert refused(run("solve", OLMOE, *CLUSTER, *options)) == text


@pytest.fixture
def plan(run, tmp_path):
    assert run("solve", OLMOE, *CLUSTER, "-o", tmp_path / "plan.npz")[0] == 0
    return tmp_path / "plan.npz"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--max-moves", -1], "--max-moves is -1, must be at least 0"),
        (["--max-arrivals", 0], "--max-arrivals is 0, must be at least 1 (--max-moves=0 forbids moves)"),
        (["--target", 0.5], "--target is 0.5, must be 0 for none, or 1 to 1024"),
        (["--move-price", -1], "--move-price is -1.0, must be 0 to 1024"),
        (["--transfer-order", "any"], "--transfer-order is 'any', must be one of buffered, in_place, exclusive"),
        (["--max-replicas", 1], "--max-replicas is 1, too few: 80 slots of 64 experts need at least 2"),
    ],
)
def test_options_of_rebalance(run, plan, options, text):
    assert refused(run("rebalance", OLMOE, "--current", plan, *options)) == text


def test_forced_moves(run, plan):
    said = refused(run("rebalance", OLMOE, "--current", plan, "--dead", 3, "--max-moves", 0))
    assert said.startswith("--max-moves is 0, but layer ")


def test_what_is_no_option_is_said_in_words(run, plan):
    said = refused(run("evaluate", OLMOE, plan, "--gpus", 15))
    assert said == "the number of slots is 80, must be a multiple of --gpus = 15 (75 or 90)"


@pytest.mark.parametrize(
    ("option", "values", "text"),
    [
        ("--speeds", [1] * 15 + [0], "speed[15] is 0.0, must be positive and finite: a GPU that is gone has 0 slots"),
        ("--gpu-slots", [5] * 15 + [6], "GPU 15 has 6 slots, but the plan has room for 5"),
    ],
)
def test_files_by_gpu_are_named(run, plan, tmp_path, option, values, text):
    (tmp_path / "gpus.csv").write_text(",".join(map(str, values)) + "\n")
    said = refused(run("rebalance", OLMOE, "--current", plan, option, tmp_path / "gpus.csv"))
    assert said == f"{tmp_path / 'gpus.csv'}: {text}"
