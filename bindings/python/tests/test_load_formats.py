"""What engines write, built here field by field: SGLang, TensorRT-LLM, vLLM, vllm-ascend, lmdeploy."""

import json

import numpy as np
import pytest
from eplb import read_loads
from test_loads import TABLE, refused, write

# Layers 0 to 2 are dense; as many tokens of one MoE layer as in the other formats below.
DENSE = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [35, 25, 25, 15]]
# Experts 0 and 2 have two slots each.
MAP = [[0, 1, 2, 3, 0, 2], [2, 1, 0, 3, 0, 2]]


def only_moe_layer(loads):
    assert loads.counts.tolist() == [[[35, 25, 25, 15]]]
    assert (loads.layers.tolist(), loads.left_out.tolist(), loads.numbered) == ([3], [0, 1, 2], True)
    assert loads.notes == ("layers 0 to 2 without any load are left out, as dense layers are",)
    return True


def test_sglang_json(tmp_path):
    path = write(tmp_path / "dump.json", json.dumps({"logical_count": DENSE}))
    assert only_moe_layer(read_loads(path))
    assert read_loads(path).source == f"SGLang's logical_count: {path}"
    write(path, "\ufeff" + json.dumps({"logical_count": [DENSE, DENSE], "rank": 0}, indent=4))
    assert read_loads(path).counts.tolist() == [[[35, 25, 25, 15]]] * 2
    assert read_loads(path, layers=1, experts=4).layers.tolist() == [3]
    assert refused(path, layers=5).endswith("has 1 layer, and 3 more without any load, must have 5 as asked")


def test_a_list_as_lmdeploy_reads_it(tmp_path):
    for name in ("statistics.json", "statistics.csv", "statistics"):
        assert only_moe_layer(read_loads(write(tmp_path / name, json.dumps(DENSE))))


def test_unused_room_of_the_recorder(tmp_path):
    empty = np.zeros_like(DENSE)
    path = write(tmp_path / "dump.json", json.dumps({"logical_count": np.array([DENSE, empty, DENSE, empty]).tolist()}))
    loads = read_loads(path)
    assert loads.counts.shape == (2, 1, 4)
    assert loads.notes[0] == "2 of 4 windows are empty, as unused room of the recorder is, and left out"
    assert loads.source.endswith(", windows of a file as in the recorder's ring, which is not in order of time")
    np.savez(tmp_path / "ours.npz", counts=[TABLE, np.zeros_like(TABLE)])
    assert read_loads(tmp_path / "ours.npz").counts.shape == (2, 2, 4)


def test_nothing_but_zeros(tmp_path):
    path = write(tmp_path / "dump.json", json.dumps({"logical_count": [[[0, 0]] * 2] * 3}))
    assert refused(path) == f"{path}: all counts are zero"


def test_ranks_in_the_first_dimension(tmp_path):
    content = {"logical_count": [DENSE, DENSE], "logical_count_layout": "rank_layer_expert"}
    loads = read_loads(write(tmp_path / "dump.json", json.dumps(content)))
    assert loads.counts.tolist() == [[[70, 50, 50, 30]]]
    content["logical_count"] = [[[2**62]], [[2**62]]]
    assert "the sums are above 2^63 - 1" in refused(write(tmp_path / "dump.json", json.dumps(content)))


def long_table(rows):
    return "layer_id,expert_id,count\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows)


def test_sglang_long_table(tmp_path):
    rows = [(3, 1, 25), (3, 0, 35), (4, 2, 12), (3, 3, 15)]
    path = write(tmp_path / "dump.csv", long_table(rows))
    loads = read_loads(path)
    assert loads.counts.tolist() == [[[35, 25, 0, 15], [0, 0, 12, 0]]]
    assert (loads.layers.tolist(), loads.numbered) == ([3, 4], True)
    assert loads.notes == ("experts are counted by the largest number, 3: give their number if more have no load",)
    padded = read_loads(path, experts=6)
    assert padded.counts.tolist() == [[[35, 25, 0, 15, 0, 0], [0, 0, 12, 0, 0, 0]]]
    assert padded.notes == ()
    assert "has 4 experts, must have 3" in refused(path, experts=3)
    # As pandas writes it, with a column of its own.
    indexed = "".join(f"{n},{line}\n" for n, line in enumerate(long_table(rows).splitlines())).replace("0,l", ",l", 1)
    assert read_loads(write(path, indexed)).counts.tolist() == loads.counts.tolist()


