"""Plans from files: what is read, and what is said about a file that is not one."""

import json

import numpy as np
import pytest
from eplb import FileError
from eplb._files.placement import Known
from eplb._files.placements import load_placement


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
        ("a.npz", "", "the file is empty"),
        ("a.npz", "0,1\n", "is not a numpy archive, as its name says"),
        ("a.json", '{"physical_to_logical": [[[0, 1]]]}', "row 0, slot 0 is a list, which is no expert"),
    ],
)
def test_bad_plans(tmp_path, name, text, complaint):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FileError, match=complaint) as raised:
        load_placement(path, Known())
    assert str(raised.value).startswith(f"{path}: ")
