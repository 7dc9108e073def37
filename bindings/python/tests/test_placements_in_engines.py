"""The engines' own readers, where their packages are installed: they take our files and place what was planned."""

from types import SimpleNamespace

import eplb
import numpy as np
import pytest

GPUS, EXPERTS, LAYERS = 8, 64, 3


@pytest.mark.parametrize("suffix", [".json", ".pt"])
@pytest.mark.parametrize("dense", [0, 3])
def test_sglang(tmp_path, monkeypatch, context, olmoe, suffix, dense):
    """Its start with --init-expert-location; what a launched server would know of itself is filled in."""
    location = pytest.importorskip("sglang.srt.eplb.expert_location")
    plan = context.solve(olmoe, num_slots=72, num_gpus=GPUS)
    path = tmp_path / f"plan.sglang{suffix}"
    eplb.write_placement(path, plan, first_layer=dense)
    moe = SimpleNamespace(
        init_expert_location=str(path),
        eplb_algorithm="auto",
        ep_num_redundant_experts=72 - EXPERTS,
        ep_join_mode=None,
        ep_dispatch_algorithm="static",
        moe_a2a_backend="deepep",
    )
    parallel = SimpleNamespace(
        ep_size=GPUS, nnodes=1, elastic_ep_initial_size=None, ep_join_rank_offset=0, tp_size=GPUS
    )
    monkeypatch.setattr(location, "get_device", lambda: SimpleNamespace(device="cpu"))
    monkeypatch.setattr(location, "get_exec", lambda: SimpleNamespace(moe=moe))
    monkeypatch.setattr(location, "get_parallel", lambda: parallel)
    monkeypatch.setattr(location, "_prefer_same_node_experts", lambda: True)
    model = location.ModelConfigForExpertLocation(dense + LAYERS, EXPERTS, None)
    monkeypatch.setattr(location.ModelConfigForExpertLocation, "from_model_config", lambda config: model)
    placed = location.compute_initial_expert_location_metadata(None, 0)
    slots = placed.physical_to_logical_map_cpu.numpy()
    assert slots.shape == (dense + LAYERS, 72)
    assert np.array_equal(slots[dense:], plan.physical_to_logical)
    # Of rank 0, which goes to its own replica where it has one; so these need not be all.
    layer, expert, index = np.nonzero(placed.logical_to_all_physical_map.numpy() >= 0)
    listed = placed.logical_to_all_physical_map.numpy()[layer, expert, index]
    assert (slots[layer, listed] == expert).all()
    assert len(np.unique(layer * EXPERTS + expert)) == len(slots) * EXPERTS
