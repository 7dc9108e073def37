"""Plans of any format on the command line: eplb convert, PLAN arguments, -o and --format."""

import json

import eplb
import numpy as np
import pytest
from conftest import ROOT
from test_placement_files import engines_view

pytest.importorskip("typer")
pytest.importorskip("rich")

from test_command import OLMOE, refused

CASES = ROOT.parent / "shared" / "cases"
CLUSTER = ["--slots", "80", "--gpus", "16"]
SIZES = {"gpus": 16, "experts": 64}
FORMATS = ["plan.sglang.json", "plan.yaml", "plan.ascend.json", "plan.lightllm.json"]


def need_yaml(name):
    if name.endswith(".yaml"):
        pytest.importorskip("yaml")


@pytest.fixture
def plan(run, tmp_path):
    path = tmp_path / "plan.npz"
    assert run("solve", OLMOE, *CLUSTER, "-o", path)[0] == 0
    return path


def form_of(name):
    return "tensorrt-llm" if name.endswith(".yaml") else name.split(".")[1]


def view(path, layers):
    more = {"hidden_layers": layers[-1] + 1} if "sglang" in path.name else {}
    return np.array(engines_view(path, form_of(path.name), layers, **SIZES, **more))


@pytest.mark.parametrize("name", FORMATS)
def test_solve_writes_what_engines_read(run, json_of, tmp_path, name):
    need_yaml(name)
    path = tmp_path / name
    solved = json_of("solve", OLMOE, *CLUSTER, "-o", path, "--first-layer", 3)
    assert view(path, [3, 4, 5]).shape == (3, 80)
    for command in (["evaluate", OLMOE, path], ["rebalance", OLMOE, "--current", path]):
        answer = json_of(*command, "--gpus", 16, "--first-layer", 3)
        assert answer["imbalance"] == solved["imbalance"]


@pytest.mark.parametrize("name", FORMATS)
def test_conversions(run, tmp_path, plan, name):
    """To an engine's format, and back with what that has no place for."""
    need_yaml(name)
    path, back = tmp_path / name, tmp_path / "back.npz"
    code, out, err = run("convert", plan, "-o", path, "--first-layer", 3)
    assert (code, err) == (0, "")
    assert out.endswith(": layers 3 to 5, 64 experts on 80 slots of 16 GPUs\n")
    placed = eplb.read_placement(plan).physical_to_logical
    assert np.array_equal(view(path, [3, 4, 5]), placed)
    assert run("convert", path, "-o", back, "--first-layer", 3, "--gpus", 16)[0] == 0
    read = eplb.read_placement(back)
    assert np.array_equal(read.physical_to_logical, placed)
    assert (read.layers.tolist(), read.num_gpus) == ([3, 4, 5], 16)
    for other in FORMATS:
        assert run("convert", path, "-o", tmp_path / f"other.{other}", "--first-layer", 3, "--gpus", 16)[0] == 0
        assert np.array_equal(view((tmp_path / f"other.{other}").rename(tmp_path / f"x{other}"), [3, 4, 5]), placed)


def test_format_option(run, tmp_path, plan):
    path = tmp_path / "expert_map.json"
    assert run("convert", plan, "-o", path, "--format", "ascend")[0] == 0
    assert "layer_list" in json.loads(path.read_text())
    assert run("solve", OLMOE, *CLUSTER, "-o", path, "--format", "vllm-ascend")[0] == 0
    assert "layer_list" in json.loads(path.read_text())
    assert run("rebalance", OLMOE, "--current", plan, "-o", path, "--format", "sglang")[0] == 0
    assert list(json.loads(path.read_text())) == ["physical_to_logical_map"]


def test_numbers_of_layers_stay(run, json_of, tmp_path):
    """From a plan to the next, through the numbers that its file has."""
    pytest.importorskip("yaml")
    monday, tuesday = tmp_path / "monday.yaml", tmp_path / "tuesday.yaml"
    assert run("solve", OLMOE, *CLUSTER, "-o", monday, "--first-layer", 3)[0] == 0
    assert run("rebalance", OLMOE, "--current", monday, "--gpus", 16, "-o", tuesday)[0] == 0
    assert np.array_equal(view(tuesday, [3, 4, 5]), view(monday, [3, 4, 5]))


def test_layers_are_found_by_number(run, json_of, tmp_path, plan):
    """A plan for more layers than the weights have, of which SGLang has dense ones."""
    whole, last = tmp_path / "plan.sglang.json", tmp_path / "last.csv"
    assert run("convert", plan, "-o", whole, "--first-layer", 3, "--hidden-layers", 9)[0] == 0
    expected = json_of("evaluate", OLMOE, plan)["imbalance"]
    assert json_of("evaluate", OLMOE, whole, "--gpus", 16, "--first-layer", 3)["imbalance"] == expected
    said = refused(run("evaluate", OLMOE, whole, "--gpus", 16))
    assert said == f"{whole}: 9 layers, but the weights have 3: give --first-layer"
    np.savetxt(last, np.loadtxt(OLMOE, delimiter=",", ndmin=2)[2:], delimiter=",")
    assert json_of("evaluate", last, whole, "--gpus", 16, "--first-layer", 5)["imbalance"] == expected[2:]
    said = refused(run("evaluate", OLMOE, whole, "--gpus", 16, "--first-layer", 7))
    assert said == f"{whole}: has no layer 9, which {OLMOE} has"


