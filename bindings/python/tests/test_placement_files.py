"""Placements go into files as engines read them, and come back: rules of the engines, numbers of layers, refusals."""

import gzip
import json
import zipfile
from functools import partial

import engine_rules
import eplb
import numpy as np
import pytest
from eplb._files.placements import FORMATS, check_format
from hypothesis import given, settings
from hypothesis import strategies as st

GPUS, EXPERTS = 4, 16
# DeepSeek-V3 has dense layers 0 to 2; other models have experts in every second layer.
NUMBERS = [[3, 4, 5], [1, 3, 5], [0, 1, 2]]
TABLE = np.array([[0, 1, 2, 3, 0, 1], [3, 2, 1, 0, 3, 2]])


def need(form):
    if form == "tensorrt-llm":
        pytest.importorskip("yaml")


def name_of(form):
    return f"plan.{form}{'.yaml' if form == 'tensorrt-llm' else '.json'}"


@pytest.fixture
def plan(context, olmoe):
    return context.solve(olmoe[:, :EXPERTS], num_slots=24, num_gpus=GPUS)


def engines_view(path, form, layers, gpus=GPUS, experts=EXPERTS, **more):
    """What the engine would place, as [L,S]."""
    read = getattr(engine_rules, form.replace("-", "_"))
    placed = read(path, gpus=gpus, experts=experts, layers=layers, **more)
    return [sum(placed[layer], []) for layer in layers]


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("form", ["sglang", "tensorrt-llm", "ascend", "lightllm"])
def test_engines_place_what_was_planned(tmp_path, plan, form, numbers):
    need(form)
    path = tmp_path / name_of(form)
    eplb.write_placement(path, plan, layers=numbers)
    more = {"hidden_layers": numbers[-1] + 1} if form == "sglang" else {}
    assert engines_view(path, form, numbers, **more) == plan.physical_to_logical.tolist()
    back = eplb.read_placement(path, num_gpus=GPUS, layers=numbers)
    assert back.physical_to_logical.tolist() == plan.physical_to_logical.tolist()
    assert (back.layers.tolist(), back.num_gpus) == (numbers, GPUS)


@st.composite
def placements(draw):
    """Valid ones without an expert twice on a GPU: the experts in any order, then others that a GPU lacks."""
    gpus, share = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    experts = gpus * share
    extra = draw(st.integers(0, min(3, experts - share)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layers = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True))
    rows = []
    for _ in layers:
        own = random.permutation(experts).reshape(gpus, share)
        more = [random.permutation(np.setdiff1d(np.arange(experts), row))[:extra] for row in own]
        rows.append(np.concatenate([own, np.reshape(more, (gpus, extra))], axis=1).ravel())
    return eplb.Placement(np.array(rows, np.int64), sorted(layers), gpus, experts)


@settings(max_examples=60)
@given(placements(), st.sampled_from(["sglang", "tensorrt-llm", "ascend", "lightllm", "eplb"]))
def test_any_placement_goes_round(tmp_path_factory, placement, form):
    need(form)
    path = tmp_path_factory.mktemp("plans") / name_of(form)
    layers = placement.layers.tolist()
    eplb.write_placement(path, placement)
    if form != "eplb":
        more = {"hidden_layers": layers[-1] + 1} if form == "sglang" else {}
        sizes = {"gpus": placement.num_gpus, "experts": placement.num_experts, **more}
        assert engines_view(path, form, layers, **sizes) == placement.physical_to_logical.tolist()
    sizes = {"num_gpus": placement.num_gpus, "num_experts": placement.num_experts}
    back = eplb.read_placement(path, **sizes, layers=layers)
    assert np.array_equal(back.physical_to_logical, placement.physical_to_logical)
    for name in ("num_gpus", "num_experts"):
        assert getattr(back, name) == getattr(placement, name)


