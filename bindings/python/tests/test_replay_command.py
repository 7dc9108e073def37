"""eplb replay: what it says, writes and draws, of loads that are made up here."""

import importlib.util
import json

import eplb
import numpy as np
import pytest
from eplb.sample import sample_weights

pytest.importorskip("typer")
pytest.importorskip("rich")

from test_command import refused

SIZES = ["--slots", "24", "--gpus", "4"]
NAMES = ["never", "pays,memory=3,effort=fast", "fresh,memory=1,objective=sum"]
RULES = [*(word for name in NAMES for word in ("--rule", name)), "--warm-up", "3"]
UNPRICED = (
    "pays assumes 1 ms for a move and 50 ms for a layer in a window: give --move-ms, or --expert-mib with --bandwidth; "
    "and --layer-ms"
)


@pytest.fixture
def series(tmp_path):
    """12 windows of 3 layers; the hot experts change every third one, and layer 1 has no load in the last."""
    path = tmp_path / "series.npz"
    windows = np.stack([sample_weights(3, 16, 1 + number // 3) for number in range(12)])
    windows[11, 1] = 0
    np.savez(path, counts=windows)
    return path


def rows_of(out):
    """The cells of the table, by rule."""
    rules = NAMES
    found = {}
    for line in out.splitlines():
        rule = next((each for each in rules if line.startswith(f"{each} ")), None)
        if rule is not None:
            found[rule] = line[len(rule) :].split()
    return found


def test_table(run, series):
    code, out, err = run("replay", series, *SIZES, *RULES)
    assert code == 0
    assert "pays assumes 1 ms for a move and 50 ms for a layer" in err
    lines = out.splitlines()
    assert lines[0] == "series.npz: windows 3 to 11 of 12 judged, 3 layers"
    columns = ("imbalance", "p95", "worst", "predicted", "gain kept", "moves/layer", "changes")
    assert lines[1].split() == " ".join(columns).split()
    assert list(rows_of(out)) == NAMES
    assert lines[5] == "Layers without load in a window, left out of the means: 1."
    assert lines[6].startswith("Best: ")
    assert out.isascii()


def test_tokens_split(run, series):
    """Columns after the imbalance, and a sentence of the best rule; figures are those of eplb.replay."""
    rules = ["--rule", "never", "--warm-up", "3", "--split"]
    code, out, _ = run("replay", series, *SIZES, *rules)
    assert code == 0
    windows = np.load(series)["counts"]
    found = eplb.replay(windows, ["never"], num_slots=24, num_gpus=4, warm_up=3, splits=True)
    heading, row, *_, last = out.splitlines()[1:]
    assert "worst  split in step  by last window  by decayed  predicted" in heading
    best = found.best
    splits = best.split_in_step, best.split_last_window, best.split_decayed
    assert row.split()[4:7] == [f"{each:.4f}" for each in splits]
    assert last == found.sentences()[-1]
    # The topic changes after every third window: the last one is mostly of the same, those before are not.
    assert best.split_in_step < best.split_last_window < best.imbalance_mean < best.split_decayed
    assert f"by the last window {best.split_last_window:.4f}, " in last
    assert f"by decayed windows {best.split_decayed:.4f} (worse than evenly)" in last
    code, out, _ = run("replay", series, *SIZES, *rules, "--json")
    assert json.loads(out)["rules"][0]["split_in_step"] == best.split_in_step


def test_without_prices_pays_says_how_to_give_them(run, series):
    _, _, err = run("replay", series, *SIZES, "--rule", "pays", "--bandwidth", 50)
    assert UNPRICED in err
    assert "--bandwidth says nothing without --expert-mib" in err
    _, _, err = run("replay", series, *SIZES, "--rule", "pays,move_ms=7", "--rule", "never")
    assert "pays assumes 50 ms for a layer in a window: give --layer-ms" in err
    priced = ("--expert-mib", 10, "--layer-ms", 100, "--bandwidth", 50)
    assert run("replay", series, *SIZES, "--rule", "pays", *priced)[2] == ""


def test_table_is_that_of_the_function(run, series):
    costs = {"expert_mib": 10, "bandwidth": 5, "layer_ms": 100}
    options = [word for name, value in costs.items() for word in (f"--{name.replace('_', '-')}", value)]
    code, out, err = run("replay", series, *SIZES, "--nodes", 2, *RULES, *options)
    assert (code, err) == (0, "")
    loads = eplb.read_loads(series)
    found = eplb.replay(loads, NAMES, num_slots=24, num_gpus=4, num_nodes=2, warm_up=3, **costs)
    assert "; a move costs 0.02097 of imbalance in one window\n" in out
    rows = rows_of(out)
    for outcome in found.outcomes:
        came = f"{outcome.gain_came / outcome.gain_predicted:.0%}" if outcome.gain_predicted else "-"
        assert rows[outcome.rule] == [
            f"{outcome.imbalance_mean:.4f}",
            f"{outcome.imbalance_p95:.3f}",
            f"{outcome.imbalance_worst:.3f}",
            f"{outcome.predicted_mean:.4f}",
            came,
            f"{outcome.moves_per_layer:.3f}",
            str(outcome.changes),
            str(outcome.moves_between_nodes),
            f"{outcome.bytes / 2**30:.1f}",
            f"{outcome.stall_ms / 1000:.2f}",
            "s",
            f"{outcome.cost:.4f}",
        ]
    assert out.splitlines()[-1].startswith(found.verdict())


def test_json(run, series):
    code, out, err = run("replay", series, *SIZES, *RULES, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [each["rule"] for each in found["rules"]] == NAMES
    assert found["best"] in RULES
    assert found["windows"] == list(range(3, 12))
    assert found["warnings"] == [UNPRICED]


def test_layers_have_their_own_numbers(run, tmp_path):
    """The dense layers of a model have no load and are left out: the worst one has the model's number."""
    path = tmp_path / "series.npz"
    windows = np.zeros((4, 5, 16), np.int64)
    windows[:, 3:] = [sample_weights(2, 16, seed) for seed in range(4)]
    np.savez(path, logical_count=windows)
    code, out, _ = run("replay", path, *SIZES, "--rule", "never", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["layers"] == [3, 4]
    assert found["rules"][0]["worst_layer"] in (3, 4)


def test_default_rules(json_of, series):
    found = json_of("replay", series, *SIZES, "--layer-ms", 50, "--move-ms", 1)
    names = [each["rule"].split(",")[0] for each in found["rules"]]
    assert names == ["never", "fresh", "rebalance", "rebalance", "pays"]
    assert found["costs"]["price"] == 0.02


def test_goes_on(run, series, tmp_path):
    path = tmp_path / "run.jsonl"
    arguments = ["replay", series, *SIZES, *RULES, "-o", path]
    whole = run(*arguments)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert run(*arguments) == whole
    assert path.read_bytes() == content
    sentence = refused(run(*arguments, "--warm-up", 2))
    assert sentence == f"{path}: was written with warm_up 3, which is now 2: give the output another name"


def test_windows_added_up(run, series):
    code, out, err = run("replay", series, *SIZES, "--rule", "never", "--together", 5)
    assert (code, err) == (0, f"eplb: {series}: 5 windows are added up to one, and the last 2 of 12 left out\n")
    assert out.splitlines()[0] == "series.npz: window 1 of 2 judged, 3 layers"
    counts = eplb.read_loads(series).counts
    added = np.stack([counts[:5].sum(axis=0), counts[5:10].sum(axis=0)])
    found = eplb.replay(added, ["never"], num_slots=24, num_gpus=4)
    assert f" {found.outcomes[0].imbalance_mean:.4f} " in out


def test_from_a_plan(run, series, json_of, tmp_path):
    plan = tmp_path / "plan.npz"
    assert run("solve", series, *SIZES, "--nodes", 2, "--groups", 4, "--policy", "soft", "-o", plan)[0] == 0
    found = json_of("replay", series, "--current", plan, "--warm-up", 1, "--rule", "never")
    with eplb.Context() as context:
        loads = eplb.read_loads(series).counts
        reports = [context.evaluate(eplb.read_placement(plan), each, num_gpus=4) for each in loads[1:]]
    known = np.concatenate([each.imbalance[loads[1 + at].any(axis=1)] for at, each in enumerate(reports)])
    assert found["rules"][0]["imbalance_mean"] == pytest.approx(known.mean())
    assert found["rules"][0]["off_home_mean"] > 0


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="no matplotlib")
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_picture(run, series, tmp_path, suffix):
    named = series.rename(tmp_path / "a$b_{1$.npz")
    picture = tmp_path / f"life.{suffix}"
    code, _, err = run("replay", named, *SIZES, *RULES, "--move-ms", 1, "--layer-ms", 50, "--picture", picture)
    assert (code, err) == (0, "")
    beginning = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert picture.read_bytes().startswith(beginning)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give --gpus and --slots, or --current with a plan that has them"),
        (["--slots", "24"], "give --gpus and --slots"),
        (["--gpus", "4"], "give --slots, or --redundant"),
        (["--slots", "24", "--current", "plan.npz"], "--slots 24: the plan of --current has slots: leave it out"),
        ([*SIZES, "--rule", "often"], "--rule is 'often': 'often' is no rule"),
        ([*SIZES, "--rule", "never", "--rule", "never"], "the rule 'never' is given twice"),
        ([*SIZES, "--warm-up", "12"], "--warm-up is 12, must be 1 to 11"),
        ([*SIZES, "--together", "7"], "12 windows, 7 added up to one: a replay needs 2 or more"),
        ([*SIZES, "--bandwidth", "0"], "--bandwidth is 0.0, must be a number above 0"),
        ([*SIZES, "-o", "nowhere/run.jsonl"], "there is no folder nowhere"),
        ([*SIZES, "--picture", "life.gif"], "a picture is written as png, svg, pdf"),
    ],
)
def test_refused(run, series, arguments, sentence):
    assert sentence in refused(run("replay", series, *arguments))


def test_inputs_are_safe(run, series, tmp_path):
    before = series.read_bytes()
    assert "is an input of this command" in refused(run("replay", series, *SIZES, "-o", series))
    plan = tmp_path / "plan.npz"
    assert run("solve", series, *SIZES, "-o", plan)[0] == 0
    assert "is an input of this command" in refused(run("replay", series, "--current", plan, "-o", plan))
    other = tmp_path / "notes.txt"
    other.write_text("mine\n")
    assert "is not what a replay has written" in refused(run("replay", series, *SIZES, "-o", other))
    assert (series.read_bytes(), other.read_text()) == (before, "mine\n")


def test_one_window(run, series, tmp_path):
    path = tmp_path / "one.npy"
    np.save(path, sample_weights(3, 16))
    assert refused(run("replay", path, *SIZES)) == f"{path}: 1 window: a replay needs 2 or more to compare"


def test_bad_loads(run, tmp_path):
    path = tmp_path / "bad.npy"
    windows = np.ones((4, 2, 16))
    windows[3, 1, 5] = -1
    np.save(path, windows)
    assert str(path) in refused(run("replay", path, *SIZES))