def test_sglang_long_tables_of_ranks(tmp_path):
    # Every rank has its own time in its name, and leaves out what it never saw.
    for rank, rows in enumerate([[(3, 0, 1)], [(3, 2, 10), (4, 1, 5)]]):
        name = f"expert_distribution_rank{rank}_timestamp174446142{rank}.78{rank}.csv"
        write(tmp_path / name, long_table(rows))
    loads = read_loads(tmp_path)
    assert loads.counts.tolist() == [[[1, 0, 10], [0, 5, 0]]]
    assert "2 ranks summed" in loads.source


def test_a_long_table_next_to_others(tmp_path):
    np.savez(tmp_path / "1.npz", counts=TABLE, layers=[3, 4])
    write(tmp_path / "2.csv", long_table([(4, 1, 5)]))
    assert read_loads(tmp_path).counts.tolist() == [TABLE, [[0, 0, 0, 0], [0, 5, 0, 0]]]
    write(tmp_path / "2.csv", long_table([(5, 1, 5)]))
    assert "has layers or experts that" in refused(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (long_table([]), "there are no loads below the line of names"),
        (long_table([(3, 0, 1), (3, 0, 2)]), "line 3: expert 0 of layer 3 is there twice"),
        (long_table([(3, -1, 1)]), "line 2: expert -1 must be an integer from 0"),
        (long_table([(3.5, 1, 1)]), "line 2: layer 3.5 must be an integer from 0"),
        (long_table([("nan", 1, 1)]), "line 2: layer nan must be an integer from 0"),
        (long_table([(3, 10**12, 1)]), "line 2: expert 1000000000000 must be an integer from 0"),
        (long_table([(3, 1)]), "line 2: 2 values, but line 1 has 3"),
        (long_table([(3, 1, "x")]), "line 2: 'x' is no number"),
        (long_table([(3, 1, -4)]), "weights[layer 3, expert 1] is negative"),
        ("layer_id,expert_id,count,rank\n3,0,1,0\n", "has the columns layer_id, expert_id, count, but also 'rank'"),
    ],
)
def test_bad_long_tables(tmp_path, text, complaint):
    path = write(tmp_path / "dump.csv", text)
    assert refused(path).startswith(f"{path}")
    assert complaint in refused(path)


def tensorrt(folder, ranks, experts=4):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    write(folder / "meta_info.json", json.dumps({"num_experts": experts, "num_experts_per_token": 2}))
    for rank, tensors in enumerate(ranks):
        arrays = {name: np.array(values, np.int64) for name, values in tensors.items()}
        save_file(arrays, folder / f"rank{rank}.safetensors")
        save_file({"anything": np.ones(3)}, folder / f"rank{rank}_raw.safetensors")
    return folder


def test_tensorrt_statistics(tmp_path):
    ranks = [{"100_3": [20, 15, 15, 10], "9_3": [1, 0, 0, 0]}, {"100_3": [15, 10, 10, 5], "9_3": [0, 0, 0, 2]}]
    loads = read_loads(tensorrt(tmp_path / "100-200", ranks))
    assert loads.counts.tolist() == [[[1, 0, 0, 2]], [[35, 25, 25, 15]]]
    assert (loads.layers.tolist(), loads.numbered, loads.notes) == ([3], True, ())
    assert loads.source == "TensorRT-LLM statistics: 2 files, 2 ranks summed, in natural order of names"
    # Ranges are windows one after the other.
    tensorrt(tmp_path / "20-30", [{"20_3": [7, 7, 7, 7]}, {"20_3": [0, 0, 0, 1]}])
    assert read_loads(tmp_path).counts[:, 0, 3].tolist() == [8, 2, 15]