def test_dense_rows_of_sglang(tmp_path, plan):
    path = tmp_path / "plan.sglang.json"
    eplb.write_placement(path, plan, first_layer=3, num_hidden_layers=8)
    assert engines_view(path, "sglang", [3, 4, 5], hidden_layers=8) == plan.physical_to_logical.tolist()
    whole = eplb.read_placement(path)
    assert whole.layers.tolist() == list(range(8))
    assert whole.has_dense_rows
    kept = eplb.read_placement(path, first_layer=3)
    assert (kept.layers.tolist(), kept.has_dense_rows) == ([3, 4, 5, 6, 7], False)
    with pytest.raises(eplb.FileError, match="the placement has layer 5, but there are only 5 rows"):
        eplb.write_placement(path, plan, first_layer=3, num_hidden_layers=5)


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_names_of_sglang_elsewhere(tmp_path, suffix):
    path = tmp_path / f"plan{suffix}"
    if suffix == ".pt":
        pytest.importorskip("torch")
        eplb.write_placement(path, TABLE, num_experts=4)
        assert engines_view(path, "sglang", [0, 1], gpus=2, experts=4, hidden_layers=2) == TABLE.tolist()
    else:
        np.savez(path, physical_to_logical_map=TABLE, logical_count=np.ones((2, 4)))
    read = eplb.read_placement(path, num_gpus=2)
    assert np.array_equal(read.physical_to_logical, TABLE)
    assert read.numbered


@pytest.mark.parametrize("name", ["plan.sglang.json", "plan.yaml", "plan.npz", "plan.csv", "plan.npy"])
def test_packed(tmp_path, name):
    """As files of loads may be, whatever the names."""
    if name.endswith((".csv", ".npy")):
        (np.save if name.endswith("y") else partial(np.savetxt, delimiter=",", fmt="%d"))(tmp_path / name, TABLE)
    else:
        need("tensorrt-llm" if name.endswith(".yaml") else "sglang")
        eplb.write_placement(tmp_path / name, TABLE, num_experts=4)
    data = (tmp_path / name).read_bytes()
    for packed in (name + ".gz", name, "packed"):
        (tmp_path / packed).write_bytes(gzip.compress(data))
        assert np.array_equal(eplb.read_placement(tmp_path / packed).physical_to_logical, TABLE)
    (tmp_path / "plan.gz").write_bytes(gzip.compress(data)[:-12])
    with pytest.raises(eplb.FileError, match=r"plan\.gz: is gzip that cannot be unpacked"):
        eplb.read_placement(tmp_path / "plan.gz")


@pytest.mark.parametrize("name", ["plan.csv", "plan.npy", "plan"])
def test_the_content_shows_what_it_is(tmp_path, name):
    """As it does of loads: names of text promise nothing, and those of arrays are kept to it."""
    (tmp_path / "names.json").write_text(json.dumps({"physical_to_logical_map": TABLE.tolist()}))
    (tmp_path / "names.json").rename(tmp_path / name)
    if name == "plan.npy":
        with pytest.raises(eplb.FileError, match=r"plan\.npy: is not a numpy array, as its name says"):
            eplb.read_placement(tmp_path / name)
    else:
        assert eplb.read_placement(tmp_path / name).numbered


def test_neighbours_of_a_placement_are_not_read(tmp_path):
    np.savez(tmp_path / "plan.npz", physical_to_logical=TABLE, meta=np.array([{}], object))
    assert np.array_equal(eplb.read_placement(tmp_path / "plan.npz").physical_to_logical, TABLE)


def test_other_torch_files(tmp_path):
    torch = pytest.importorskip("torch")
    path, rows = tmp_path / "dump.pt", torch.from_numpy(TABLE)
    dump = {"logical_expert_load": rows, "physical_to_logical_map": rows, "num_moe_layers": 2, "ep_size": 2}
    torch.save({**dump, "num_logical_experts": 4}, path)
    read = eplb.read_placement(path)
    assert (read.numbered, read.num_gpus, read.num_experts) == (False, 2, 4)
    torch.save(rows, path)
    assert np.array_equal(eplb.read_placement(path).physical_to_logical, TABLE)
    torch.save({"physical_to_logical_map": rows.to(torch.bfloat16)}, path)
    with pytest.raises(eplb.FileError, match="must be a table of integers"):
        eplb.read_placement(path)
    torch.save({"physical_to_logical_map": object()}, path)
    with pytest.raises(eplb.FileError, match="holds more than tensors, numbers and lists, which is never unpickled"):
        eplb.read_placement(path)


