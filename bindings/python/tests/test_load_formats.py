"""What engines write, built here field by field: SGLang, TensorRT-LLM, vLLM, lmdeploy."""

import json
import sys

import numpy as np
import pytest
from eplb import read_loads
from load_files import DENSE, TABLE, long_table, only_moe_layer, refused, vllm_lines, write


def test_sglang_json(tmp_path):
    path = write(tmp_path / "dump.json", json.dumps({"logical_count": DENSE}))
    assert only_moe_layer(read_loads(path))
    assert read_loads(path).source == f"SGLang's logical_count: {path}"
    write(path, "\ufeff" + json.dumps({"logical_count": [DENSE, DENSE], "rank": 0}, indent=4))
    assert read_loads(path).counts.tolist() == [[[35, 25, 25, 15]]] * 2
    assert read_loads(path).counts.flags.carray
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
    assert loads.source.endswith(", windows of a file as in the recorder's ring, which need not be in order of time")
    np.savez(tmp_path / "ours.npz", counts=[TABLE, np.zeros_like(TABLE)])
    assert read_loads(tmp_path / "ours.npz").counts.shape == (2, 2, 4)


def test_nothing_but_zeros(tmp_path):
    path = write(tmp_path / "dump.json", json.dumps({"logical_count": [[[0, 0]] * 2] * 3}))
    assert refused(path) == f"{path}: all counts are zero"


def test_negative_shares_are_not_hidden_by_sums(tmp_path):
    ranks = {"logical_count": [[[5, 7]], [[-3, 7]]], "logical_count_layout": "rank_layer_expert"}
    slots = {"expert_load_pass": [[5, -3, 7]], "physical_to_logical_map": [[0, 0, 1]]}
    for content in (ranks, slots):
        assert refused(write(tmp_path / "a.json", json.dumps(content))).endswith("holds -3, must be at least 0")


def test_ranks_in_the_first_dimension(tmp_path):
    content = {"logical_count": [DENSE, DENSE], "logical_count_layout": "rank_layer_expert"}
    loads = read_loads(write(tmp_path / "dump.json", json.dumps(content)))
    assert loads.counts.tolist() == [[[70, 50, 50, 30]]]
    content["logical_count"] = [[[2**62]], [[2**62]]]
    assert "the sums are above 2^63 - 1" in refused(write(tmp_path / "dump.json", json.dumps(content)))


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
    write(tmp_path / "1.json", json.dumps({"logical_count": TABLE}))
    write(tmp_path / "2.csv", long_table([(1, 1, 5)]))
    assert read_loads(tmp_path).counts.tolist() == [TABLE, [[0, 0, 0, 0], [0, 5, 0, 0]]]
    write(tmp_path / "2.csv", long_table([(2, 1, 5)]))
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
        (
            [{"100_3": [1, 2, 3, 4]}, {"101_3": [1, 2, 3, 4]}],
            "rank 1 has 1 window, but rank 0 has 1, none of which are the same",
        ),
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
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    assert refused(folder).endswith("needs safetensors, which is not installed: pip install 'eplb[files]'")


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
    assert "rank 1 has 1 window, but rank 0 has 1, none of which are the same" in refused(tmp_path)
    write(tmp_path / "eplb_rank1.jsonl", vllm_lines({7: load, 8: load}))
    loads = read_loads(tmp_path)
    assert loads.counts.tolist() == [[[12, 4, 18, 8], [16, 4, 14, 8]]]
    assert loads.notes == ("1 window that not all ranks have is left out",)


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
        ("\ufeff\n", "the file is empty"),
        ("\x1c", "the file is empty"),
        ("[" * 100000, "no JSON that can be read"),
        ("[1, 2", "no JSON that can be read"),
        ("17", "must be an object or a list"),
        ("null", "must be an object or a list"),
        ("[]", "the array is empty"),
        ("[1, 2]", "the array has the shape [2]"),
        ("[[[[1]]]]", "the array has the shape [1, 1, 1, 1]"),
        ("[[1, 2], [3]]", "a list has 1 value, but one before it has 2"),
        ("[[[1], [1, 2]], [[1], [2]]]", "a list has 2 values, but one before it has 1"),
        ("[[1, 2], 3]", "'3' stands next to a list of 2"),
        ("[[[1, 2]], [[3]]]", "a list has 1 value, but one before it has 2"),
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
        ("{}", "must hold loads called logical_count"),
        ('{"loads": [[1]]}', "but holds: loads"),
        ('{"logical_count": 5}', "logical_count: the array has the shape []"),
        ('{"logical_count": {"0": [1]}}', "logical_count: is a mapping"),
        ('{"counts": [[1]], "counts": [[2]]}', "'counts' is there twice"),
        ('{"counts": {"shape": [2, -1], "value": [1, 2, 3, 4]}}', "a shape and a value of that shape"),
        ('{"counts": {"shape": [2, 2], "value": [1, 2, 3]}}', "a shape and a value of that shape"),
        ('{"counts": {"shape": [1.0, 3], "value": [1, 2, 3]}}', "a shape and a value of that shape"),
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
