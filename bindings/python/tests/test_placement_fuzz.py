"""Files of placements that were damaged: each gives a placement or one sentence, never another exception."""

import gzip
import importlib.util
import random

import eplb
import numpy as np
import pytest
from load_files import write
from test_load_fuzz import damaged

ROWS = np.array([[0, 1, 2, 3, 0, 1, 2, 3], [3, 2, 1, 0, 3, 2, 1, 0]])
NAMES = ["a.npz", "a.json", "a.sglang.json", "a.yaml", "a.ascend.json", "a.lightllm.json", "a.pt"]
NEEDS = {".yaml": "yaml", ".pt": "torch"}
COUNT = 40


def contents(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    found = {"a.npy": (tmp_path / "a.npy").read_bytes(), "a.csv": b"0,1,2,3\n3,2,1,0\n"}
    for name in NAMES:
        if importlib.util.find_spec(NEEDS.get(name[name.rindex(".") :], "numpy")):
            eplb.write_placement(tmp_path / name, ROWS, num_gpus=2, num_experts=4, first_layer=3)
            found[name] = (tmp_path / name).read_bytes()
    return {**found, "b.json.gz": gzip.compress(found["a.json"], mtime=0)}


@pytest.mark.parametrize("seed", range(2))
def test_damaged_files(tmp_path, seed):
    chance = random.Random(seed)
    read = refused = 0
    for name, content in contents(tmp_path).items():
        assert eplb.read_placement(write(tmp_path / name, content)).least_experts == 4
        for _ in range(COUNT):
            path = write(tmp_path / name, damaged(content, chance))
            try:
                placement = eplb.read_placement(path)
            except eplb.FileError as error:
                refused += 1
                assert str(error).startswith(str(path)), str(error)
                assert "\n" not in str(error)
            else:
                read += 1
                assert placement.physical_to_logical.min() >= -1
    assert min(read, refused) > 10
