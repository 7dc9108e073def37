"""Files with placements that are not what they should be: one sentence each, whatever is wrong."""

import copy
import gzip
import json

import eplb
import numpy as np
import pytest
from eplb._files.placements import FORMATS
from hypothesis import given, settings
from hypothesis import strategies as st

ROWS = [[0, 1, 2, 3, 0, 1], [3, 2, 1, 0, 3, 2]]
# A file of each kind of JSON.
WHOLE = {
    "eplb": {"physical_to_logical": ROWS, "num_gpus": 2, "layers": [3, 4], "gpu_slots": [3, 3], "policy": "soft"},
    "sglang": {"physical_to_logical_map": ROWS},
    "ascend": {
        "moe_layer_count": 1,
        "layer_list": [
            {
                "layer_id": 0,
                "device_count": 2,
                "device_list": [
                    {"device_id": 0, "device_expert": [0, 1, 2]},
                    {"device_id": 1, "device_expert": [0, 3, 2]},
                ],
            }
        ],
    },
    "lightllm": {
        "version": 1,
        "num_logical_experts": 4,
        "world_size": 2,
        "num_redundant_experts_per_rank": 1,
        "layers": {"3": [[0, 1, 2], [0, 3, 2]]},
    },
    "lightllm-older": {"redundancy_expert_num": 1, "3": [0], "default": [1]},
}
YAML = "num_slots: 6\nlayer_updates_per_iter: 0\ninitial_global_assignments:\n  3: [0, 1, 2, 3, 0, 1]\n"
SIZES = {"num_gpus": 2, "num_experts": 4}


def refusal(path, **sizes):
    with pytest.raises(eplb.FileError) as raised:
        eplb.read_placement(path, **sizes)
    sentence = str(raised.value)
    assert sentence.startswith((f"{path}: ", f"{path} line "))
    assert "\n" not in sentence
    return sentence


def changed(form, *places, value):
    """A file of a format with one value in it replaced, or removed if it is None."""
    content = copy.deepcopy(WHOLE[form])
    at = content
    for place in places[:-1]:
        at = at[place]
    at[places[-1]] = value
    return json.dumps(content)