def test_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(eplb.FileError, match=r"plan\.pt: needs torch, which is not installed"):
        eplb.write_placement(tmp_path / "plan.pt", TABLE)
    with zipfile.ZipFile(tmp_path / "plan.pt", "w") as archive:
        archive.writestr("plan/data.pkl", b"")
    with pytest.raises(eplb.FileError, match=r"plan\.pt: needs torch, which is not installed"):
        eplb.read_placement(tmp_path / "plan.pt")


def test_without_pyyaml(tmp_path, monkeypatch):
    """It is needed for reading alone."""
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    eplb.write_placement(tmp_path / "plan.yaml", TABLE)
    with pytest.raises(eplb.FileError, match=r"plan\.yaml: needs PyYAML, which is not installed: pip install 'eplb"):
        eplb.read_placement(tmp_path / "plan.yaml")


def test_updates_of_tensorrt_llm(tmp_path):
    yaml = pytest.importorskip("yaml")
    path = tmp_path / "plan.yaml"
    eplb.write_placement(path, TABLE, layer_updates_per_iter=2)
    assert yaml.safe_load(path.read_text())["layer_updates_per_iter"] == 2
    path.write_text(path.read_text() + "ep_size: 3\n")
    assert eplb.read_placement(path).num_gpus == 3


def test_vllm_ascend_counts_layers_with_experts(tmp_path, plan):
    whole, path = tmp_path / "whole.sglang.json", tmp_path / "expert_map.ascend.json"
    eplb.write_placement(whole, plan, first_layer=3)
    with pytest.raises(eplb.FileError, match="SGLang counts layers without experts and vllm-ascend does not"):
        eplb.write_placement(path, eplb.read_placement(whole, num_gpus=GPUS))
    assert not path.exists()
    for ours in ("ours.npz", "ours.json"):
        eplb.write_placement(tmp_path / ours, eplb.read_placement(whole, num_gpus=GPUS))
        with pytest.raises(eplb.FileError, match="give first_layer"):
            eplb.write_placement(path, eplb.read_placement(tmp_path / ours))
    eplb.write_placement(path, eplb.read_placement(whole, num_gpus=GPUS), first_layer=3)
    assert engines_view(path, "ascend", [3, 4, 5]) == plan.physical_to_logical.tolist()


OLDER = np.array([[0, 1, 7, 2, 3, 7, 4, 5, 7, 6, 7, 7], [0, 1, 3, 2, 3, 3, 4, 5, 3, 6, 7, 3]])


def test_older_form_of_lightllm(tmp_path):
    path = tmp_path / "plan.lightllm-older.json"
    eplb.write_placement(path, OLDER, num_gpus=4, layers=[3, 5])
    assert engines_view(path, "lightllm-older", [3, 5], 4, 8) == OLDER.tolist()
    assert json.loads(path.read_text()) == {"redundancy_expert_num": 1, "3": [7], "5": [3]}
    back = eplb.read_placement(path, num_gpus=4, num_experts=8)
    assert np.array_equal(back.physical_to_logical, OLDER)
    assert back.layers.tolist() == [3, 5]
    with pytest.raises(eplb.FileError, match="has neither: give num_gpus"):
        eplb.read_placement(path)


def test_default_of_lightllm(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"redundancy_expert_num": 1, "default": [7], "5": [3]}')
    sizes = {"num_gpus": 4, "num_experts": 8}
    assert eplb.read_placement(path, **sizes).layers.tolist() == [5]
    assert np.array_equal(eplb.read_placement(path, **sizes, layers=[3, 5]).physical_to_logical, OLDER)
    assert engines_view(path, "lightllm-older", [3, 5], 4, 8) == OLDER.tolist()
    path.write_text('{"redundancy_expert_num": 1, "default": [7]}')
    with pytest.raises(eplb.FileError, match="names no layer, only a default"):
        eplb.read_placement(path, **sizes)


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_ours_keeps_what_is_known(tmp_path, plan, suffix):
    path = tmp_path / f"plan{suffix}"
    eplb.write_placement(path, plan)
    read = eplb.read_placement(path)
    assert (read.numbered, read.layers.tolist()) == (False, [0, 1, 2])
    assert (read.num_gpus, read.num_experts) == (GPUS, EXPERTS)
    eplb.write_placement(path, read, first_layer=3)
    numbered = eplb.read_placement(path)
    assert (numbered.numbered, numbered.layers.tolist()) == (True, [3, 4, 5])
    assert np.array_equal(numbered.physical_to_logical, plan.physical_to_logical)


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_ours_is_as_wide_as_the_largest_count(tmp_path, context, suffix):
    """And has the slots of an expert in the order of its replicas, as the plan has them."""
    plan = context.solve([[90, 1, 1, 1]], num_slots=64, num_gpus=64)
    path = tmp_path / f"plan{suffix}"
    eplb.write_placement(path, plan)
    if suffix == ".json":
        content = json.loads(path.read_text())
    else:
        with np.load(path, allow_pickle=False) as arrays:
            content = dict(arrays)
    width = plan.replica_count.max()
    assert np.array_equal(content["logical_to_physical"], plan.logical_to_physical[:, :, :width])
    assert (plan.logical_to_physical[:, :, width:] == -1).all()
    assert np.array_equal(content["replica_count"], plan.replica_count)


