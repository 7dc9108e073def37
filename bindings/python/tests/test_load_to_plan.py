"""From an engine's loads to an engine's placement and back: layers keep the model's numbers on the way."""

import json

import eplb
import numpy as np
import pytest
from load_files import write
from test_command import CLUSTER, OLMOE, refused
from test_convert_command import FORMATS, need_yaml, view
from test_load_formats import tensorrt

pytest.importorskip("typer")
pytest.importorskip("rich")

SMALL = ["--slots", 8, "--gpus", 4]
# Two dense layers, then two with experts.
DUMP = json.dumps({"logical_count": [[0] * 4, [0] * 4, [48, 45, 10, 9], [12, 24, 36, 48]]})


@pytest.mark.parametrize("name", ["plan.sglang.json", "plan.yaml", "plan.npz"])
def test_sglang_loads(run, tmp_path, name):
    dump, plan = write(tmp_path / "dump.json", DUMP), tmp_path / name
    if name == "plan.yaml":
        pytest.importorskip("yaml")
    code, out, _ = run("solve", dump, *SMALL, "-o", plan, "--json")
    assert code == 0
    solved = json.loads(out)
    assert solved["layers"] == [2, 3]
    for command in (["evaluate", dump, plan], ["rebalance", dump, "--current", plan]):
        code, out, _ = run(*command, "--gpus", 4, "--json")
        assert code == 0
        report = json.loads(out)
        # What a rebalance starts from is what was solved.
        np.testing.assert_allclose(report.get("before", report)["imbalance"], solved["imbalance"])
    if name == "plan.sglang.json":
        rows = json.loads(plan.read_text())["physical_to_logical_map"]
        assert len(rows) == 4
        assert all(set(row) == {0, 1, 2, 3} for row in rows)
    # Of another part of the model there is no plan.
    other = write(tmp_path / "other.csv", "layer_id,expert_id,count\n7,0,5\n8,3,5\n")
    assert "layers 7 to 8" in refused(run("evaluate", other, plan, "--gpus", 4, "--json"))


def test_tensorrt_loads(run, tmp_path):
    pytest.importorskip("yaml")
    ranks = [{"100_3": [20, 15, 15, 10], "100_4": [1, 2, 3, 4]}, {"100_3": [15, 10, 10, 5], "100_4": [4, 4, 4, 1]}]
    statistics, plan = tensorrt(tmp_path / "statistics", ranks), tmp_path / "plan.yaml"
    code, out, err = run("solve", statistics, *SMALL, "-o", plan, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["layers"] == [3, 4]
    text = plan.read_text()
    assert "num_slots: 8" in text
    assert "  3:" in text and "  4:" in text
    evaluated = json.loads(run("evaluate", statistics, plan, "--gpus", 4, "--json")[1])
    assert evaluated["imbalance"] == json.loads(out)["imbalance"]


@pytest.fixture
def recorded(tmp_path):
    """Loads of a model with dense layers 0 to 2, as SGLang counts them."""
    rows = np.loadtxt(OLMOE, delimiter=",", dtype=np.int64)
    return write(tmp_path / "recorded.json", json.dumps({"logical_count": np.pad(rows, ((3, 0), (0, 0))).tolist()}))


@pytest.mark.parametrize("name", FORMATS)
def test_engines_get_the_numbers_of_the_loads(run, tmp_path, recorded, name):
    need_yaml(name)
    path = tmp_path / name
    assert run("solve", recorded, *CLUSTER, "-o", path)[0] == 0
    assert run("solve", OLMOE, *CLUSTER, "-o", tmp_path / "plan.npz")[0] == 0
    assert np.array_equal(view(path, [3, 4, 5]), eplb.read_placement(tmp_path / "plan.npz").physical_to_logical)


@pytest.mark.parametrize("command", ["evaluate", "rebalance"])
def test_layers_of_both_are_found_by_number(run, tmp_path, recorded, command):
    """Without an option, in a plan that has a layer before and lacks the last one."""
    path = tmp_path / "plan.lightllm.json"
    option = ["--current"] if command == "rebalance" else []
    assert run("solve", OLMOE, *CLUSTER, "-o", path, "--first-layer", 2)[0] == 0
    plan = eplb.read_placement(path).physical_to_logical
    missing = f"{path}: has no layer 5, which {recorded} has"
    assert refused(run(command, recorded, *option, path, "--json")) == missing
    eplb.write_placement(path, plan[[2, 0, 1, 2]], num_gpus=16, first_layer=2)
    answers = []
    for loads in (recorded, OLMOE):
        first = [] if loads == recorded else ["--first-layer", 3]
        code, out, _ = run(command, loads, *option, path, *first, "--json")
        answers.append(json.loads(out)["imbalance"])
    assert answers[0] == answers[1]


def test_the_option_and_the_file_must_agree(run, tmp_path):
    dump = write(tmp_path / "dump.json", DUMP)
    assert run("solve", dump, *SMALL, "-o", tmp_path / "plan.npz", "--first-layer", 2)[0] == 0
    sentence = refused(run("solve", dump, *SMALL, "-o", tmp_path / "plan.npz", "--first-layer", 3, "--json"))
    assert sentence == f"{dump}: begins with layer 2, but --first-layer is 3"


@pytest.mark.parametrize(("name", "noted"), [*((name, "ascend" not in name) for name in FORMATS), ("plan.npz", False)])
def test_layers_without_numbers_are_noted(run, tmp_path, name, noted):
    """Where a file that begins with a wrong layer is a wrong file."""
    path, source = tmp_path / name, tmp_path / "source.npz"
    note = f"layers have no numbers, so {name} begins with layer 0: give --first-layer if dense ones come before"
    line = f"eplb: {OLMOE}: {note}\n" if noted else ""
    assert run("solve", OLMOE, *CLUSTER, "-o", source)[2] == ""
    assert run("solve", OLMOE, *CLUSTER, "-o", path)[2] == line
    assert run("rebalance", OLMOE, "--current", source, "-o", path)[2] == line
    assert run("convert", source, "-o", path)[2] == line.replace(str(OLMOE), str(source))
    code, out, err = run("solve", OLMOE, *CLUSTER, "-o", path, "--json")
    assert (code, err, json.loads(out)["warnings"]) == (0, "", [note] if noted else [])
    assert run("solve", OLMOE, *CLUSTER, "-o", path, "--first-layer", 0)[2] == ""


def test_tables_get_their_numbers_from_the_option(run, tmp_path):
    np.save(tmp_path / "weights.npy", [[48, 45, 10, 9], [12, 24, 36, 48]])
    plan = tmp_path / "plan.sglang.json"
    assert run("solve", tmp_path / "weights.npy", *SMALL, "-o", plan, "--first-layer", 2)[0] == 0
    assert len(json.loads(plan.read_text())["physical_to_logical_map"]) == 4
