"""What engines make of a file with a placement: their loaders' rules, written from those rules and not from our code.

Each takes a path and the deployment's sizes, and returns {layer: [[experts of a GPU] for each GPU]}, as the engine
would place them. Whatever it would refuse, ignore, or fall over later is an AssertionError.
"""

import json
from pathlib import Path


def deal(slots, gpus):
    """Slots of a layer, GPU by GPU."""
    assert len(slots) % gpus == 0, "the slots are no multiple of ep_size"
    places = len(slots) // gpus
    return [slots[gpu * places : (gpu + 1) * places] for gpu in range(gpus)]


def check_experts(slots, experts):
    for expert in slots:
        assert type(expert) is int, "an id is no integer"
        assert 0 <= expert < experts, "an id is out of range"
    assert set(slots) == set(range(experts)), "an expert is nowhere"


def sglang(path, *, gpus, experts, hidden_layers, layers):
    """--init-expert-location FILE.json or FILE.pt: rows by the number of the layer, every slot with an expert."""
    if path.suffix == ".pt":
        import torch

        content = torch.load(path, weights_only=True, map_location="cpu")
        content = {name: tensor.tolist() for name, tensor in content.items()}
    else:
        # It reads the text as it is: no byte order mark.
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    # They are passed on as keyword arguments, and there is only this one.
    assert list(content) == ["physical_to_logical_map"]
    rows = content["physical_to_logical_map"]
    assert len(rows) == hidden_layers
    assert len({len(row) for row in rows}) == 1, "the rows are no tensor"
    for row in rows:
        # The tables of replicas are made for all rows, used or not.
        check_experts(row, experts)
    return {layer: deal(rows[layer], gpus) for layer in layers}


def tensorrt_llm(path, *, gpus, experts, layers):
    """moe_config.load_balancer: a strict model of three fields; every MoE layer looks itself up by number."""
    import yaml

    content = yaml.safe_load(Path(path).read_text())
    assert set(content) == {"num_slots", "initial_global_assignments", "layer_updates_per_iter"}
    slots, assignments = content["num_slots"], content["initial_global_assignments"]
    assert type(slots) is int and type(content["layer_updates_per_iter"]) is int
    assert slots % gpus == 0
    placed = {}
    for layer in layers:
        row = assignments[layer]
        assert len(row) == slots
        check_experts(row, experts)
        placed[layer] = deal(row, gpus)
    assert all(type(layer) is int for layer in assignments)
    return placed


def ascend(path, *, gpus, experts, layers):
    """expert_map_path: the layer at each position, whatever its layer_id; only layers with experts are counted."""
    content = json.loads(Path(path).read_text())
    assert content["moe_layer_count"] == len(content["layer_list"]) == len(layers)
    placed = {}
    for layer, entry in zip(layers, content["layer_list"], strict=True):
        devices = [device["device_expert"] for device in entry["device_list"]]
        assert len(devices) == gpus == entry["device_count"]
        assert len({len(row) for row in devices}) == 1, "the rows are no tensor"
        for row in devices:
            # Its map is from an expert to a slot: a second one could not be written down.
            assert len(set(row)) == len(row), "a device holds an expert twice"
        check_experts(sum(devices, []), experts)
        placed[layer] = devices
    return placed


def lightllm(path, *, gpus, experts, layers):
    """A file that breaks any of these is ignored, with a warning."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    assert content["version"] == 1
    assert content["num_logical_experts"] == experts
    assert content["world_size"] == gpus
    redundant = content["num_redundant_experts_per_rank"]
    # Its default placement, from which the sizes come, wants an even share.
    assert experts % gpus == 0 and 0 <= redundant <= experts - experts // gpus
    placed = {}
    for layer in layers:
        ranks = content["layers"][str(layer)]
        assert len(ranks) == gpus
        for row in ranks:
            assert len(row) == experts // gpus + redundant
            assert len(set(row)) == len(row), "a rank holds an expert twice"
        check_experts(sum(ranks, []), experts)
        placed[layer] = ranks
    return placed


def lightllm_older(path, *, gpus, experts, layers):
    """The extra experts of every rank, after its even share in order; default is for layers without an entry."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    share = experts // gpus
    placed = {}
    for layer in layers:
        extra = content[str(layer)] if str(layer) in content else content.get("default", [])
        # The weights have this many places, all of which are to be loaded.
        assert len(extra) == content["redundancy_expert_num"]
        placed[layer] = [list(range(rank * share, (rank + 1) * share)) + extra for rank in range(gpus)]
        check_experts(sum(placed[layer], []), experts)
    return placed
