"""Small files of loads, and what tests of them have in common."""

import json

import numpy as np
import pytest
from eplb import FileError, read_loads

TABLE = [[480, 450, 100, 90], [12, 24, 36, 48]]
CSV = "480,450,100,90\n12,24,36,48\n"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(paths, **options):
    """The sentence of a refusal; it begins with the name of a file."""
    with pytest.raises(FileError) as raised:
        read_loads(paths, **options)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


# Layers 0 to 2 are dense; as many tokens of one MoE layer as in the other formats below.
DENSE = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [35, 25, 25, 15]]
# Experts 0 and 2 have two slots each.
MAP = [[0, 1, 2, 3, 0, 2], [2, 1, 0, 3, 0, 2]]


def only_moe_layer(loads):
    assert loads.counts.tolist() == [[[35, 25, 25, 15]]]
    assert loads.counts.flags.carray
    assert (loads.layers.tolist(), loads.left_out.tolist(), loads.numbered) == ([3], [0, 1, 2], True)
    assert loads.notes == ("layers 0 to 2 without any load are left out, as dense layers are",)
    return True


def long_table(rows):
    return "layer_id,expert_id,count\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows)


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
