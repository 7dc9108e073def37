"""Files that nobody has thought of: whole ones that were damaged, and ones made of the words of their formats."""

import bz2
import csv
import functools
import gzip
import io
import json
import lzma
import zipfile

import numpy as np
from hypothesis import strategies as st
from making import archive, array, npy, patched, safetensors
from seeds import LOG_ROW, SETTINGS, make_seeds

NAMES = [
    *("counts", "weights", "logical_count", "logical_expert_load", "global_physical_count", "expert_load_pass"),
    *("physical_to_logical_map", "physical_to_logical", "num_logical_experts", "step_idx", "rank", "records"),
    *("forward_pass_id", "topk_ids_of_layer", "shape", "value", "logical_count_layout", "num_slots", "num_gpus"),
    *("num_experts", "layers", "has_dense_rows", "policy", "off_home_target", "num_nodes", "max_replicas"),
    *("gpu_slots", "gpu_speeds", "initial_global_assignments", "ep_size", "moe_layer_count", "layer_list"),
    *("device_list", "device_expert", "device_count", "version", "world_size", "num_redundant_experts_per_rank"),
    *("redundancy_expert_num", "default", "num_moe_layers", "0", "3"),
]
OF_STATES = ["eplb_rebalancer", "rule", "num_groups", "windows_seen", "num_windows", "window_0", "gpu_speed"]
# What stands in files, or is put into them: marks and numbers to which formats give a meaning.
PIECES = b'[ ] { " , *a -1 nan null 1e999 \x1b[31m'.split(b" ") + [b"9" * 30, b"&a ", b"\n", b"\0"]
OF_YAML = [b"initial_global_assignments: ", b"{0: [0, 1]}", b"num_slots: 2", b"- ", b"!!int ", b"<<: "]
integers = st.one_of(st.integers(-2, 9), st.sampled_from([2**18, 2**31, 2**53, 2**63 - 1, 2**63, 10**15, 10**25]))
floats = st.one_of(st.floats(width=32), st.sampled_from([1e308, -0.0, 0.5]))
names = st.one_of(st.sampled_from(NAMES), st.text(max_size=6))
words = st.one_of(st.sampled_from(["auto", "soft", "rank_layer_expert", "never", "fresh,every=2"]), st.text(max_size=9))
rows = st.lists(st.integers(-1, 9), min_size=1, max_size=6)
tables = st.integers(1, 4).flatmap(
    lambda length: st.lists(st.lists(integers, min_size=length, max_size=length), min_size=1, max_size=3)
)
values = st.recursive(
    st.one_of(integers, floats, words, st.booleans(), st.none(), rows, tables, st.builds(lambda t: [t, t], tables)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=8,
)
objects = st.dictionaries(names, values, min_size=1, max_size=6)
numbers, others = ["<i8", ">i4", "<f8", "<f2", "|u1", "<u8"], ["|b1", "<U3", "|S2", "|O", "<c16", "<M8[s]", "|V4", "x"]
types = st.sampled_from(numbers + others)
shapes = st.lists(st.one_of(st.integers(-1, 6), st.sampled_from([10**9, 2**63, 10**30])), max_size=4).map(tuple)
headers = st.one_of(
    st.fixed_dictionaries({"descr": types, "shape": shapes, "fortran_order": st.booleans()}),
    st.dictionaries(names, values, max_size=3),
    st.text(max_size=60),
)
made_arrays = st.one_of(tables, rows, integers.filter(lambda each: abs(each) < 2**63), floats, words).map(
    lambda value: array(np.asarray(value)) if np.asarray(value).dtype != object else array(1)
)
arrays = st.one_of(
    made_arrays, st.builds(npy, headers, st.binary(max_size=200), st.integers(0, 4)), st.binary(max_size=9)
)
patches = st.fixed_dictionaries(
    {}, optional={"flags": st.integers(0, 9), "method": st.integers(0, 99), "size": st.integers(0, 2**32 - 1)}
)


@st.composite
def archives(draw, of_names=names):
    members = draw(st.lists(st.tuples(of_names.map(lambda name: f"{name[:20]}.npy"), arrays), min_size=1, max_size=5))
    members = [(name.encode("utf-8", "replace").decode().replace("\0", "0"), content) for name, content in members]
    data = archive(members, draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))
    return patched(data, **draw(patches)) if draw(st.booleans()) else data


