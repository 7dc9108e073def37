"""Loads from tables and arrays: what is read, and what must not be misread."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import eplb
import numpy as np
import pytest
from eplb import read_loads
from load_files import CSV, TABLE, refused, write


@pytest.mark.parametrize(
    ("text", "expected", "dtype"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]], np.int64),
        ("1,2\r\n\r\n 3 , 4", [[1, 2], [3, 4]], np.int64),
        ("\ufeff1,2\n", [[1, 2]], np.int64),
        ('"1","2"\n', [[1, 2]], np.int64),
        ("1,2.5\n", [[1, 2.5]], np.float64),
        ("1e3,+4\n", [[1000, 4]], np.float64),
        ("9223372036854775807\n", [[2**63 - 1]], np.int64),
    ],
)
def test_csv(tmp_path, text, expected, dtype):
    loads = read_loads(write(tmp_path / "weights.csv", text))
    assert loads.counts.tolist() == [expected]
    assert loads.counts.dtype == dtype
    assert loads.layers.tolist() == list(range(len(expected)))
    assert (loads.numbered, loads.left_out.tolist(), loads.notes) == (False, [], ())
    assert loads.source == f"CSV: {tmp_path / 'weights.csv'}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ": the file is empty"),
        ("\n\n", ": the file is empty"),
        (" , ,\n", ": the file is empty"),
        ("1,2\n3\n", " line 2: 1 value, but line 1 has 2"),
        ("\n1,2\n\n3,4,5\n", " line 4: 3 values, but line 2 has 2"),
        ("1,2\n3,four\n", " line 2: 'four' is no number"),
        ("1,,2\n", " line 1: an empty value is no number"),
        ("1,2,\n", " line 1: an empty value is no number"),
        ("1,2\n3;4\n", " line 2: separated by ;, must be separated by commas"),
        ("1;2\n3;4\n", " line 1: separated by ;, must be separated by commas"),
        ("1,5;2,5\n3,5;4,5\n", " line 1: separated by ;, must be separated by commas"),
        ("e0;e1\n3;4\n", " line 2: separated by ;, must be separated by commas"),
        ("1\t2\n3\t4\n", " line 1: separated by tabs, must be separated by commas"),
        ("1.0e+00 2.0e+00\n3.0e+00 4.0e+00\n", " line 1: separated by spaces, must be separated by commas"),
        ("1|2\n3|4\n", " line 1: separated by |, must be separated by commas"),
        ("1_000,2\n", " line 1: '1_000' is no number"),
        ("9223372036854775808\n", " line 1: 9223372036854775808 is an integer above 2^63 - 1"),
        ("9" * 5000, f" line 1: {'9' * 40} is an integer above 2^63 - 1"),
        ("1,2\n3,nan\n", ": weights[layer 1, expert 1] is NaN"),
        ("1,2\n3,inf\n", ": weights[layer 1, expert 1] is infinite"),
        ("1,-2\n3,4\n", ": weights[layer 0, expert 1] is negative"),
        ("num_slots: 16\n", ": is YAML, in which no loads are known"),
        (
            "1\n2\n4\n",
            ": has one expert in each of 3 layers: a layer is a row; give experts=1 (--experts 1) if it is so",
        ),
        (
            "layer,expert,count\n3,0,48\n3,1,45\n",
            ": has the columns layer, expert, count; with a row for each expert, must have layer_id, expert_id, count",
        ),
    ],
)
def test_bad_csv(tmp_path, text, complaint):
    path = write(tmp_path / "weights.csv", text)
    assert refused(path) == f"{path}{complaint}"


def test_a_text_is_no_table(tmp_path):
    path = write(tmp_path / "README.txt", "notes of\nthis week\n")
    assert refused(path) == f"{path}: has no numbers, so it is no table of loads"


HEADER = "the first row looks like a header"
INDEX = "the first column looks like an index"


@pytest.mark.parametrize(
    ("text", "looks", "options", "layers"),
    [
        ("0,1,2,3\n" + CSV, [HEADER], {"header": True}, None),
        ("1,2,3,4\n" + CSV, [HEADER], {"header": True}, None),
        ("0.0,1.0,2.0,3.0\n" + CSV, [HEADER], {"header": True}, None),
        ("e0,e1,e2,e3\n" + CSV, [HEADER], {"header": True}, None),
        ('"a","b","c","d"\n' + CSV, [HEADER], {"header": True}, None),
        ("\ufeffexpert_0,expert_1,expert_2,expert_3\n" + CSV, [HEADER], {"header": True}, None),
        ("# 0,1,2,3\n" + CSV, [HEADER], {"header": True}, None),
        (",0,1,2,3\n0,480,450,100,90\n1,12,24,36,48\n", [HEADER, INDEX], {"header": True, "index": True}, [0, 1]),
        ("layer,0,1,2,3\n3,480,450,100,90\n4,12,24,36,48\n", [HEADER], {"header": True, "index": True}, [3, 4]),
        ("0,480,450,100,90\n1,12,24,36,48\n", [INDEX], {"index": True}, [0, 1]),
        ("layer3,480,450,100,90\nlayer4,12,24,36,48\n", [INDEX], {"index": True}, [3, 4]),
        ("layer_4,12,24,36,48\nlayer_3,480,450,100,90\n", [INDEX], {"index": True}, [3, 4]),
    ],
)
def test_what_looks_like_labels_is_never_taken_for_loads(tmp_path, text, looks, options, layers):
    path = write(tmp_path / "weights.csv", text)
    sentence = refused(path)
    assert sentence.startswith(f"{path}: {' and '.join(looks)}, so give ")
    for look in looks:
        name = "header" if look == HEADER else "index"
        assert f"{name}=True (--{name})" in sentence
        assert f"{name}=False (--no-{name})" in sentence
    loads = read_loads(path, **options)
    assert loads.counts.tolist() == [TABLE]
    assert loads.layers.tolist() == (layers or [0, 1])
    assert loads.numbered is (layers == [3, 4])


def test_an_index_of_the_models_numbers(tmp_path):
    text = "".join(f"{layer},{layer * 7 % 5},{layer * 3 % 4}\n" for layer in range(3, 9))
    path = write(tmp_path / "weights.csv", text)
    assert INDEX in refused(path)
    assert read_loads(path, index=True).layers.tolist() == [3, 4, 5, 6, 7, 8]
    assert read_loads(path, index=False).counts.shape == (1, 6, 3)


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("0,1,2\n", {"header": True}, "no loads next to the labels"),
        ("3\n4\n", {"index": True}, "no loads next to the labels"),
        ("3,1,2\n3,4,5\n", {"index": True}, "layer 3 is there twice in the first column"),
        ("2.5,1,2\n3,4,5\n", {"index": True}, "2.5"),
        ("-3,1,2\n4,4,5\n", {"index": True}, "first column"),
        ("gate,1,2\nup,4,5\n", {"index": True}, "'gate' in the first column is no layer's number"),
        ("e0,e10,e2\n1,2,4\n", {"header": True}, "does not name the experts in order: e0, e10, e2"),
        ("3,0,48\n3,1,45\n3,2,10\n4,0,12\n4,1,24\n", {}, "layer, expert and count without their line"),
        ("0,0,48\n0,1,45\n1,0,10\n1,1,12\n", {}, "layer, expert and count without their line"),
    ],
)
def test_labels_that_cannot_be(tmp_path, text, options, complaint):
    assert complaint in refused(write(tmp_path / "weights.csv", text), **options)


def test_one_expert(tmp_path):
    column = write(tmp_path / "column.csv", "1\n2\n4\n")
    assert read_loads(column, experts=1).counts.shape == (1, 3, 1)
    assert read_loads(write(tmp_path / "value.csv", "256\n")).counts.shape == (1, 1, 1)


def test_labels_that_are_loads(tmp_path):
    path = write(tmp_path / "weights.csv", "0,1,2,3\n" + CSV)
    assert read_loads(path, header=False).counts.tolist() == [[[0, 1, 2, 3], *TABLE]]
    triples = write(tmp_path / "triples.csv", "3,0,48\n3,1,45\n3,2,10\n4,0,12\n")
    assert read_loads(triples, index=False).counts.shape == (1, 4, 3)
    short = write(tmp_path / "short.csv", "1,2\n2,4\n")
    assert read_loads(short).counts.tolist() == [[[1, 2], [2, 4]]]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json"])
def test_labels_in_arrays(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    labelled = [[-1, 0, 1, 2, 3], *([3 + row, *each] for row, each in enumerate(TABLE))]

    def save(table):
        if suffix == ".json":
            path.write_text(json.dumps(table))
        elif suffix == ".npy":
            np.save(path, table)
        else:
            np.savez(path, counts=table)

    save([row[1:] for row in labelled])
    assert HEADER in refused(path)
    assert read_loads(path, header=True).counts.tolist() == [TABLE]
    save([[row, *each] for row, each in enumerate(TABLE)])
    assert INDEX in refused(path)
    assert read_loads(path, index=True).counts.tolist() == [TABLE]
    save([[7 - row, *each] for row, each in enumerate(TABLE)])
    loads = read_loads(path, index=True)
    assert loads.layers.tolist() == [6, 7]
    assert loads.counts.tolist() == [TABLE[::-1]]
    # Windows have no labels.
    save([TABLE, [[0, 1, 2, 3], [4, 5, 6, 7]]])
    assert read_loads(path).counts.shape == (2, 2, 4)


def test_numpy_files(tmp_path):
    array = np.arange(12, dtype=np.uint32).reshape(2, 2, 3)
    np.save(tmp_path / "a.npy", np.asfortranarray(array))
    np.savez(tmp_path / "b.npz", anything=array)
    np.savez_compressed(tmp_path / "c.npz", counts=array, labels=np.arange(2))
    np.savez(tmp_path / "d.npz", weights=array, labels=np.arange(2))
    np.save(tmp_path / "no-ending", array)
    (tmp_path / "no-ending.npy").rename(tmp_path / "e")
    np.save(tmp_path / "f.npy", array.astype(">f4"))
    for name in ("a.npy", "b.npz", "c.npz", "d.npz", "e", "f.npy"):
        loads = read_loads(tmp_path / name)
        assert np.array_equal(loads.counts, array)
        assert loads.counts.dtype == (np.float64 if name == "f.npy" else np.int64)


def test_bad_numpy_files(tmp_path):
    np.savez(tmp_path / "two.npz", first=np.ones(2), second=np.ones(2))
    np.savez(tmp_path / "none.npz")
    np.save(tmp_path / "empty.npy", np.ones((0, 4)))
    np.save(tmp_path / "row.npy", np.ones(4))
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "booleans.npy", np.array([[True, False]]))
    np.save(tmp_path / "complex.npy", np.array([[1j, 2]]))
    np.save(tmp_path / "large.npy", np.array([[2**63, 5]], np.uint64))
    np.save(tmp_path / "dates.npy", np.array([["2026-01-01"]], "datetime64[D]"))
    np.save(tmp_path / "fields.npy", np.zeros((1, 2), [("a", int), ("b", int)]))
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "pickled.npz", np.array([{}], object))
    np.savez(tmp_path / "pickled_counts.npz", counts=np.array([{}], object), meta=np.ones(2))
    np.savez(tmp_path / "plan.npz", physical_to_logical=np.array(TABLE))
    (tmp_path / "text.npy").write_text("1,2\n")
    (tmp_path / "text.npz").write_text("1,2\n")
    (tmp_path / "nothing.npy").write_bytes(b"")
    whole = (tmp_path / "two.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for path in tmp_path.iterdir():
        sentence = refused(path)
        assert sentence.startswith(str(path))
        assert "unsafe" not in sentence
        assert "allow_pickle" not in sentence


def test_what_else_an_archive_holds_is_not_touched(tmp_path):
    path = tmp_path / "dump.npz"
    np.savez(path, counts=TABLE, meta=np.array([{"a": Path("b")}], object), layers=np.array([{}], object))
    assert read_loads(path).counts.tolist() == [TABLE]


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (lzma.compress, ".xz"), (bz2.compress, ".bz2")])
def test_compressed(tmp_path, pack, suffix):
    np.save(tmp_path / "plain.npy", TABLE)
    contents = {
        "a.csv": CSV.encode(),
        "a.json": json.dumps(TABLE).encode(),
        "a.npy": (tmp_path / "plain.npy").read_bytes(),
    }
    for name, content in contents.items():
        for ending in (suffix, suffix.upper(), ""):
            path = write(tmp_path / f"{name}{ending}", pack(content))
            assert read_loads(path).counts.tolist() == [TABLE]
    name = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2"}[suffix]
    cut = write(tmp_path / f"cut.csv{suffix}", pack(CSV.encode() * 50)[:-12])
    assert f"is {name} that cannot be unpacked" in refused(cut)
    assert f"is {name}, which is not read" in refused(write(tmp_path / f"twice{suffix}", pack(pack(CSV.encode()))))


def test_zstd(tmp_path, monkeypatch):
    path = write(tmp_path / "a.csv.zst", b"\x28\xb5\x2f\xfd")
    import eplb._files.packing as packing

    def without(name):
        raise ModuleNotFoundError(name=name)

    with monkeypatch.context() as patch:
        patch.setattr(packing.importlib, "import_module", without)
        assert "is zstd, which needs zstandard: pip install zstandard, or unpack it first" in refused(path)
    zstandard = pytest.importorskip("zstandard")
    compressor = zstandard.ZstdCompressor()
    write(path, compressor.compress(CSV.encode()))
    assert read_loads(path).counts.tolist() == [TABLE]
    streamed = compressor.compressobj()
    write(path, streamed.compress(CSV.encode()) + streamed.flush())
    assert read_loads(path).counts.tolist() == [TABLE]
    write(path, b"\x28\xb5\x2f\xfd" + b"x" * 20)
    assert "is zstd that cannot be unpacked" in refused(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (CSV.encode("utf-16"), "is UTF-16"),
        (CSV.encode("utf-16-le"), "is UTF-16"),
        (CSV.encode("utf-16-be"), "is UTF-16"),
        (CSV.encode("utf-32"), "is UTF-32"),
        (b"\xff\xfe\x00", "is UTF-16"),
        ("Schläfer,b\n1,2\n".encode("latin-1"), "is no text in UTF-8"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "is HDF5"),
        (b"PAR1" + bytes(40), "is Parquet"),
        (b"\x80\x04\x95" + bytes(40), "is a pickle"),
        (b"PK\x03\x04" + bytes(40), "is a zip archive"),
        (b"%PDF-1.7 " + bytes(40), "is PDF"),
        (b"1,2\n\x00\x00\x003,4\n" + b"5" * 90, "is no text"),
        (b"{]", "no JSON"),
        (bytes(50), "is no text"),
    ],
)
@pytest.mark.parametrize("name", ["weights.csv", "weights", "weights.txt"])
def test_what_a_file_is_not(tmp_path, content, complaint, name):
    path = write(tmp_path / name, content)
    assert refused(path).startswith(f"{path}: {complaint}")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt", ".safetensors"])
def test_a_name_that_promises_another_format(tmp_path, suffix):
    path = write(tmp_path / f"weights{suffix}", CSV)
    assert refused(path).startswith(f"{path}: is not a")


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".json", ".gz"])
def test_no_file(tmp_path, suffix):
    assert refused(tmp_path / f"nothing{suffix}").endswith(f"nothing{suffix}: no such file or directory")
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    assert f"{folder}: is a directory without files of loads" in refused(folder)
    assert refused([]) == "no file of loads was given"


@pytest.mark.parametrize("name", ["plan.npy", "plan.csv", "plan.json"])
def test_a_placement_without_a_name(tmp_path, name):
    rows = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 0, 1], [7, 6, 5, 4, 3, 2, 1, 0, 7, 6]])
    path, note = tmp_path / name, ("looks like a placement: all numbers from 0 to 7 are in each row",)

    def notes(table):
        if name == "plan.npy":
            np.save(path, table)
        elif name == "plan.csv":
            np.savetxt(path, table, delimiter=",", fmt="%d")
        else:
            path.write_text(json.dumps(table.tolist()))
        return read_loads(path, header=False).notes

    assert notes(rows) == note
    rows[1, 9] = 5
    assert notes(rows) == note
    rows[1, 7] = 1
    assert notes(rows) == ()


def test_sizes_that_were_asked_for(tmp_path):
    path = write(tmp_path / "weights.csv", CSV)
    assert read_loads(path, experts=4, layers=2).counts.shape == (1, 2, 4)
    assert refused(path, experts=8) == f"{path}: has 4 experts, must have 8 as asked"
    assert refused(path, layers=58) == f"{path}: has 2 layers, must have 58 as asked"
    assert refused(path, experts=2) == f"{path}: has 4 experts, must have 2 as asked: are rows and columns exchanged?"
    for wrong in (0, 4.0, "4", True and -1):
        with pytest.raises(eplb.InvalidArgument, match="experts"):
            read_loads(path, experts=wrong)
