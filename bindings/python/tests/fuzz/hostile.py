"""Files that have broken a reader, or would break a careless one, and a part of the sentence that refuses each."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import numpy as np
from making import archive, array, npy, patched, safetensors
from seeds import LOG_ROW, OLDER, SETTINGS, has, log

TABLE = np.arange(1, 17).reshape(2, 8)
GOOD = array(TABLE)
ONE = archive([("counts.npy", GOOD)])
HUGE = {"descr": "<i8", "shape": (10**6, 10**9)}
# Of each packed one, several follow each other.
ZEROS, TIMES = bytes(1 << 20), 300
ESCAPES, ESCAPED = "a\x1b[31m\x9b1m\n\u202eb", r"a\\x1b\[31m\\x9b1m\\n\\u202eb"


def state(**changes):
    """A state of a Rebalancer; None leaves something out."""
    known = {"eplb_rebalancer": 1, "rule": "never", "num_gpus": 2, "num_nodes": 1, "num_groups": 1, "windows_seen": 1}
    known |= {"num_windows": 1, "window_0": TABLE, "physical_to_logical": TABLE - 1, **changes}
    return archive([(f"{name}.npy", array(value)) for name, value in known.items() if value is not None])


def saved_by_torch(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def row(**changes):
    return (json.dumps({"eplb_replay": 1, **SETTINGS}) + "\n" + json.dumps({**LOG_ROW, **changes}) + "\n").encode()


NUMPY = {
    "huge": (npy(HUGE, bytes(64)), r"claims to hold \[1000000, 1000000000\] values of int64, but has 64 bytes"),
    "huger": (npy({"descr": "<f8", "shape": (2**62, 2**62)}), "claims to hold"),
    "huge and empty": (npy({"descr": "<f8", "shape": (0, 10**15)}), "the array is empty"),
    "digits": (npy({"descr": "<f8", "shape": (10**4000, 10**4000)}), "claims to hold"),
    "negative": (npy({"descr": "<i8", "shape": (-2, -8)}, bytes(128)), "claims to hold"),
    "dimensions": (npy({"descr": "<i8", "shape": (1,) * 100}, bytes(8)), "no numpy file that can be read"),
    "empty text": (npy({"descr": "<U0", "shape": (10**6, 10**6)}), "must hold numbers"),
    "no bytes": (npy({"descr": "|V0", "shape": (10**6, 10**6)}), "must hold numbers"),
    "records": (npy({"descr": [("a", "<i8")], "shape": (2, 8)}, bytes(128)), "must hold numbers"),
    "arrays of arrays": (npy({"descr": ("<i8", (10**6, 10**6)), "shape": (2, 8)}, bytes(128)), "numpy file|numbers"),
    "objects": (npy({"descr": "|O", "shape": (2,)}, b"\x80\x02N."), "never unpickled"),
    "dates": (npy({"descr": "<M8[s]", "shape": (2, 8)}, bytes(128)), "must hold numbers"),
    "cut off": (GOOD[:-5], "claims to hold"),
    "cut off in its header": (GOOD[:9], "no numpy file that can be read"),
    "deep": (npy("{'descr': '<i8', 'shape': " + "(" * 4000 + ")" * 4000 + "}"), "no numpy file that can be read"),
    "long header": (npy("{" * 200_000, version=2), "no numpy file that can be read"),
    "version": (npy(HUGE, version=3), "its version is 3.0"),
    "what Python warns of": (npy("{'descr': '<i8', 'shape': (1is 1,), 'fortran_order': 0}"), "no numpy file"),
    "escapes": (npy({"descr": "<i8", "shape": (2, 8), ESCAPES: 1}), "no numpy file that can be read"),
}
ARCHIVES = {
    "encrypted": (patched(ONE, flags=1), "'counts.npy' is encrypted"),
    **{f"method {n}": (patched(ONE, method=n), f"method {n} of zip") for n in (1, 6, 9, 93, 95, 97, 99, 255)},
    "bzip2": (archive([("counts.npy", GOOD)], zipfile.ZIP_BZIP2), "method 12 of zip"),
    "lzma": (archive([("counts.npy", GOOD)], zipfile.ZIP_LZMA), "method 14 of zip"),
    "size": (patched(ONE, size=0xFFFFFFF0), "would be 4294967280 bytes"),
    "huge": (archive([("counts.npy", npy(HUGE))]), "counts: claims to hold"),
    "twice": (archive([("counts.npy", GOOD)] * 2), "'counts.npy' is there twice"),
    "no arrays": (archive([("counts.npy", b"hello")]), "counts: no numpy file"),
    "cut off": (ONE[:-30], "not a numpy archive"),
    "changed": (ONE.replace(GOOD[-64:], bytes(64)), "counts: cannot be unpacked"),
    "empty": (b"PK\x05\x06" + bytes(18), "must hold loads"),
    "escapes": (archive([(f"{ESCAPES}.npy", GOOD), ("b.npy", GOOD)]), rf"must hold loads .* {ESCAPED}"),
}
JSON = {
    **{f"deep {n}": (b"[" * n, "no JSON that can be read") for n in (1000, 100_000)},
    "deep objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "no JSON that can be read"),
    **{f"deep counts {n}": (b'{"counts":' + b"[" * n + b"1" + b"]" * n + b"}", "") for n in (60, 300, 900, 5000)},
    "digits": (b'{"counts":[[' + b"9" * 100_000 + b"]]}", "above 2\\^63"),
    "infinite": (b'{"counts":[[1e999]]}', "is infinite"),
    "shape": (b'{"counts":{"shape":[99999999999,99999999999],"value":[1]}}', "a value of that shape"),
    "rank": (
        b'{"records":[{"rank":9000000000000000000,"global_physical_count":[[1,2]]}],"physical_to_logical_map":[[0,1]]}',
        None,
    ),
    "experts": (
        json.dumps({"expert_load_pass": [[[1]]] * 999, "physical_to_logical_map": [[0]], "num_logical_experts": 2**18}),
        "would make a table of 261881856",
    ),
    "many names": ("{" + ",".join(f'"{n}":1' for n in range(100_000)) + ',"99999":1}', "'99999' is there twice"),
    "escapes": (json.dumps({ESCAPES: [[1]]}).encode(), rf"must hold loads .* {ESCAPED}"),
    "half a character": (b'{"\\ud800":[[1]]}', r"must hold loads .* \\ud800"),
}
TABLES = {
    "experts": ("layer_id,expert_id,count\n" + "".join(f"{n},262143,1\n" for n in range(999)), "would make a table"),
    "a long word": (b'"' + b"1" * 200_000 + b'"\n', "field larger than"),
    "an open quote": (b'"' + b"1\n" * 200_000, "field larger than"),
    "escapes": (f"1,2,3\n1,{ESCAPES[:5]},3\n", r"'a\\x1b\[31' is no number"),
    "a header with escapes": ("a\x1b[31m,layer,expert\n1,2,3\n", r"has the columns a\\x1b\[31m"),
    "zeros": (b"1,2\n" * 400 + b"\0", "no number"),
    "a sum that no float holds": (b"1e+308,1e+308\n", None),
}
PACKED = {
    "a.csv.gz": (gzip.compress(b"1,2\n" * 100)[:-9], "gzip that cannot be unpacked"),
    "b.csv.gz": (gzip.compress(b"1,2\n" * 100)[:-8] + bytes(8), "gzip that cannot be unpacked"),
    "c.csv.gz": (gzip.compress(b"1,2\n") + b"more", "gzip that cannot be unpacked"),
    "d.csv.gz": (gzip.compress(gzip.compress(b"1,2\n")), "is gzip, which is not read"),
    "e.csv.gz": (gzip.compress(ZEROS) * TIMES, "gzip of more than 256 MiB: unpack it first"),
    "a.csv.xz": (lzma.compress(b"1,2\n" * 100)[:-9], "xz that cannot be unpacked"),
    "b.csv.xz": (lzma.compress(ZEROS) * TIMES, "xz of more than 256 MiB"),
    "a.csv.bz2": (bz2.compress(b"1,2\n" * 100)[:-9], "bzip2 that cannot be unpacked"),
    "b.csv.bz2": (bz2.compress(ZEROS) * TIMES, "bzip2 of more than 256 MiB"),
}
SAFETENSORS = {
    "huge": (
        safetensors({"100_3": {"dtype": "I64", "shape": [10**9, 10**6], "data_offsets": [0, 8]}}, bytes(8)),
        "no safetensors file",
    ),
    "deep": (safetensors(b'{"100_3":' + b"[" * 100_000, bytes(8)), "no safetensors file"),
    "escapes": (
        safetensors({ESCAPES: {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
        r"tensor 'a\\x1b\[31m",
    ),
}
YAML = {
    "deep": (b"a: " + b"[" * 100_000, "no YAML that can be read"),
    "deep and closed": (b"a: " + b"[" * 3000 + b"]" * 3000, "no YAML that can be read"),
    "itself": (b"initial_global_assignments: &a {0: *a}\nnum_slots: 1\n", "must be a list"),
    "rows again": (
        f"a: &a [{'0,' * 20_000}0]\ninitial_global_assignments: {{{','.join(f'{n}: *a' for n in range(999))}}}\n",
        "would make a table of",
    ),
    "merges": (
        "a0: &a0 {0: [0]}\n"
        + "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))
        + "initial_global_assignments: *a11\nnum_slots: 1\n",
        "2002:merge",
    ),
    "a program": (b'initial_global_assignments: !!python/object/apply:os.system ["true"]\n', "no YAML"),
    "a key that is a list": (b"initial_global_assignments: {[1, 2]: 3}\nnum_slots: 1\n", "no YAML"),
    "a date": (b"initial_global_assignments: 2001-99-99\n", "no YAML"),
    "a word as a date": (b'initial_global_assignments: !!timestamp "x"\n', "no YAML"),
    "a word as a truth": (b'initial_global_assignments: !!bool "x"\n', "no YAML"),
    "the base 60": (b"initial_global_assignments: 1" + b":1" * 300_000 + b"\n", "a very long number"),
    "escapes": (b'"a\\e[31m": 1\n"a\\e[31m": 2\ninitial_global_assignments: 1\n', r"a\\x1b\[31m.* is there twice"),
}
PLACEMENTS = {
    "deep.json": (b'{"physical_to_logical":' + b"[" * 900 + b"1" + b"]" * 900 + b"}", "which is no expert"),
    "experts.json": (b'{"physical_to_logical":[[0]],"num_experts":2147483647}', "num_experts is 2147483647"),
    "words.json": (json.dumps({"physical_to_logical": [[0]], "policy": [ESCAPES]}), "policy must be a name"),
    "shown.json": (json.dumps({"physical_to_logical": [[0]], "num_gpus": 1, "policy": ESCAPES}), None),
}
# For 2 layers on 2 GPUs.
OF_KNOWN_SIZE = {
    "default.json": (json.dumps({**OLDER, "redundancy_expert_num": 2**23}), "would make a table"),
}
STATES = {
    "no state": (ONE, "is no state"),
    "encrypted": (patched(state(), flags=1), "is encrypted"),
    "an odd method": (patched(state(), method=99), "method 99 of zip"),
    "no rule": (state(rule=None), "has no rule"),
    "a rule with escapes": (state(rule=ESCAPES), r"a\\x1b\[31m"),
    "a number as the rule": (state(rule=1.5), "has no rule"),
    "GPUs without end": (state(num_gpus=np.inf), "num_gpus must be an integer"),
    "too many GPUs": (state(num_gpus=2**31 - 1), "as many slots on each"),
    "no windows": (state(num_windows=2**31 - 1), "has no window_1"),
    "windows that are none": (state(window_0=np.array(["a"])), "window"),
    "slots that are none": (state(gpu_slots=4), "has no gpu_slots"),
    "slots in rows": (state(gpu_slots=[[1, 2]]), "slots"),
}
TORCH: dict = {}
GPUS = {
    "nan": (b"nan,1\n", "must be a whole number"),
    "infinite": (b"1,inf\n", "must be a whole number"),
    "huge": (b"1,1e300\n", "has room for 4"),
}
LOGS = {
    "deep": (log() + b"[" * 100_000 + b"\n", "line 4 is no JSON object"),
    "words": (row(moves="many"), "line 2 is not the next window"),
    "digits": (row(moves=10**400), "line 2 is not the next window"),
    "not a number": (row(imbalance=[float("nan"), 1.0]), "line 2 is not the next window"),
    "true": (row(imbalance=[True, 1.0]), "line 2 is not the next window"),
    "a number as a change": (row(change=5), "line 2 is not the next window"),
}
if has("a.zst"):
    import zstandard

    PACKED |= {
        "a.csv.zst": (zstandard.compress(b"1,2\n" * 100)[:-9], "zstd that cannot be unpacked"),
        "b.csv.zst": (zstandard.compress(ZEROS) * TIMES, "zstd of more than 256 MiB"),
        "c.csv.zst": (b"\x28\xb5\x2f\xfd\x00\xf8\x00", "zstd that cannot be unpacked"),
        "d.csv.zst": (zstandard.compress(b"1,2\n") * 2, None),
    }
if has("a.pt"):
    import torch

    one = torch.ones(1, dtype=torch.int64)
    again = [1] * 9
    for _ in range(12):
        again = [again] * 9
    saved = saved_by_torch({"counts": torch.ones(2, 8)})
    TORCH = {
        "of one value": (saved_by_torch({"counts": one.as_strided((10**6, 10**9), (0, 0))}), "is too large for a file"),
        "of one value again": (saved_by_torch([one.as_strided((1000, 9000), (0, 0))] * 9), "is too large for a file"),
        "lists again": (saved_by_torch({"counts": again}), "the same values over and over"),
        "deep": (archive([("x/data.pkl", b"\x80\x02" + b"(" * 100_000)]), "is no file of torch.save"),
        "encrypted": (patched(saved, flags=1), "is encrypted"),
        "size": (patched(saved, size=0xFFFFFFF0), "too many for a file of this size"),
        "old and cut off": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02junk", "is no file of torch|unpickled"),
        "objects": (saved_by_torch({"counts": np.array([None])}), "never unpickled"),
    }
BY_SUFFIX = {
    ("loads", ".npy"): NUMPY,
    ("loads", ".npz"): ARCHIVES,
    ("loads", ".json"): JSON,
    ("loads", ".csv"): TABLES,
    ("loads", ".safetensors"): SAFETENSORS,
    ("placement", ".yaml"): YAML,
    ("state", ".npz"): STATES,
    ("GPUs", ".csv"): GPUS,
    ("log", ".jsonl"): LOGS,
    ("loads", ".pt"): TORCH,
}


def hostile_files():
    """Reader, name, content and part of the sentence each; None: it is read."""
    for (reader, suffix), files in BY_SUFFIX.items():
        for name, (content, sentence) in files.items():
            yield reader, f"{name}{suffix}", content if isinstance(content, bytes) else content.encode(), sentence
    for reader, files in (("loads", PACKED), ("placement", PLACEMENTS), ("placement of known size", OF_KNOWN_SIZE)):
        for name, (content, sentence) in files.items():
            yield reader, name, content if isinstance(content, bytes) else content.encode(), sentence