def test_each_is_whole(tmp_path):
    for form, content in WHOLE.items():
        (tmp_path / "plan.json").write_text(json.dumps(content))
        assert eplb.read_placement(tmp_path / "plan.json", **SIZES).num_gpus == 2, form


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("\ufeff\n", "the file is empty"),
        ("{", "no JSON that can be read"),
        ("[" * 100_000, "no JSON that can be read"),
        ('{"a": ' * 100_000, "no JSON that can be read"),
        ("[]", "holds no physical_to_logical"),
        ("3", "holds no physical_to_logical"),
        ("{}", "holds no placement, which would be called one of physical_to_logical, physical_to_logical_map, "),
        ('{"logical_count": [[1, 2]]}', "holds loads, not a placement: logical_count"),
        ('{"physical_to_logical": [[0, 1], [0]]}', "a table of integers: row 1 has 1 slot, but row 0 has 2"),
        ('{"physical_to_logical": [[0.0, 1]]}', "a table of integers: row 0, slot 0 is 0.0, which is no expert"),
        ('{"physical_to_logical": [[0, true]]}', "row 0, slot 1 is true, which is no expert"),
        ('{"physical_to_logical": [[0, null]]}', "row 0, slot 1 is null, which is no expert"),
        ('{"physical_to_logical": [["0", 1]]}', "row 0, slot 0 is '0', which is no expert"),
        ('{"physical_to_logical": [[0, [1]]]}', "row 0, slot 1 is a list, which is no expert"),
        ('{"physical_to_logical": [[0, -2]]}', "row 0, slot 1 is -2, which is no expert"),
        ('{"physical_to_logical": [[0, 18446744073709551616]]}', "is 18446744073709551616, which is no expert"),
        (
            '{"physical_to_logical": [[1' + "0" * 5000 + "]]}",
            "slot 0 is 100000000000000000000, which is no expert",
        ),
        ('{"physical_to_logical": [[NaN]]}', "row 0, slot 0 is nan, which is no expert"),
        ('{"physical_to_logical": []}', "must be a table of integers, is a list"),
        ('{"physical_to_logical": [[]]}', "row 0 must be a list that is not empty"),
        ('{"physical_to_logical": {"0": [1]}}', "must be a table of integers, is a mapping"),
        ('{"physical_to_logical": [[0]], "physical_to_logical": [[0]]}', "'physical_to_logical' is there twice"),
        ('{"physical_to_logical_map": [[0, 1], [0]]}', "physical_to_logical_map must be a table of integers: row 1"),
        (changed("eplb", "num_gpus", value=True), "num_gpus must be an integer from 1 to 2147483647, is true"),
        (changed("eplb", "num_gpus", value="2"), "num_gpus must be an integer from 1 to 2147483647, is '2'"),
        (changed("eplb", "num_gpus", value=4), "6 slots of a layer are no multiple of 4 GPUs"),
        (changed("eplb", "num_slots", value=7), "num_slots is 7, but a layer has 6 slots"),
        (changed("eplb", "num_experts", value=3), "placement[layer 0, slot 3] is 3, but there are 3 experts"),
        (changed("eplb", "num_nodes", value=0), "num_nodes must be an integer from 1"),
        (changed("eplb", "layers", value=[3, True]), "layers must be a list of integers"),
        (changed("eplb", "layers", value=[4, 3]), "layers must ascend, but 3 comes after 4"),
        (changed("eplb", "layers", value=[4]), "layers has 1 numbers, but the placement has 2 layers"),
        (changed("eplb", "gpu_slots", value=[3, "3"]), "gpu_slots must have a number for each GPU"),
        (changed("eplb", "gpu_slots", value=[3, True]), "gpu_slots must have a number for each GPU"),
        (changed("eplb", "has_dense_rows", value=1), "has_dense_rows must be true or false, is 1"),
        (changed("eplb", "policy", value=1), "policy must be a name, is 1"),
        (changed("eplb", "off_home_target", value=float("nan")), "off_home_target must be a number, is nan"),
        (changed("eplb", "gpu_speeds", value=[1, float("inf")]), "gpu_speeds must have a number for each GPU"),
        (changed("ascend", "moe_layer_count", value=2), "moe_layer_count is 2, but layer_list has 1"),
        (changed("ascend", "moe_layer_count", value="1"), "moe_layer_count must be an integer"),
        (changed("ascend", "layer_list", value={}), "layer_list must be a list that is not empty"),
        (changed("ascend", "layer_list", 0, value=3), "layer_list[0] must be a mapping"),
        (changed("ascend", "layer_list", 0, "device_count", value=3), "layer_list[0].device_list has 2 devices, but"),
        (changed("ascend", "layer_list", 0, "device_list", value=[]), "layer_list[0].device_list must be a list"),
        (
            changed("ascend", "layer_list", 0, "device_list", 1, "device_expert", value=[0, 3]),
            "layer_list[0], device 1 has 2 slots, but layer_list[0], device 0 has 3",
        ),
        (
            changed("ascend", "layer_list", 0, "device_list", 1, "device_expert", value=[0, 3, True]),
            "layer_list[0].device_list[1].device_expert, slot 2 is true, which is no expert",
        ),
        (changed("lightllm", "version", value=2), "version is 2, must be 1"),
        (changed("lightllm", "world_size", value=3), "layer 3 has 2 ranks, but world_size is 3"),
        (changed("lightllm", "num_redundant_experts_per_rank", value=2), "layer 3, rank 0 has 3 slots, must have 4"),
        (changed("lightllm", "layers", value=[[0]]), "layers must be a mapping that is not empty"),
        (changed("lightllm", "layers", "03", value=[[0]]), "the layer '03' of layers must be an integer in quotes"),
        (changed("lightllm", "layers", "-1", value=[[0]]), "the layer '-1' of layers must be"),
        (changed("lightllm", "layers", "three", value=[[0]]), "the layer 'three' of layers must be"),
        (changed("lightllm", "layers", "3", 0, value=[0, 1, 4]), "is 4, but there are 4 experts"),
        (changed("lightllm-older", "3", value=[0, 1]), "layer 3 must be 1 experts, as redundancy_expert_num says"),
        (changed("lightllm-older", "3", value=0), "layer 3 must be a list that is not empty"),
        (changed("lightllm-older", "redundancy_expert_num", value="1"), "redundancy_expert_num must be an integer"),
        (changed("lightllm-older", "note", value=[0]), "the layer 'note' of the file must be an integer in quotes"),
    ],
)
def test_json(tmp_path, text, sentence):
    path = tmp_path / "plan.json"
    path.write_text(text)
    sizes = SIZES if "redundancy_expert_num" in text else {}
    assert sentence in refusal(path, **sizes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "holds no physical_to_logical"),
        ("a: ]", " line 1: no YAML that can be read: "),
        ("a: 1\na: 2\n", " line 2: no YAML that can be read: 'a' is there twice"),
        (YAML + "  3: [0, 1, 2, 3, 0, 1]\n", " line 5: no YAML that can be read: 3 is there twice"),
        (YAML + "  0x3: [0, 1, 2, 3, 0, 1]\n", " line 5: no YAML that can be read: 3 is there twice"),
        (YAML + "  4: [0, 1]\n", "layer 4 has 2 slots, but layer 3 has 6"),
        (YAML + "  4: [0, 1, 2, 3, 0, true]\n", "layer 4, slot 5 is true, which is no expert"),
        (YAML + "  4: [0, 1, 2, 3, 0, yes]\n", "layer 4, slot 5 is true, which is no expert"),
        (YAML + "  4: [0, 1, 2, 3, 0, '1']\n", "layer 4, slot 5 is '1', which is no expert"),
        (YAML + "  4: [0, 1, 2, 3, 0, 1.0]\n", "layer 4, slot 5 is 1.0, which is no expert"),
        (YAML + "  4: [0, 1, 2, 3, 0, 2001-01-01]\n", "which is no expert"),
        (YAML + "  4: [0, 1, 2, 3, 0, 2001-99-01]\n", "no YAML that can be read: month must be in 1..12"),
        (YAML + "  4: [0, 1, 2, 3, 0, 1" + "0" * 5000 + "]\n", "no YAML that can be read"),
        (YAML + "  4: 3\n", "layer 4 must be a list that is not empty"),
        (YAML + "  '4': [0, 1, 2, 3, 0, 1]\n", "the layer '4' of initial_global_assignments must be an integer"),
        (YAML + "  4.0: [0, 1, 2, 3, 0, 1]\n", "the layer 4.0 of initial_global_assignments must be an integer"),
        (YAML + "  true: [0, 1, 2, 3, 0, 1]\n", "the layer true of initial_global_assignments must be an integer"),
        (YAML + "  -1: [0, 1, 2, 3, 0, 1]\n", "the layer -1 of initial_global_assignments must be an integer"),
        (YAML + "  ? [4]\n  : [0, 1, 2, 3, 0, 1]\n", "no YAML that can be read"),
        (YAML + "  4: &a [0, 1, 2, 3, 0, *a]\n", "layer 4, slot 5 is a list, which is no expert"),
        (YAML + "  4: *b\n", "no YAML that can be read: found undefined alias"),
        (
            YAML + "  4: !!python/object/apply:os.system [ls]\n",
            " line 5: no YAML that can be read: could not determine",
        ),
        (YAML.replace("num_slots: 6\n", ""), "has no num_slots"),
        (YAML.replace("6", "7"), "num_slots is 7, but a layer has 6 slots"),
        (YAML.replace("6", "'6'"), "num_slots must be an integer from 1 to 2147483647, is '6'"),
        ("initial_global_assignments: {}\n", "initial_global_assignments must be a mapping that is not empty"),
        ("initial_global_assignments: " + "[" * 100_000, "no YAML that can be read"),
        ("- " * 100_000, "no YAML that can be read"),
        ("a: 1\n---\nb: 2\n", "no YAML that can be read"),
        ("a: \x07\n", "no YAML that can be read"),
    ],
)
@pytest.mark.parametrize("loader", ["libyaml", "Python"])
def test_yaml(tmp_path, monkeypatch, text, sentence, loader):
    yaml = pytest.importorskip("yaml")
    if loader == "Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    assert sentence in refusal(path)