def test_layers_option(run, tmp_path, plan):
    path = tmp_path / "plan.lightllm.json"
    assert run("convert", plan, "-o", path, "--layer-numbers", "3,5,8")[0] == 0
    assert list(json.loads(path.read_text())["layers"]) == ["3", "5", "8"]
    assert run("convert", path, "-o", tmp_path / "some.npz", "--layer-numbers", "5-5,8")[0] == 0
    some = eplb.read_placement(tmp_path / "some.npz")
    assert some.layers.tolist() == [5, 8]
    assert np.array_equal(some.physical_to_logical, eplb.read_placement(plan).physical_to_logical[1:])


def test_older_form_of_lightllm(run, json_of, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"redundancy_expert_num": 1, "default": [9]}))
    figures = json_of("evaluate", OLMOE, path, "--gpus", 16, "--first-layer", 0)
    by_gpu = np.concatenate([np.arange(64).reshape(16, 4), np.full((16, 1), 9)], axis=1)
    assert figures["duplicates"] == 3
    np.savetxt(tmp_path / "same.csv", np.tile(by_gpu.ravel(), (3, 1)), delimiter=",", fmt="%d")
    assert json_of("evaluate", OLMOE, tmp_path / "same.csv", "--gpus", 16)["imbalance"] == figures["imbalance"]
    assert "names no layer" in refused(run("evaluate", OLMOE, path, "--gpus", 16))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["convert", "plan.npz", "-o", "plan.txt"], "plan.txt: a plan is written as .npz or .json"),
        (["convert", "plan.npz", "-o", "plan.npz"], "plan.npz: is an input of this command"),
        (["convert", "none.npz", "-o", "plan.yaml"], "none.npz: no such file or directory"),
        (["convert", "plan.npz", "-o", "no/plan.yaml"], "no/plan.yaml: there is no folder no"),
        (["convert", "plan.npz", "-o", "a.json", "--format", "vllm"], "format is 'vllm', must be one of eplb, sglang"),
        (["convert", "plan.npz", "-o", "a.json", "--gpus", "8"], "plan.npz: num_gpus is 16, but 8 was asked for"),
        (
            ["convert", "plan.npz", "-o", "a.json", "--layer-numbers", "3-"],
            "--layer-numbers 3-: must be layers like 3,17 or 8-15",
        ),
        (
            ["convert", "plan.npz", "-o", "a.json", "--layer-numbers", "3,4"],
            "layers has 2 numbers, but the placement has 3",
        ),
        (
            ["convert", "plan.npz", "-o", "a.json", "--layer-numbers", "99999"],
            "--layer-numbers 99999: there are layers 0 to 16383",
        ),
        (
            ["convert", OLMOE, "-o", "a.json"],
            ".csv: the content must be a table of integers: row 0, slot 0 is 316869",
        ),
        (["solve", OLMOE, *CLUSTER, "--format", "sglang"], "--format sglang: is the format of -o, which is not given"),
        (["rebalance", OLMOE, "--current", "plan.npz", "--format", "ascend"], "which is not given"),
        (["solve", OLMOE, *CLUSTER, "-o", "plan.ascend.npz"], "a plan of the format ascend is written as .json"),
    ],
)
def test_refused(run, monkeypatch, tmp_path, plan, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert sentence in refused(run(*arguments))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", ["sglang.json", "yaml", "ascend.json", "lightllm.json"])
def test_a_plan_that_an_engine_cannot_have(run, tmp_path, plan, suffix):
    """With GPUs that are gone."""
    path = tmp_path / f"next.{suffix}"
    said = refused(run("rebalance", OLMOE, "--current", plan, "--dead", "3", "-o", path))
    assert said.startswith(f"{path}: layer 0: slot 15 is empty (-1), which ")
    assert not path.exists()


def test_doubles_are_refused_for_ascend(run, tmp_path):
    """Greedy has them where loads are equal."""
    np.savetxt(tmp_path / "even.csv", np.ones((1, 64)), delimiter=",", fmt="%d")
    options = ["--slots", "80", "--gpus", "8", "--strategy", "greedy"]
    said = refused(run("solve", tmp_path / "even.csv", *options, "-o", tmp_path / "map.ascend.json"))
    assert "holds an expert twice, which vllm-ascend refuses" in said


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not part of the repository")
@pytest.mark.parametrize("name", ["04_plan_sglang.json", "10_trtllm.yaml", "12_bom_plan.json"])
def test_plans_of_reports(json_of, name):
    need_yaml(name)
    answer = json_of("evaluate", CASES / "04_weights.csv", CASES / name, "--gpus", 8)
    np.testing.assert_allclose(answer["imbalance"], [1.13333333, 1.0], rtol=1e-6)
    if name == "10_trtllm.yaml":
        assert eplb.read_placement(CASES / name).layers.tolist() == [3, 4]


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not part of the repository")
@pytest.mark.parametrize("name", ["11_bool_plan.json", "11_bool_gpus.json"])
def test_true_is_no_number(run, name):
    assert " is true" in refused(run("evaluate", CASES / "04_weights.csv", CASES / name))


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not part of the repository")
def test_many_replicas_make_no_large_file(run, tmp_path):
    path = tmp_path / "m.json"
    assert run("solve", CASES / "15_many_replicas.csv", "--slots", 1024, "--gpus", 64, "-o", path)[0] == 0
    content = json.loads(path.read_text())
    width = max(map(max, content["replica_count"]))
    assert {len(slots) for layer in content["logical_to_physical"] for slots in layer} == {width}
    assert width <= 64
    assert path.stat().st_size < 100_000
