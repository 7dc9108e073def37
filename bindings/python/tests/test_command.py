"""The command: what it writes, where, and with which exit code."""

import json
import os
import pty
import re
import subprocess
import sys

import eplb
import numpy as np
import pytest
from conftest import FROM_WEIGHTS, ROOT, child_environment

pytest.importorskip("typer")
pytest.importorskip("rich")


OLMOE = str(ROOT / "examples" / "data" / "olmoe-1b-7b_allenai_L3xE64.csv")
CLUSTER = ["--slots", "80", "--gpus", "16"]


def refused(answer):
    """The sentence of a refusal, which is all that there is."""
    code, out, err = answer
    assert (code, out) == (2, "")
    assert err.startswith("eplb: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err[len("eplb: ") : -1]


def test_solve(run):
    code, out, err = run("solve", OLMOE, *CLUSTER)
    assert (code, err) == (0, "")
    assert "3 layers, 64 experts on 80 slots of 16 GPUs" in out
    assert "before" in out
    assert "The busiest GPU carries 1.0" in out
    # A pipe gets no bars, boxes or colours.
    assert out.isascii()
    assert "\x1b" not in out


def test_solve_json(run):
    code, out, err = run("solve", OLMOE, *CLUSTER, "--json", "--strategy", "greedy", "--threads", "2")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["strategy"] == "greedy"
    assert report["num_layers"] == len(report["imbalance"]) == 3
    assert 1 <= report["bound_mean"] + 1e-9 <= report["imbalance_mean"] + 1e-9 < report["before"]["imbalance_mean"]


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_plan_goes_round(run, tmp_path, suffix):
    plan = tmp_path / f"plan{suffix}"
    options = ["--nodes", "2", "--groups", "4", "--max-replicas", "5", "--seed", "3"]
    code, solved, _ = run("solve", OLMOE, *CLUSTER, *options, "-o", plan, "--json")
    assert code == 0
    code, evaluated, _ = run("evaluate", OLMOE, plan, "--json")
    assert code == 0
    solved, evaluated = json.loads(solved), json.loads(evaluated)
    for name in ("imbalance", "bound", "duplicates", "policy"):
        assert evaluated[name] == solved[name]
    assert solved["policy"] == "hierarchical"
    if suffix == ".npz":
        with np.load(plan, allow_pickle=False) as arrays:
            assert arrays["logical_to_physical"].shape == (3, 64, arrays["replica_count"].max())
            assert str(arrays["strategy"]) == solved["strategy"]


def test_windows(run, tmp_path):
    windows = tmp_path / "windows.npz"
    table = np.loadtxt(OLMOE, delimiter=",")
    np.savez(windows, counts=np.array([table, table]))
    placed = [json.loads(run("solve", file, *CLUSTER, "--json")[1])["imbalance"] for file in (OLMOE, windows)]
    np.testing.assert_allclose(placed[0], placed[1], rtol=1e-12)


def several_windows(path, count):
    """Each busy elsewhere, one without load."""
    table = np.loadtxt(OLMOE, delimiter=",")
    windows = np.array([np.roll(table, 9 * window, axis=1) for window in range(count)])
    windows[1] = 0
    np.save(path, windows)
    return path


@pytest.mark.parametrize("command", ["solve", "compare", "evaluate", "rebalance"])
def test_a_warning_says_what_one_sum_hides(run, tmp_path, command):
    file, plan = several_windows(tmp_path / "counts.npy", 4), tmp_path / "plan.npz"
    assert run("solve", file, *CLUSTER, "-o", plan)[0] == 0
    arguments = {"evaluate": [plan], "rebalance": ["--current", plan]}.get(command, CLUSTER)
    code, _, err = run(command, file, *arguments)
    content = json.loads(run(command, file, *arguments, "--json")[1])
    (warning,) = content["warnings"]
    assert (code, err) == (0, f"eplb: {file}: {warning}\n")
    best = ""
    if command == "compare":
        rows = content["strategies"]
        best = min(rows, key=lambda name: rows[name].get("imbalance_mean", np.inf))
        content, best = rows[best], f" with {best}"
    assert (content["num_windows"], content["num_empty_windows"]) == (4, 1)
    assert content["windows_worst"] > content["windows_mean"] > content["imbalance_mean"]
    found = re.fullmatch(
        r"4 windows, 1 of them empty, summed; alone(.*): mean (\S+), mean of the worst (\S+) \(window (\d)\)", warning
    )
    assert found[1] == best
    assert found[2] == f"{content['windows_mean']:.3f}"
    if command != "compare":
        placement = np.load(plan)["physical_to_logical"]
        if command == "rebalance":
            assert run(command, file, *arguments, "-o", tmp_path / "next.npz")[0] == 0
            placement = np.load(tmp_path / "next.npz")["physical_to_logical"]
        of_windows = eplb.Context().evaluate(placement, np.load(file), num_gpus=16).window_imbalance.mean(axis=0)
        assert (float(found[3]), int(found[4])) == (pytest.approx(of_windows.max(), abs=6e-4), of_windows.argmax())
    assert run(command, OLMOE, *arguments)[2] == ""


def test_windows_are_balanced_on_request(run, tmp_path):
    file, plan = several_windows(tmp_path / "counts.npy", 4), tmp_path / "plan.npz"
    windows = ["--objective", "windows"]
    of_sum, report = (json.loads(run("solve", file, *CLUSTER, *each, "--json")[1]) for each in ([], windows))
    assert report["windows_mean"] < of_sum["windows_mean"]
    assert report["windows_worst"] < of_sum["windows_worst"]
    out = run("solve", file, *CLUSTER, *windows, "-o", plan)[1]
    where = f"(window {report['worst_window']}, layer {report['worst_window_layer']})"
    assert out.splitlines()[0] == (
        f"4 windows, 1 of them empty, each balanced; alone: mean {report['windows_mean']:.3f}, worst layer "
        f"{report['windows_worst']:.3f} {where}"
    )
    assert report["warnings"] == []
    with np.load(plan, allow_pickle=False) as arrays:
        assert str(arrays["objective"]) == "windows"
    code, evaluated, _ = run("evaluate", file, plan, "--json")
    assert code == 0
    assert json.loads(evaluated)["windows_worst"] == report["windows_worst"]
    # One window has nothing to say.
    assert "windows" not in run("solve", OLMOE, *CLUSTER, *windows)[1]


def test_windows_that_cannot_be_balanced(run, tmp_path):
    file, windows = several_windows(tmp_path / "windows.npy", 65), ["--objective", "windows"]
    assert "more than 64" in refused(run("solve", file, *CLUSTER, *windows))
    assert "strategy greedy" in refused(run("solve", OLMOE, *CLUSTER, *windows, "--strategy", "greedy"))
    assert "objective is 'peak', must be one of sum, windows" in refused(
        run("solve", OLMOE, *CLUSTER, "--objective", "peak")
    )


def test_compare_with_windows(run, tmp_path):
    file = several_windows(tmp_path / "windows.npy", 4)
    rows = json.loads(run("compare", file, *CLUSTER, "--json")[1])["strategies"]
    best = rows.pop("best windows")
    assert all(best["windows_mean"] < row["windows_mean"] for row in rows.values())
    lines = run("compare", file, *CLUSTER)[1].splitlines()
    assert "worst layer  in a window: mean  " in lines[0]
    assert f"{best['windows_mean']:.4f}  {best['windows_worst']:.4f}" in lines[-1]
    for other in (OLMOE, several_windows(tmp_path / "many.npy", 65)):
        out = run("compare", other, *CLUSTER)[1]
        assert "in a window" not in out
        assert "best windows" not in out


@pytest.mark.parametrize("command", ["solve", "evaluate", "rebalance"])
def test_more_windows_than_are_kept(run, tmp_path, command):
    """The library knows their sum; what each gets is that of a few windows at a time."""
    file, plan = several_windows(tmp_path / "windows.npy", 130), tmp_path / "plan.npz"
    assert run("solve", file, *CLUSTER, "-o", plan)[0] == 0
    arguments = {"evaluate": [plan], "rebalance": ["--current", plan]}.get(command, CLUSTER)
    (warning,) = json.loads(run(command, file, *arguments, "--json")[1])["warnings"]
    counts = np.load(file)
    with eplb.Context() as context:
        placement = np.load(plan)["physical_to_logical"]
        alone = np.mean([context.evaluate(placement, window, num_gpus=16).imbalance for window in counts], axis=1)
    assert warning == (
        f"130 windows, 1 of them empty, summed; alone: mean {np.delete(alone, 1).mean():.3f}, mean of the worst "
        f"{alone.max():.3f} (window {alone.argmax()})"
    )
    # What was there before is judged by all of them.
    if command == "solve":
        before = json.loads(run("solve", file, *CLUSTER, "--json")[1])["before"]
        expected = eplb.Context().evaluate([list(range(64))] * 3, counts.sum(axis=0), num_gpus=16)
        assert before["imbalance"] == expected.imbalance.tolist()


def test_compare(run, available_strategies):
    code, out, err = run("compare", OLMOE, *CLUSTER)
    assert (code, err) == (0, "")
    assert all(strategy in out for strategy in FROM_WEIGHTS)
    rows = json.loads(run("compare", OLMOE, *CLUSTER, "--json")[1])
    assert {name.split()[0] for name in rows["strategies"]} == set(FROM_WEIGHTS)
    assert [name for name in rows["strategies"] if name.startswith("best ")] == [f"best {e}" for e in eplb.efforts()]
    answered = {name.split()[0] for name, row in rows["strategies"].items() if "imbalance_mean" in row}
    assert answered == set(available_strategies)


def test_compare_where_one_refuses(run):
    rows = json.loads(run("compare", OLMOE, *CLUSTER, "--max-replicas", "2", "--json")[1])["strategies"]
    assert rows["greedy"]["why"].startswith("--max-replicas is 2, but greedy gives ")
    assert "imbalance_mean" in rows["lpt_swap"]


def test_evaluate_with_tokens_split(run, json_of, tmp_path):
    """The columns next to the even split, and in JSON the figures of Context.split."""
    plan, other = tmp_path / "plan.npz", OLMOE.replace("allenai", "github")
    assert run("solve", OLMOE, *CLUSTER, "-o", plan)[0] == 0
    code, out, _ = run("evaluate", other, plan, "--split")
    assert code == 0
    weights, placement = np.loadtxt(other, delimiter=","), eplb.read_placement(plan)
    even, split = eplb.Context().evaluate(placement, weights, num_gpus=16), eplb.split_tokens(weights, placement)
    heading, row, *sentences = out.splitlines()
    assert "imbalance: mean  worst layer  tokens split: mean  worst layer  bound of splits  gap: mean" in heading
    figures = even.imbalance_mean, even.imbalance_worst, split.imbalance_mean, split.imbalance_worst, split.bound_mean
    assert row.split()[:6] == ["plan.npz", *(f"{figure:.4f}" for figure in figures)]
    assert split.imbalance_mean < even.imbalance_mean
    assert sentences == split.sentences()
    found = json_of("evaluate", other, plan, "--split")
    assert found["imbalance_mean"] == even.imbalance_mean
    assert found["split"] == split.to_dict()
    assert "split" not in json_of("evaluate", other, plan)


def test_evaluate_of_a_cluster_with_tokens_split(json_of, run, tmp_path):
    """GPUs that the plan's file knows: a dead one, and a slow one."""
    start, plan, speeds = tmp_path / "start.npz", tmp_path / "plan.npz", tmp_path / "speeds.csv"
    speeds.write_text(",".join(["1"] * 15 + ["0.5"]))
    assert run("solve", OLMOE, "--slots", 96, "--gpus", 16, "-o", start)[0] == 0
    change = ["--current", start, "--dead", "3", "--speeds", speeds, "-o", plan]
    assert run("rebalance", OLMOE, *change)[0] == 0
    cluster = eplb.Cluster(slots=[6] * 3 + [0] + [6] * 12, speed=[1] * 15 + [0.5])
    expected = eplb.split_tokens(np.loadtxt(OLMOE, delimiter=","), eplb.read_placement(plan), cluster=cluster)
    assert json_of("evaluate", OLMOE, plan, "--split")["split"] == expected.to_dict()


def test_evaluate_of_a_table(run, tmp_path):
    placement = np.tile(np.arange(80) % 64, (3, 1))
    np.savetxt(tmp_path / "before.csv", placement, delimiter=",", fmt="%d")
    np.save(tmp_path / "before.npy", placement)
    assert "--gpus" in refused(run("evaluate", OLMOE, tmp_path / "before.csv"))
    for name in ("before.csv", "before.npy"):
        code, out, _ = run("evaluate", OLMOE, tmp_path / name, "--gpus", "16")
        assert code == 0
        assert name in out
    placement[1, 3] = 64
    np.save(tmp_path / "bad.npy", placement)
    sentence = refused(run("evaluate", OLMOE, tmp_path / "bad.npy", "--gpus", "16"))
    assert "layer 1" in sentence
    np.save(tmp_path / "short.npy", placement[:2])
    assert "2 layers" in refused(run("evaluate", OLMOE, tmp_path / "short.npy", "--gpus", "16"))


def test_info(run):
    code, out, err = run("info")
    assert (code, err) == (0, "")
    assert eplb.__version__ in out
    assert "cpu: usable" in out
    assert "cuda: " in out
    facts = json.loads(run("info", "--json")[1])
    assert facts["backends"]["cpu"]["usable"]
    assert facts["default_strategy"] in facts["strategies"]


def test_sample(run, tmp_path):
    for name in ("a.csv", "b.csv"):
        code, _, _ = run("sample", "--layers", "3", "--experts", "16", "--seed", "1", "-o", tmp_path / name)
        assert code == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert run("solve", tmp_path / "a.csv", "--slots", "24", "--gpus", "8")[0] == 0


def test_help(run):
    for arguments in ([], ["--help"], ["solve", "--help"]):
        code, out, _ = run(*arguments)
        assert code == 0
        assert "Usage: eplb" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["solve", "nothing.csv", *CLUSTER], "nothing.csv: no such file or directory"),
        (["solve", OLMOE, "--slots", "81", "--gpus", "16"], "--slots is 81, must be a multiple of --gpus = 16"),
        (["compare", OLMOE, "--slots", "81", "--gpus", "16"], "--slots is 81, must be a multiple of --gpus = 16"),
        (["solve", OLMOE, *CLUSTER, "--strategy", "good"], "strategy is 'good', must be one of greedy,"),
        (["solve", OLMOE, *CLUSTER, "--device", "gpu"], "device is 'gpu', must be one of cpu, cuda"),
        (["solve", OLMOE, *CLUSTER, "--threads", "0"], "--threads is 0"),
        (["solve", OLMOE, *CLUSTER, "--seed", "-1"], "seed is -1"),
        (["solve", OLMOE, *CLUSTER, "--first-layer", "9" * 30], "--first-layer"),
        (["solve", OLMOE, *CLUSTER, "-o", "plan.txt"], "plan.txt: a plan is written as .npz or .json"),
        (["solve", OLMOE, *CLUSTER, "-o", "/nowhere/plan.npz"], "/nowhere/plan.npz: there is no folder /nowhere"),
        (["evaluate", OLMOE, "nothing.npz"], "nothing.npz: no such file or directory"),
        (["sample", "-o", "/nowhere/weights.csv"], "/nowhere/weights.csv: there is no folder /nowhere"),
        (["sample", "--layers", "0", "-o", "weights.csv"], "--layers"),
        (["solve", OLMOE, "--slots", "many", "--gpus", "16"], "--slots"),
        (["solve", OLMOE, "--gpus", "16"], "--slots"),
        (["solve"], "file"),
        (["sovle"], "sovle"),
        (["--wrong"], "--wrong"),
    ],
)
def test_refused(run, monkeypatch, tmp_path, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence.lower() in refused(run(*arguments)).lower()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("1,2\n3\n", "line 2: 1 value, but line 1 has 2"),
        ("1,2\n3,x\n", "line 2: 'x' is no number"),
        ("1,2\n3,nan\n", "weights[layer 1, expert 1] is NaN"),
        ("1,2\n-3,1\n", "weights[layer 1, expert 0] is negative"),
    ],
)
def test_bad_file(run, tmp_path, text, sentence):
    path = tmp_path / "weights.csv"
    path.write_text(text)
    for command in ("solve", "compare"):
        said = refused(run(command, path, "--slots", "4", "--gpus", "2"))
        assert said.startswith(str(path))
        assert said.endswith(sentence)