def test_yaml_of_any_style(tmp_path):
    """What TensorRT-LLM itself would read: anchors, blocks, a mark of the byte order."""
    pytest.importorskip("yaml")
    path = tmp_path / "plan.yaml"
    text = (
        YAML.replace("[0, 1", "&same [0, 1") + "  5: *same\n  4:\n" + "".join(f"  - {expert}\n" for expert in ROWS[1])
    )
    path.write_text("\ufeff" + text, encoding="utf-8")
    read = eplb.read_placement(path)
    assert read.layers.tolist() == [3, 4, 5]
    assert read.physical_to_logical.tolist() == [ROWS[0], ROWS[1], ROWS[0]]


@pytest.mark.parametrize("before", ["", "# Made by hand.\n\n---\n", "%YAML 1.1\n---\n"])
@pytest.mark.parametrize("name", ["plan", "plan.txt"])
def test_yaml_without_its_name(tmp_path, before, name):
    pytest.importorskip("yaml")
    (tmp_path / name).write_text(before + YAML)
    assert eplb.read_placement(tmp_path / name).physical_to_logical.tolist() == ROWS[:1]


@pytest.mark.parametrize("name", ["plan.json", "plan.csv", "plan"])
def test_byte_order_mark(tmp_path, name):
    table = "\n".join(",".join(map(str, row)) for row in ROWS)
    text = table if name == "plan.csv" else json.dumps(WHOLE["sglang"])
    (tmp_path / name).write_text("\ufeff" + text, encoding="utf-8")
    assert eplb.read_placement(tmp_path / name).physical_to_logical.tolist() == ROWS


