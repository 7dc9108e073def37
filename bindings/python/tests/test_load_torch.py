"""Loads that torch.save wrote, as SGLang, vLLM and users of vllm-ascend have them."""

import sys
import zipfile

import numpy as np
import pytest
from eplb import read_loads
from load_files import DENSE, MAP, TABLE, only_moe_layer, refused, write


@pytest.fixture
def save(tmp_path):
    torch = pytest.importorskip("torch")

    def to_tensors(value):
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        if isinstance(value, dict):
            return {name: to_tensors(each) for name, each in value.items()}
        return [to_tensors(each) for each in value] if isinstance(value, list) else value

    def write_tensors(name, value, **options):
        torch.save(to_tensors(value), tmp_path / name, **options)
        return tmp_path / name

    return write_tensors


def test_sglang_stat(save):
    content = {"rank": 0, "logical_count": np.array([DENSE], np.int32), "average_utilization_rate_over_window": None}
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        assert only_moe_layer(read_loads(save("expert_distribution_recorder_1732990000.5.pt", content, **options)))


def records(rank, passes, tokens=False):
    """Of one rank: each pass counts [L,P], or has tokens [L,n,k] that picked slots."""
    field = "topk_ids_of_layer" if tokens else "global_physical_count"
    listed = [
        {"forward_pass_id": number, "rank": rank, "gatherer_key": "primary", field: np.array(value, np.int32)}
        for number, value in passes
    ]
    return {"records": listed, "last_physical_to_logical_map": np.array(MAP)}


def test_sglang_passes(save, tmp_path):
    counts = np.array([[1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0]])
    # Ranks write at different times.
    save("recorder_1732990000.5_0.pt", records(0, [(41, counts), (42, 2 * counts)]))
    save("recorder_1732990000.12_1.pt", records(1, [(41, counts), (42, counts)]))
    loads = read_loads(tmp_path)
    assert loads.counts.tolist() == [[[12, 4, 18, 8]], [[18, 6, 27, 12]]]
    assert (loads.layers.tolist(), loads.left_out.tolist()) == ([0], [1])
    assert "2 ranks summed" in loads.source
    save("recorder_1732990000.12_1.pt", records(1, [(41, counts), (43, counts)]))
    loads = read_loads(tmp_path)
    assert loads.counts.tolist() == [[[12, 4, 18, 8]]]
    assert loads.notes[0] == "2 windows that not all ranks have are left out"
    save("recorder_1732990000.12_1.pt", records(1, [(44, counts), (43, counts)]))
    assert "rank 1 has 2 windows, but rank 0 has 2, none of which are the same" in refused(tmp_path)


def test_passes_of_several_dumps(save, tmp_path):
    # Numbers of passes begin again where a server does.
    counts = np.ones((2, 6), int)
    for rank in range(2):
        for time in (1, 2):
            save(f"recorder_173299000{time}.{rank}_{rank}.pt", records(rank, [(0, time * counts), (1, time * counts)]))
    assert read_loads(tmp_path).counts[:, 0, 1].tolist() == [2, 2, 4, 4]


def test_sglang_halves_of_a_pass(save):
    path = save("a.pt", records(0, [(41, np.ones((2, 6), int)), (41, np.ones((2, 6), int))]))
    assert read_loads(path).counts.tolist() == [[[4, 2, 4, 2], [4, 2, 4, 2]]]


def test_sglang_tokens(save):
    # Two tokens with two choices each; -1 is padding.
    path = save("a.pt", records(0, [(41, [[[0, 1], [4, -1]], [[0, 5], [3, 2]]])], tokens=True))
    assert read_loads(path).counts.tolist() == [[[2, 1, 0, 0], [1, 0, 2, 1]]]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"topk_ids_of_layer": np.full((2, 1, 2), 6)}, "must be slots below 6"),
        ({"topk_ids_of_layer": np.zeros((3, 1, 2), int)}, "must be slots below 6"),
        ({"topk_ids_of_layer": np.zeros((2, 1, 2))}, "must be slots below 6"),
        ({"global_physical_count": np.zeros((2, 5), int)}, "global_physical_count is [2, 5], must be [2, 6]"),
        ({}, "has neither global_physical_count nor topk_ids_of_layer"),
    ],
)
def test_bad_records(save, change, complaint):
    content = records(0, [(41, np.ones((2, 6), int))])
    del content["records"][0]["global_physical_count"]
    content["records"][0].update(change)
    assert complaint in refused(save("a.pt", content))


def test_records_of_several_ranks(save):
    content = records(0, [(41, np.ones((2, 6), int)), (42, np.ones((2, 6), int))])
    content["records"][1]["rank"] = 1
    assert "must have those of one" in refused(save("a.pt", content))


def test_vllm_dump(save, tmp_path):
    for number, factor in ((9, 1), (10, 2)):
        content = {"logical_expert_load": factor * np.array(TABLE), "num_logical_experts": 4, "rearrangement": number}
        save(f"load.rearr{number}.pt", content)
    loads = read_loads(tmp_path)
    assert loads.counts.tolist() == [TABLE, np.multiply(2, TABLE).tolist()]
    assert (loads.numbered, loads.layers.tolist()) == (False, [0, 1])


def test_ascend_tensor(save):
    torch = pytest.importorskip("torch")
    for table in (np.array(TABLE), np.array(TABLE, np.float32)):
        assert read_loads(save("load.pt", table)).counts.tolist() == [TABLE]
    # numpy has no such type.
    path = save("load.pt", torch.tensor(TABLE).to(torch.bfloat16).requires_grad_())
    assert read_loads(path).counts.tolist() == [torch.tensor(TABLE).to(torch.bfloat16).tolist()]


class Strange:
    """Something that only unpickling would run."""

    def __reduce__(self):
        return (pytest.fail, ("was unpickled",))


def test_nothing_is_unpickled(save):
    sentence = refused(save("a.pt", {"logical_count": np.array(DENSE), "more": Strange()}))
    assert sentence.endswith("a.pt: holds more than tensors, numbers and lists, which is never unpickled")


def test_bad_torch_files(save, tmp_path):
    for value, complaint in (
        (["a"], "holds a list"),
        (np.zeros((0, 4)), "the array is empty"),
        (np.ones(4), "the array has the shape [4]"),
        ({"physical_to_logical_map": np.array(MAP)}, "holds a placement, not loads"),
        ({"weight": np.ones((2, 2))}, "must hold loads called logical_count"),
    ):
        assert complaint in refused(save("a.pt", value))
    whole = save("a.pt", np.array(TABLE)).read_bytes()
    write(tmp_path / "a.pt", whole[: len(whole) // 2])
    assert "a.pt: is not a file of torch.save, as its name says" in refused(tmp_path / "a.pt")


def test_without_torch(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert refused(tmp_path / "a.pt").endswith("a.pt: needs torch, which is not installed: pip install torch")