def test_empty_slots_stay_in_ours(tmp_path):
    holes = np.array([[0, 1, -1, 2], [-1, 2, 1, 0]])
    for name in ("plan.npz", "plan.json"):
        eplb.write_placement(tmp_path / name, holes, num_gpus=2)
        assert np.array_equal(eplb.read_placement(tmp_path / name).physical_to_logical, holes)


EMPTY, LOST, TWICE = [[0, 1, 2, 3], [0, 1, -1, 2]], [[0, 1, 2, 3], [0, 1, 3, 3]], [[0, 1, 2, 3, 0, 0]]


@pytest.mark.parametrize(
    ("form", "rows", "options", "sentence"),
    [
        ("sglang", EMPTY, {}, "layer 4: slot 2 is empty (-1), which SGLang has no form for"),
        ("sglang", LOST, {}, "layer 4: expert 2 has no slot"),
        ("sglang", [[0, 1]], {"num_experts": 4}, "layer 3: expert 2 has no slot"),
        ("tensorrt-llm", EMPTY, {}, "layer 4: slot 2 is empty (-1), which TensorRT-LLM has no form for"),
        ("tensorrt-llm", LOST, {}, "layer 4: expert 2 has no slot"),
        ("ascend", EMPTY, {"num_gpus": 2}, "layer 4: slot 2 is empty (-1), which vllm-ascend has no form for"),
        ("ascend", LOST, {"num_gpus": 2}, "layer 4: expert 2 has no slot"),
        ("ascend", TWICE, {"num_gpus": 2}, "layer 3: GPU 1 holds an expert twice, which vllm-ascend refuses"),
        ("ascend", TWICE, {}, "vllm-ascend lists experts by GPU, but the number of GPUs is not known: give num_gpus"),
        ("lightllm", EMPTY, {"num_gpus": 2}, "layer 4: slot 2 is empty (-1), which LightLLM has no form for"),
        ("lightllm", TWICE, {"num_gpus": 2}, "layer 3: GPU 1 holds an expert twice, which LightLLM refuses"),
        ("lightllm", [[0, 1, 1, 2]], {"num_gpus": 2}, "LightLLM needs an even share of the experts on every GPU"),
        ("lightllm", LOST, {}, "expert 2 has no slot"),
        ("lightllm-older", [[0, 1, 1, 2]], {"num_gpus": 2}, "LightLLM needs an even share"),
        ("lightllm-older", [[0, 1, 1, 0]], {"num_gpus": 2}, "has the same extra experts on all GPUs"),
        ("lightllm-older", [[0, 2, 2, 1, 3, 2]], {"num_gpus": 2}, "has the same extra experts on all GPUs"),
    ],
)
def test_what_a_format_cannot_say(tmp_path, form, rows, options, sentence):
    path = tmp_path / name_of(form)
    path.write_text("as it was")
    with pytest.raises(eplb.FileError) as raised:
        eplb.write_placement(path, rows, first_layer=3, **options)
    assert str(raised.value).startswith(f"{path}: ")
    assert sentence in str(raised.value)
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "vllm"}, "format is 'vllm', must be one of eplb, sglang, tensorrt-llm, ascend, lightllm, "),
        ({"first_layer": -1}, "first_layer is -1"),
        ({"first_layer": True, "layers": [1, 2]}, "first_layer and layers say the same"),
        ({"layers": [1]}, "layers has 1 numbers, but the placement has 2 layers"),
        ({"layers": [2, 2]}, "layers must ascend, but 2 comes after 2"),
        ({"layers": [2.0, 3]}, "layers[0] is 2.0, must be an integer"),
        ({"num_gpus": 4}, "6 slots of a layer are no multiple of 4 GPUs"),
        ({"num_experts": 3}, "placement[layer 0, slot 3] is 3, but there are 3 experts"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
    ],
)
def test_arguments_that_cannot_be(tmp_path, options, sentence):
    with pytest.raises(eplb.InvalidArgument) as raised:
        eplb.write_placement(tmp_path / "plan.sglang.json", TABLE, **options)
    assert sentence in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_contradict(tmp_path, plan):
    with pytest.raises(eplb.InvalidArgument, match="num_gpus is 2, but the placement is of 4 GPUs"):
        eplb.write_placement(tmp_path / "plan.json", plan, num_gpus=2)
    eplb.write_placement(tmp_path / "plan.json", plan)
    with pytest.raises(eplb.FileError, match=r"plan\.json: num_gpus is 4, but 2 was asked for"):
        eplb.read_placement(tmp_path / "plan.json", num_gpus=2)
    with pytest.raises(eplb.InvalidArgument, match="path is 3, must be a path"):
        eplb.read_placement(3)