CONTENTS = {
    "gzip": gzip.compress(gzip.compress(json.dumps(WHOLE["sglang"]).encode())),
    "UTF-16": json.dumps(WHOLE["sglang"]).encode("utf-16"),
    "a zip archive": b"PK\x03\x04" + bytes(20),
    "no numpy file": b"\x93NUMPY" + bytes(20),
    "a pickle": b"\x80\x04}\x94.",
}


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".csv", ".npz", ".npy", ".pt", ""])
@pytest.mark.parametrize("kind", CONTENTS)
def test_something_else(tmp_path, suffix, kind):
    """Broken or packed twice, so that nothing of what a suffix says is there."""
    path = tmp_path / f"plan{suffix}"
    path.write_bytes(CONTENTS[kind])
    sentence = refusal(path)
    assert kind in sentence or (suffix in (".npz", ".npy", ".pt") and sentence.endswith(", as its name says"))


def test_npz_and_npy(tmp_path):
    for name, array in (
        ("floats", np.array(ROWS, float)),
        ("flat", np.array(ROWS[0])),
        ("empty", np.empty((0, 4), int)),
        ("booleans", np.array(ROWS, bool)),
        ("words", np.array([["a"]])),
    ):
        np.save(tmp_path / "plan.npy", array)
        np.savez(tmp_path / "plan.npz", physical_to_logical=array)
        for suffix in (".npy", ".npz"):
            assert "must be a table of integers" in refusal(tmp_path / f"plan{suffix}"), name
    np.save(tmp_path / "plan.npy", np.array([[0, 2**64 - 1]], np.uint64))
    assert "row 0, slot 1 is 18446744073709551615, which is no expert" in refusal(tmp_path / "plan.npy")
    np.savez(tmp_path / "plan.npz", physical_to_logical=ROWS, num_gpus=np.array(True))
    assert "num_gpus must be an integer from 1 to 2147483647, is true" in refusal(tmp_path / "plan.npz")
    np.savez(tmp_path / "plan.npz", physical_to_logical=ROWS, num_gpus=np.array([2]))
    assert "num_gpus must be an integer from 1 to 2147483647, is a list" in refusal(tmp_path / "plan.npz")
    np.savez(tmp_path / "plan.npz", physical_to_logical=np.array([{}], object))
    assert "pickled objects" in refusal(tmp_path / "plan.npz")


def test_no_file(tmp_path):
    for suffix in (".json", ".yaml", ".npz", ".npy", ".csv", ".pt", ""):
        assert refusal(tmp_path / f"nothing{suffix}").endswith(": no such file or directory")
        assert refusal(tmp_path) == f"{tmp_path}: is a directory"


HOSTILE = [None, True, -1, -2, 0, 1.5, 2**31, 2**64, "3", "", [], {}, [[]], [0], {"3": 0}, "x" * 10_000]


def places_in(content, path=()):
    """Where values are in nested lists and mappings, outer ones too."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places_in(value, (*path, key))


@settings(max_examples=300)
@given(st.data())
def test_one_wrong_value_is_one_sentence_or_fine(tmp_path_factory, data):
    form = data.draw(st.sampled_from(sorted(WHOLE)))
    place = data.draw(st.sampled_from(list(places_in(WHOLE[form]))))
    text = changed(form, *place, value=data.draw(st.sampled_from(HOSTILE)))
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    path.write_text(text)
    try:
        placement = eplb.read_placement(path, **SIZES)
    except eplb.FileError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        assert len(str(error)) < len(str(path)) + 300
    else:
        assert placement.physical_to_logical.min() >= -1


def test_every_format_is_here():
    assert set(WHOLE) | {"tensorrt-llm"} == set(FORMATS)
