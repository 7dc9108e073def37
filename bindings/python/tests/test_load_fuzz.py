"""Files of loads that were damaged: each gives loads or one sentence, never another exception."""

import gzip
import json
import random

import numpy as np
import pytest
from eplb import FileError, read_loads
from load_files import CSV, TABLE, long_table, vllm_lines, write

COUNT = 40


def contents(tmp_path):
    np.save(tmp_path / "a.npy", TABLE)
    np.savez(tmp_path / "a.npz", counts=TABLE, more=np.ones(3))
    np.savez_compressed(tmp_path / "b.npz", logical_count=np.array([TABLE, TABLE]), more=np.ones(3))
    content = {name: (tmp_path / name).read_bytes() for name in ("a.npy", "a.npz", "b.npz")}
    content["a.csv"] = CSV.encode()
    content["a.csv.gz"] = gzip.compress(CSV.encode(), mtime=0)
    content["b.csv"] = long_table([(3, 1, 25), (3, 0, 35), (4, 2, 12), (3, 3, 15)]).encode()
    content["a.json"] = json.dumps({"logical_count": TABLE, "rank": 0}).encode()
    content["b.json"] = json.dumps(TABLE).encode()
    content["c.jsonl"] = vllm_lines({7: [[1, 2, 3, 4, 5, 6]] * 2, 8: [[1, 2, 3, 4, 5, 6]] * 2}).encode()
    try:
        from safetensors.numpy import save

        content["rank0.safetensors"] = save({"100_3": np.array([1, 2, 3, 4]), "100_4": np.array([1, 2, 3, 4])})
    except ModuleNotFoundError:
        pass
    try:
        import torch

        torch.save({"logical_count": torch.tensor([TABLE])}, tmp_path / "a.pt")
        content["a.pt"] = (tmp_path / "a.pt").read_bytes()
    except ModuleNotFoundError:
        pass
    return content


def damaged(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(len(data))
        kind = chance.randrange(5)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + chance.randrange(1, 9)]
        elif kind == 3:
            data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
        else:
            # Numbers, words and marks that formats give a meaning.
            data[at : at + 1] = chance.choice(
                [b"9" * 30, b"-1", b"nan", b"null", b"[", b"]", b"{", b'"', b",", b"\n", b"1e999"]
            )
        if not data:
            break
    return bytes(data)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_files(tmp_path, seed):
    chance = random.Random(seed)
    read = refused = 0
    for name, content in contents(tmp_path).items():
        assert read_loads(write(tmp_path / name, content)).counts.shape[1:] in ((2, 4), (2, 3))
        for _ in range(COUNT):
            path = write(tmp_path / name, damaged(content, chance))
            try:
                loads = read_loads(path)
            except FileError as error:
                refused += 1
                assert str(error).startswith(str(path)), str(error)
            else:
                read += 1
                windows, layers, experts = loads.counts.shape
                assert min(windows, layers, experts) > 0
                assert len(loads.layers) == layers
                assert loads.counts.dtype in (np.int64, np.float64)
                assert loads.counts.min() >= 0
    assert read > 10
    assert refused > 20