def test_numbers_of_layers():
    bare, numbered = eplb.Placement(TABLE), eplb.Placement(TABLE, [3, 7])
    assert bare.number(first_layer=3).layers.tolist() == [3, 4]
    assert bare.number(layers=[3, 7]).layers.tolist() == [3, 7]
    assert numbered.number(first_layer=2) is not numbered
    assert numbered.number(first_layer=2).layers.tolist() == [3, 7]
    assert numbered.number(layers=[7]).physical_to_logical.tolist() == [TABLE[1].tolist()]
    with pytest.raises(eplb.InvalidArgument, match="first_layer is 5, but the placement is of layers 3, 7"):
        numbered.number(first_layer=5)
    with pytest.raises(eplb.InvalidArgument, match="has no layers 4 to 6, 8"):
        numbered.select([3, 4, 5, 6, 7, 8])
    with pytest.raises(eplb.InvalidArgument, match="must have a layer and a slot at least"):
        numbered.select([])


@pytest.mark.parametrize(
    ("name", "format", "expected"),
    [
        ("plan.json", None, "eplb"),
        ("plan.npz", None, "eplb"),
        ("plan.sglang.json", None, "sglang"),
        ("plan.SGLang.JSON", None, "sglang"),
        ("plan.yml", None, "tensorrt-llm"),
        ("plan.trtllm.yaml", None, "tensorrt-llm"),
        ("2.5.json", None, "eplb"),
        ("plan.v2.json", "ascend", "ascend"),
        ("plan.sglang.json", "lightllm", "lightllm"),
        ("expert_map.json", "vllm-ascend", "ascend"),
    ],
)
def test_names_of_files(tmp_path, name, format, expected):
    assert check_format(tmp_path / name, format) == expected


@pytest.mark.parametrize(
    ("name", "format", "sentence"),
    [
        ("plan", None, "plan: a plan is written as .npz or .json"),
        ("plan.txt", "sglang", "plan.txt: a plan of the format sglang is written as .json or .pt"),
        ("plan.vllm.json", None, "plan.vllm.json: vLLM reads no placement from a file"),
        ("plan.ascend.npz", None, "a plan of the format ascend is written as .json"),
        ("plan.json", "tensorrt-llm", "a plan of the format tensorrt-llm is written as .yaml or .yml"),
    ],
)
def test_names_that_do_not_fit(tmp_path, name, format, sentence):
    with pytest.raises(eplb.FileError) as raised:
        check_format(tmp_path / name, format)
    assert sentence in str(raised.value)


def test_every_format_is_documented():
    for name, form in FORMATS.items():
        assert f"`{name}`" in eplb.write_placement.__doc__
        assert all(suffix in eplb.write_placement.__doc__ for suffix in form.suffixes if suffix != ".yml")