@pytest.mark.parametrize(
    ("ranks", "complaint"),
    [
        ([], "has meta_info.json, but no rank0.safetensors"),
        ([{"100_3": [1, 2]}], "has 2 experts, but meta_info.json says 4"),
        ([{"100_3": [1, 2, 3, 4], "101_4": [1, 2, 3, 4]}], "has no tensor 100_4"),
        ([{"100_3": [1, 2, 3, 4], "101_3": [1, 2, 3]}], "all must be [experts]"),
        ([{"100_3": [[1, 2, 3, 4]]}], "all must be [experts]"),
        ([{"layer_3": [1, 2, 3, 4]}], "must be called <iteration>_<layer>"),
        ([{}], "holds no tensors"),
        ([{"100_3": [1, 2, 3, 4]}, {"101_3": [1, 2, 3, 4]}], "window 0 of rank 1 is of 101, that of rank 0 of 100"),
        ([{"100_3": [1, 2, 3, 4]}, {"100_4": [1, 2, 3, 4]}], "has layer 4, but"),
    ],
)
def test_bad_tensorrt_statistics(tmp_path, ranks, complaint):
    assert complaint in refused(tensorrt(tmp_path, ranks))


def test_tensorrt_statistics_without_parts(tmp_path, monkeypatch):
    folder = tensorrt(tmp_path / "a", [{"100_3": [1, 2, 3, 4]}])
    write(folder / "meta_info.json", "{}")
    assert "must be an object with num_experts" in refused(folder)
    (folder / "meta_info.json").unlink()
    (folder / "rank0_raw.safetensors").unlink()
    assert read_loads(folder).counts.tolist() == [[[1, 2, 3, 4]]]
    cut = write(tmp_path / "rank0.safetensors", (folder / "rank0.safetensors").read_bytes()[:-8])
    assert "is no safetensors file that can be read" in refused(cut)
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    assert refused(folder).endswith("needs safetensors, which is not installed: pip install 'eplb[files]'")


def vllm_lines(steps):
    """As vLLM's profiling writes them: this rank's load of every slot, and the map."""

    def tensor(value):
        array = np.array(value)
        return {"shape": list(array.shape), "dtype": "torch.int64", "value": array.ravel().tolist()}

    lines = [
        {"step_idx": step, "ep_size": 2, "expert_load_pass": tensor(load), "physical_to_logical_map": tensor(MAP)}
        for step, load in steps.items()
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_vllm_lines_of_slots(tmp_path):
    load = [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]]
    path = write(tmp_path / "eplb.jsonl", vllm_lines({7: load, 8: np.multiply(load, 2)}))
    loads = read_loads(path)
    assert loads.counts[0].tolist() == [[6, 2, 9, 4], [8, 2, 7, 4]]
    assert loads.counts[1].tolist() == [[12, 4, 18, 8], [16, 4, 14, 8]]
    assert (loads.layers.tolist(), loads.numbered) == ([0, 1], False)
    for rank in range(2):
        write(tmp_path / f"eplb_rank{rank}.jsonl", vllm_lines({7: load}))
    path.unlink()
    assert read_loads(tmp_path).counts.tolist() == [[[12, 4, 18, 8], [16, 4, 14, 8]]]
    write(tmp_path / "eplb_rank1.jsonl", vllm_lines({8: load}))
    assert "window 0 of rank 1 is of 8, that of rank 0 of 7" in refused(tmp_path)