def test_cuda_is_refused_in_words(run):
    facts = json.loads(run("info", "--json")[1])
    if facts["backends"]["cuda"]["usable"]:
        pytest.skip("there is a GPU")
    assert "CUDA" in refused(run("solve", OLMOE, *CLUSTER, "--device", "cuda"))


def test_as_a_program():
    command = [sys.executable, "-m", "eplb", "solve", OLMOE, *CLUSTER, "--json"]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["num_gpus"] == 16
    command[4] = "nothing.csv"
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "eplb: nothing.csv: no such file or directory\n"


def test_without_its_extra():
    program = (
        "import sys; sys.modules['typer'] = None; sys.argv = ['eplb', 'info']; from eplb.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "eplb: the command needs typer, which is not installed: pip install 'eplb[cli]'\n"


def test_without_matplotlib(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "eplb.picture", raising=False)
    sentence = refused(run("solve", OLMOE, *CLUSTER, "--picture", tmp_path / "plan.png"))
    assert "--picture needs matplotlib" in sentence


def test_reader_that_leaves():
    command = f"{sys.executable} -m eplb solve {OLMOE} {' '.join(CLUSTER)} --json | head -c 1"
    done = subprocess.run(command, shell=True, env=child_environment(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{", "")


def test_terminal_gets_bars():
    main, terminal = pty.openpty()
    environment = child_environment(TERM="xterm-256color", COLUMNS="100", LINES="40")
    command = [sys.executable, "-m", "eplb", "solve", OLMOE, *CLUSTER]
    with subprocess.Popen(command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                chunk = os.read(main, 65536)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
    os.close(main)
    assert process.returncode == 0
    text = shown.decode()
    assert "█" in text
    assert "GPU 15" in text
    assert "solving" in text
