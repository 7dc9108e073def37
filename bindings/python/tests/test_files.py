"""Weights and plans from files: what is read, and what is said about a file that is not one."""

import json

import numpy as np
import pytest
from eplb._files.placement import Known
from eplb._files.placements import load_placement
from eplb._weight_file import FileError, read_weights


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
    path = tmp_path / "weights.csv"
    path.write_text(text, encoding="utf-8")
    array = read_weights(path)
    assert array.tolist() == expected
    assert array.dtype == dtype


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ": the file is empty"),
        ("\n\n", ": the file is empty"),
        ("1,2\n3\n", " line 2: 1 value, but line 1 has 2"),
        ("\n1,2\n\n3,4,5\n", " line 4: 3 values, but line 2 has 2"),
        ("1,2\n3,four\n", " line 2: 'four' is no number"),
        ("e0,e1\n1,2\n", " line 1: 'e0' is no number"),
        ("1,,2\n", " line 1: an empty value is no number"),
        ("1,2\n3;4\n", " line 2: '3;4' is no number"),
        ("1_000,2\n", " line 1: '1_000' is no number"),
        ("9223372036854775808\n", " line 1: 9223372036854775808 is an integer above 2^63 - 1"),
        ("9" * 5000, f" line 1: {'9' * 40} is an integer above 2^63 - 1"),
    ],
)
def test_bad_csv(tmp_path, text, complaint):
    path = tmp_path / "weights.csv"
    path.write_text(text)
    with pytest.raises(FileError) as raised:
        read_weights(path)
    assert str(raised.value) == f"{path}{complaint}"


def test_csv_that_is_no_text(tmp_path):
    path = tmp_path / "weights.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="no text"):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz"])
def test_no_file(tmp_path, suffix):
    with pytest.raises(FileError, match=f"nothing{suffix}: no such file or directory"):
        read_weights(tmp_path / f"nothing{suffix}")
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    with pytest.raises(FileError, match="is a directory"):
        read_weights(folder)


def test_numpy_files(tmp_path):
    array = np.arange(12, dtype=np.uint32).reshape(2, 2, 3)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "b.npz", anything=array)
    np.savez(tmp_path / "c.npz", counts=array, labels=np.arange(2))
    np.savez(tmp_path / "d.npz", weights=array, labels=np.arange(2))
    for name in ("a.npy", "b.npz", "c.npz", "d.npz"):
        assert np.array_equal(read_weights(tmp_path / name), array)


def test_bad_numpy_files(tmp_path):
    np.savez(tmp_path / "two.npz", first=np.ones(2), second=np.ones(2))
    np.savez(tmp_path / "none.npz")
    np.save(tmp_path / "empty.npy", np.ones((0, 4)))
    np.save(tmp_path / "row.npy", np.ones(4))
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "pickled.npz", np.array([{}], object))
    (tmp_path / "text.npy").write_text("1,2\n")
    (tmp_path / "text.npz").write_text("1,2\n")
    (tmp_path / "nothing.npy").write_bytes(b"")
    whole = (tmp_path / "two.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for path in tmp_path.iterdir():
        with pytest.raises(FileError) as raised:
            read_weights(path)
        assert str(raised.value).startswith(f"{path}: ")


def test_plans(tmp_path):
    placement = np.array([[0, 1, 1, 0]])
    np.save(tmp_path / "a.npy", placement)
    np.savez(tmp_path / "b.npz", physical_to_logical=placement)
    np.savetxt(tmp_path / "c.csv", placement, delimiter=",", fmt="%d")
    (tmp_path / "d.json").write_text(json.dumps({"physical_to_logical": placement.tolist(), "num_gpus": 2}))
    for name, problem in (("a.npy", {}), ("b.npz", {}), ("c.csv", {}), ("d.json", {"num_gpus": 2})):
        read = load_placement(tmp_path / name, Known())
        assert np.array_equal(read.physical_to_logical, placement)
        assert read.num_gpus == problem.get("num_gpus")


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.json", "{", "no JSON that can be read"),
        ("a.json", "[" * 100000, "no JSON that can be read"),
        ("a.json", "[]", "holds no physical_to_logical"),
        ("a.json", '{"physical_to_logical": [[0, 1], [0]]}', "must be a table of integers"),
        ("a.json", '{"physical_to_logical": [[0.5]]}', "must be a table of integers"),
        ("a.json", '{"physical_to_logical": "x"}', "must be a table of integers"),
        ("a.json", '{"physical_to_logical": [[0]], "num_gpus": "many"}', "num_gpus must be an integer"),
        ("a.json", '{"physical_to_logical": [[0]], "num_gpus": [1]}', "num_gpus must be an integer"),
        ("a.json", '{"physical_to_logical": [[0]], "policy": 1}', "policy must be a name"),
        ("a.csv", "0.5\n", "must be a table of integers"),
        ("a.npz", "", "no numpy file"),
    ],
)
def test_bad_plans(tmp_path, name, text, complaint):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FileError, match=complaint) as raised:
        load_placement(path, Known())
    assert str(raised.value).startswith(f"{path}: ")