@st.composite
def states(draw):
    """Most of what belongs to one, and some of it changed."""
    known = {"eplb_rebalancer": 1, "rule": "never", "num_gpus": 2, "num_nodes": 1, "num_groups": 1, "windows_seen": 1}
    known |= {"num_windows": 1, "window_0": [[1, 2], [3, 4]], "physical_to_logical": [[0, 1], [1, 0]]}
    members = {name: array(value) for name, value in known.items()}
    members |= draw(st.dictionaries(st.sampled_from([*known, *OF_STATES, "gpu_slots"]), arrays, max_size=3))
    return archive([(f"{name}.npy", content) for name, content in members.items()])


def as_json(value):
    return json.dumps(value).encode("utf-8", "surrogatepass")


def as_table(cells):
    text = io.StringIO()
    csv.writer(text).writerows(cells)
    return text.getvalue().encode("utf-8", "surrogatepass")


cells = st.one_of(integers, st.integers(0, 99), floats, st.sampled_from(["", "layer_id", "expert_id", "count"]), words)
csvs = st.one_of(
    st.lists(st.lists(cells, min_size=1, max_size=4), min_size=1, max_size=5).map(as_table),
    st.lists(st.tuples(integers, integers, integers), min_size=1).map(
        lambda each: b"layer_id,expert_id,count\n" + as_table(each)
    ),
    tables.map(as_table),
)
tensors = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["I64", "F32", "BF16", "F8_E4M3", "BOOL", "U8", "X"]),
        "shape": st.lists(st.one_of(st.integers(0, 4), st.just(10**15)), max_size=3),
        "data_offsets": st.tuples(st.integers(0, 9), st.integers(0, 64)),
    }
)
tensor_names = st.one_of(st.sampled_from(["1_3", "1_4", "2_3", "__metadata__"]), words)
log_rows = st.dictionaries(st.one_of(st.sampled_from([*LOG_ROW, "change"]), words), values, max_size=3).map(
    lambda changes: {**LOG_ROW, **changes}
)
logs = st.lists(log_rows, max_size=3).map(
    lambda each: b"".join(as_json(line) + b"\n" for line in [{"eplb_replay": 1, **SETTINGS}, *each])
)
jsons = st.one_of(
    objects.map(as_json), values.map(as_json), st.lists(objects.map(as_json), min_size=2, max_size=3).map(b"\n".join)
)
yamls = st.one_of(
    objects.map(as_json),
    st.lists(st.sampled_from([*PIECES, *OF_YAML])).map(b"".join),
)
MADE = {
    "loads": {
        ".npy": arrays,
        ".npz": archives(),
        ".json": jsons,
        ".csv": csvs,
        ".safetensors": st.builds(
            safetensors, st.dictionaries(tensor_names, tensors, max_size=3), st.binary(max_size=64)
        ),
    },
    "placement": {".npy": arrays, ".npz": archives(), ".json": jsons, ".csv": csvs, ".yaml": yamls},
    "state": {".npz": st.one_of(states(), archives(st.sampled_from(OF_STATES)))},
    "GPUs": {".csv": csvs, ".json": jsons},
    "log": {".jsonl": logs},
}
MADE |= {"loads with labels": MADE["loads"], "placement of known size": MADE["placement"]}
# The usual dictionary of xz takes longer than all else.
PACKINGS = {".gz": gzip.compress, ".xz": functools.partial(lzma.compress, preset=0), ".bz2": bz2.compress}
suffixes_of_names = st.sampled_from(["", "", "", "rank7_", "\x1b[31m", "\n", "\u202e"])


@functools.cache
def seeds():
    return make_seeds()


@st.composite
def damaged(draw, data):
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del data[at : min(end, at + 8)]
        elif kind == 1:
            data[at : at + 1] = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)))
        elif kind == 2:
            # A part of it once more.
            data[at:at] = data[at : min(end, at + 64)]
        else:
            del data[end:]
    return bytes(data)


@st.composite
def files(draw, reader):
    """The name and the content of a file for a reader."""
    if draw(st.booleans()):
        name, content = draw(st.sampled_from(sorted(seeds()[reader].items())))
        content = draw(damaged(content))
    else:
        suffix, made = draw(st.sampled_from(sorted(MADE[reader].items(), key=lambda each: each[0])))
        name, content = f"a{suffix}", draw(made)
    if draw(st.integers(0, 9)) == 0:
        suffix, pack = draw(st.sampled_from(sorted(PACKINGS.items(), key=lambda each: each[0])))
        name, content = f"{name}{suffix}", pack(content)
    return draw(suffixes_of_names) + name, content
