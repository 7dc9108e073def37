"""Small whole files of every format, by what reads them."""

import gzip
import importlib.util
import json
import tempfile
from pathlib import Path

import eplb
import numpy as np
from load_files import CSV, TABLE, long_table, vllm_lines
from reading_process import SETTINGS

ROWS = np.array([[0, 1, 2, 3, 0, 1, 2, 3], [3, 2, 1, 0, 3, 2, 1, 0]])
NEEDS = {".yaml": "yaml", ".pt": "torch", ".safetensors": "safetensors", ".zst": "zstandard"}
PLANS = ["a.npz", "a.json", "a.sglang.json", "a.yaml", "a.ascend.json", "a.lightllm.json", "a.pt"]
OLDER = {"redundancy_expert_num": 1, "3": [1], "default": [2]}
LOG_ROW = {"rule": "never", "window": 1, "imbalance": [1.5, None], "off_home": [0.0, None], "predicted": [1.25, None]}
LOG_ROW |= {"moves": 0, "moves_between_nodes": 0, "layers_changed": 0, "received": 0}
LOG_ROW |= {"gain_predicted": 0.0, "gain_came": 0.0}


def has(name):
    return importlib.util.find_spec(NEEDS.get(Path(name).suffix, "numpy")) is not None


def loads(folder):
    np.save(folder / "a.npy", TABLE)
    np.save(folder / "f.npy", np.asfortranarray(TABLE, np.float32))
    np.savez(folder / "a.npz", counts=TABLE, more=np.ones(3))
    np.savez_compressed(folder / "b.npz", logical_count=np.array([TABLE, TABLE]), more=np.ones(3))
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    found["a.csv"] = CSV.encode()
    found["a.csv.gz"] = gzip.compress(CSV.encode(), mtime=0)
    found["b.csv"] = long_table([(3, 1, 25), (3, 0, 35), (4, 2, 12), (3, 3, 15)]).encode()
    found["a.json"] = json.dumps({"logical_count": TABLE, "rank": 0}).encode()
    found["b.json"] = json.dumps(TABLE).encode()
    found["c.jsonl"] = vllm_lines({7: [[1, 2, 3, 4, 5, 6]] * 2, 8: [[1, 2, 3, 4, 5, 6]] * 2}).encode()
    if has("rank0.safetensors"):
        from safetensors.numpy import save

        found["rank0.safetensors"] = save({"100_3": np.array([1, 2, 3, 4]), "100_4": np.array([1, 2, 3, 4])})
    if has("a.pt"):
        import torch

        torch.save({"logical_count": torch.tensor([TABLE])}, folder / "a.pt")
        found["a.pt"] = (folder / "a.pt").read_bytes()
    return found


def placements(folder):
    np.save(folder / "a.npy", ROWS)
    for name in filter(has, PLANS):
        eplb.write_placement(folder / name, ROWS, num_gpus=2, num_experts=4, first_layer=3)
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return {**found, "a.csv": b"0,1,2,3\n3,2,1,0\n", "b.json.gz": gzip.compress(found["a.json"], mtime=0)}


def states(folder):
    for name, cluster in {"a.npz": {"num_gpus": 2}, "b.npz": {"slots": [4, 3], "speed": [1.0, 2.0]}}.items():
        start = ROWS if name == "a.npz" else np.where(np.arange(8) == 7, -1, ROWS)
        made = eplb.Rebalancer("fresh,every=2", start, cluster=eplb.Cluster(**cluster))
        made.observe(TABLE)
        made.save(folder / name)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def log():
    lines = [{"eplb_replay": 1, **SETTINGS}, LOG_ROW, {**LOG_ROW, "window": 2, "change": ""}]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def make_seeds():
    """By reader, whole files by name."""
    made = {"GPUs": {"a.csv": b"4,3\n"}, "log": {"log.jsonl": log()}}
    for reader, make in {"loads": loads, "placement": placements, "state": states}.items():
        with tempfile.TemporaryDirectory() as folder:
            made[reader] = make(Path(folder))
    made["placement of known size"] = {**made["placement"], "older.json": json.dumps(OLDER).encode()}
    made["loads with labels"] = {"a.csv": b",0,1,2\n3,480,450,100\n4,12,24,36\n", "a.npy": made["loads"]["a.npy"]}
    return made