def test_vllm_lines_of_experts(tmp_path):
    line = json.dumps({"rank_load": [[930, 56]], "logical_load": [TABLE[0]], "ep_size": 2})
    for text in (line, f"{line}\n\n{line}\n", f"[{line}, {line}]"):
        loads = read_loads(write(tmp_path / "dump.json", text))
        assert loads.counts.tolist() == [[TABLE[0]]] * text.count("ep_size")
    assert "dump.json line 2: has 2 layers of 4 experts, but" in refused(
        write(tmp_path / "dump.json", f"{line}\n{json.dumps({'logical_load': TABLE})}\n")
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "no JSON that can be read"),
        ("[" * 100000, "no JSON that can be read"),
        ("[1, 2", "no JSON that can be read"),
        ("17", "must be an object or a list"),
        ("null", "must be an object or a list"),
        ("[]", "the array is empty"),
        ("[1, 2]", "the array has the shape [2]"),
        ("[[[[1]]]]", "the array has the shape [1, 1, 1, 1]"),
        ("[[1, 2], [3]]", "list 1 has 1 value, but another has 2"),
        ("[[[1], [1, 2]], [[1], [2]]]", "list 1 has 2 values, but another has 1"),
        ("[[1, 2], 3]", "list 1 has one value, but another has 2"),
        ("[[1, true]]", "holds true or false"),
        ("[[true, false]]", "holds true"),
        ('[["1", "2"]]', "holds text"),
        ("[[1, null]]", "holds objects"),
        ("[[1, {}]]", "holds objects"),
        ("[[1, NaN]]", "weights[layer 0, expert 1] is NaN"),
        ("[[1, -Infinity]]", "weights[layer 0, expert 1] is negative"),
        ("[[1e999, 1]]", "is infinite"),
        ("[[1, 18446744073709551616]]", "18446744073709551616 is an integer above 2^63 - 1"),
        ("[[1, 9223372036854775808]]", "9223372036854775808 is an integer above 2^63 - 1"),
        (f"[[1, {'9' * 5000}]]", "is an integer above 2^63 - 1"),
        ("{}", "must hold one array"),
        ('{"loads": [[1]]}', "must hold one array, or one called logical_count"),
        ('{"logical_count": 5}', "logical_count: the array has the shape []"),
        ('{"logical_count": {"0": [1]}}', "logical_count: is a mapping"),
        ('{"counts": [[1]], "counts": [[2]]}', "'counts' is there twice"),
        ('{"counts": "many"}', "counts: holds text"),
        ('{"physical_to_logical_map": [[0, 1]]}', "holds a placement, not loads"),
        ('{"moe_layer_count": 1, "layer_list": []}', "holds a placement, not loads"),
        ('{"expert_load_pass": [[1, 2]]}', "has loads of slots, but no physical_to_logical_map"),
        ('{"expert_load_pass": [[1, 2]], "physical_to_logical_map": [[0, 1, 2]]}', "must be integers [1, 2]"),
        ('{"expert_load_pass": [[1, 2]], "physical_to_logical_map": [[0, 0.5]]}', "must be integers [1, 2]"),
        ('{"expert_load_pass": [[1, 2]], "physical_to_logical_map": [[0, -2]]}', "holds experts -2 to 0"),
        ('{"expert_load_pass": [[1, 2]], "physical_to_logical_map": [[0, 9999999]]}', "holds experts 0 to 9999999"),
        ('{"expert_load_pass": [[1]], "physical_to_logical_map": [[5]], "num_logical_experts": 4}', "5 of 4"),
        ('{"expert_load_pass": [[1]], "physical_to_logical_map": [[-1]]}', "holds experts -1 to -1"),
        ('{"logical_load": [[1, 2]], "step_idx": "x"}', "step_idx"),
        ('{"logical_load": [[1, 2]]}\n{"logical_load": [[1, 2]\n', "line 2: no JSON that can be read"),
        ('{"logical_load": [[1, 2]]}\n[[1, 2]]\n', "line 2: must be an object"),
        ('{"records": []}', "records must be a list of mappings"),
    ],
)
def test_bad_json(tmp_path, text, complaint):
    path = write(tmp_path / "dump.json", text)
    sentence = refused(path)
    assert sentence.startswith(str(path))
    assert complaint in sentence


def test_a_slot_without_an_expert_serves_nobody(tmp_path):
    content = {"expert_load_pass": [[5, 6, 7]], "physical_to_logical_map": [[1, -1, 1]], "num_logical_experts": 3}
    assert read_loads(write(tmp_path / "a.json", json.dumps(content))).counts.tolist() == [[[0, 12, 0]]]


# ------------------------------------------------------------------------------------------------------ torch.save


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
    assert "window 1 of rank 1 is of 43, that of rank 0 of 42" in refused(tmp_path)


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
        ({"weight": np.ones((2, 2))}, "must hold one array"),
    ):
        assert complaint in refused(save("a.pt", value))
    whole = save("a.pt", np.array(TABLE)).read_bytes()
    write(tmp_path / "a.pt", whole[: len(whole) // 2])
    assert "a.pt: is not a file of torch.save, as its name says" in refused(tmp_path / "a.pt")


def test_without_torch(tmp_path, monkeypatch):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert refused(tmp_path / "a.pt").endswith("a.pt: needs torch, which is not installed: pip install torch")
