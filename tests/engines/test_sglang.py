"""SGLang's own plug-in loader, metadata and mover of weights, on the CPU, with its planner and with ours.

Not SGLang's here: the model, and what it reads of a launched server's configuration.
"""

import json
import os
from types import SimpleNamespace as Bag

import numpy as np
import pytest
from placements import check_tables, doubles, imbalance, moves, zipf_loads
from ranks import run_ranks

torch = pytest.importorskip("torch")
pytest.importorskip("sglang", reason="SGLang is not installed: ./dev engines does it")
import sglang.srt.eplb.eplb_algorithms as algorithms  # noqa: E402
import sglang.srt.eplb.expert_location as location  # noqa: E402
import sglang.srt.eplb.expert_location_updater as updater  # noqa: E402
from sglang.srt.elastic_ep.elastic_ep import ElasticEPStateManager  # noqa: E402
from sglang.srt.plugins import load_plugins  # noqa: E402

LAYERS, DENSE, EXPERTS, SLOTS, HIDDEN = 4, 1, 64, 72, 8
# The ring of the recorder: not in order of time, not all filled.
SAMPLES, FILLED = 12, (7, 2, 9)
CANARY = {"SGLANG_EXPERT_LOCATION_UPDATER_CANARY": "1", "SGLANG_PLUGINS": "eplb"}


def configure(gpus, algorithm="auto", nodes=1, groups=None, dispatch="static"):
    """What the metadata asks of a server."""
    moe = Bag(
        eplb_algorithm=algorithm,
        ep_num_redundant_experts=SLOTS - EXPERTS,
        ep_join_mode=None,
        ep_dispatch_algorithm=dispatch,
        moe_a2a_backend="deepep",
        init_expert_location="trivial",
    )
    parallel = Bag(ep_size=gpus, nnodes=nodes, elastic_ep_initial_size=None, ep_join_rank_offset=0, tp_size=gpus)
    for module in (location, updater):
        module.get_device = lambda: Bag(device="cpu")
    location.get_exec, location.get_parallel = (lambda: Bag(moe=moe)), (lambda: parallel)
    location._prefer_same_node_experts = lambda: True
    sizes = location.ModelConfigForExpertLocation(LAYERS + DENSE, EXPERTS, groups)
    location.ModelConfigForExpertLocation.from_model_config = staticmethod(lambda _: sizes)


def ring(loads):
    """Loads as the recorder has them: int32, by step, with a row for each layer of the model."""
    steps = np.zeros((SAMPLES, LAYERS + DENSE, EXPERTS), np.int32)
    for part, sample in enumerate(FILLED):
        steps[sample, DENSE:] = loads // len(FILLED) + (part == 0) * (loads % len(FILLED))
    return torch.from_numpy(steps)


def weights_of(held):
    """Two tensors per layer whose numbers say which expert they are of."""
    by_layer = {}
    for layer in range(DENSE, DENSE + LAYERS):
        number = 1000 * layer + held[layer].float()
        by_layer[layer] = [number[:, None].repeat(1, HIDDEN), number[:, None].repeat(1, 3).to(torch.float64)]
    return by_layer


def rebalances(rank, world):
    """Three rebalances by SGLang's own way; the placements, and what the planner has counted."""
    configure(world)
    load_plugins()
    location.set_global_expert_location_metadata(location.ExpertLocationMetadata.init_trivial(None, rank))
    now = location.get_global_expert_location_metadata()
    here = slice(rank * SLOTS // world, (rank + 1) * SLOTS // world)
    held = lambda: now.physical_to_logical_map_cpu[:, here]  # noqa: E731
    weights, mover, maps = weights_of(held()), updater.ExpertLocationUpdater(), []
    for seed in range(3):
        maps.append(now.physical_to_logical_map_cpu.numpy().copy())
        planned = location.ExpertLocationMetadata.init_by_eplb(None, ring(zipf_loads(LAYERS, EXPERTS, seed)))
        tables = planned.logical_to_all_physical_map, planned.logical_to_all_physical_map_num_valid
        check_tables(planned.physical_to_logical_map.numpy(), *(each.numpy() for each in tables))
        layers = list(range(DENSE, DENSE + LAYERS))
        assert not mover.update(weights, planned, layers, nnodes=1, rank=rank)
        for layer, expected in weights_of(held()).items():
            for given, wanted in zip(weights[layer], expected, strict=True):
                assert torch.equal(given, wanted), f"weights of layer {layer}"
    maps.append(now.physical_to_logical_map_cpu.numpy().copy())
    from eplb.engines import counters

    return np.stack(maps)[:, DENSE:], counters()._asdict()


def figures(maps, gpus):
    """Of the three rebalances: imbalance, and moves of the layer that has most."""
    of_loads = [imbalance(zipf_loads(LAYERS, EXPERTS, seed), maps[seed + 1], gpus) for seed in range(3)]
    return of_loads, [max(moves(maps[turn], maps[turn + 1], gpus)) for turn in range(3)]


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("options", [None, "rebalance", "rebalance,max_moves=6", "best", "greedy"])
def test_its_mover_carries_our_maps_out(world, options):
    """SGLang's canary is on: it compares what arrived with the map, too. None is its own planner."""
    answers = run_ranks(world, rebalances, world, environment={**CANARY, "EPLB_ENGINE": options})
    maps, counted = answers[0]
    assert all(np.array_equal(maps, others) for others, _ in answers)
    assert all(each["fingerprint"] == counted["fingerprint"] for _, each in answers)
    assert counted["plans"] == (0 if options is None else 3)
    of_loads, most = figures(maps, world)
    if options == "rebalance,max_moves=6":
        assert max(most) <= 6
    elif options in ("rebalance", "best"):
        assert max(of_loads) < 1.03
    if options in ("rebalance", "best"):
        assert doubles(maps[1:].reshape(-1, SLOTS), world) == 0


def test_few_moves_are_fewer_than_its_own():
    own, ours = (
        run_ranks(4, rebalances, 4, environment={**CANARY, "EPLB_ENGINE": options})[0][0]
        for options in (None, "rebalance")
    )
    assert sum(figures(ours, 4)[1]) < sum(figures(own, 4)[1]) / 2


def plugged_in(rank):
    own = algorithms.rebalance_experts
    load_plugins()
    return algorithms.rebalance_experts is not own


@pytest.mark.parametrize(
    ("options", "plugins", "expected"), [(None, "", False), ("best", "", True), ("best", "other", False)]
)
def test_its_loader_finds_us_and_nothing_happens_unless_asked(options, plugins, expected):
    environment = {"EPLB_ENGINE": options, "SGLANG_PLUGINS": plugins}
    assert run_ranks(1, plugged_in, environment=environment) == [expected]


def test_an_unknown_word_stops_it():
    with pytest.raises(AssertionError, match="SystemExit: EPLB_ENGINE is 'bets': 'bets' is no strategy"):
        run_ranks(1, plugged_in, environment={**CANARY, "EPLB_ENGINE": "bets"})


def first_maps(rank, gpus, algorithm, nodes, groups, dispatch, folder):
    """Of a server that starts with recorded counts, then with a file of ours."""
    configure(gpus, algorithm, nodes, groups, dispatch)
    load_plugins()
    loads = zipf_loads(LAYERS, EXPERTS, 5)
    planned = location.ExpertLocationMetadata.init_by_eplb(None, ring(loads))
    placement = planned.physical_to_logical_map
    file = os.path.join(folder, "map.json")
    with open(file, "w") as out:
        json.dump({"physical_to_logical_map": placement.tolist()}, out)
    location.get_exec().moe.init_expert_location = file
    read = location.compute_initial_expert_location_metadata(None, 0)
    assert torch.equal(read.physical_to_logical_map, placement)
    return placement.numpy()[DENSE:], loads


@pytest.mark.parametrize("dispatch", ["static", "dynamic"])
@pytest.mark.parametrize("algorithm", ["auto", "deepseek", "deepseek_vec", "deepseek_hierarchical"])
def test_start_with_recorded_counts(algorithm, dispatch, tmp_path):
    arguments, found = (8, algorithm, 2, 8, dispatch, str(tmp_path)), []
    for options in (None, "best"):
        ((placement, loads),) = run_ranks(1, first_maps, *arguments, environment={**CANARY, "EPLB_ENGINE": options})
        found.append(imbalance(loads, placement, 8))
    assert doubles(placement, 8) == 0
    assert found[1] <= found[0] + 1e-9
    # Groups on nodes where SGLang's own choice of algorithm keeps them there.
    first, second = (set(row.tolist()) for row in (placement[0] // (EXPERTS // 8)).reshape(2, -1))
    assert first.isdisjoint(second) == (algorithm in ("auto", "deepseek_hierarchical"))


def around_dead_ranks(rank, gpus, dead):
    configure(gpus, "elasticity_aware")
    load_plugins()
    active = torch.ones(gpus, dtype=torch.int32)
    active[list(dead)] = 0
    ElasticEPStateManager.instance = classmethod(lambda cls: Bag(active_ranks=active))
    now = location.ExpertLocationMetadata.init_trivial(None, 0)
    location.set_global_expert_location_metadata(now)
    planned = location.ExpertLocationMetadata.init_by_eplb(None, ring(zipf_loads(LAYERS, EXPERTS, 5)))
    tables = planned.logical_to_all_physical_map, planned.logical_to_all_physical_map_num_valid
    is_open = np.repeat(active.numpy() > 0, SLOTS // gpus)
    placement = planned.physical_to_logical_map.numpy()
    check_tables(placement, *(each.numpy() for each in tables), is_open)
    assert (placement[:, ~is_open] == 0).all()
    return placement[DENSE:, is_open]


@pytest.mark.parametrize("options", [None, "rebalance", "best"])
def test_dead_ranks(options):
    """The same form as elasticity_aware gives: expert 0 in slots of dead ranks, which no table lists."""
    (living,) = run_ranks(1, around_dead_ranks, 12, (3,), environment={**CANARY, "EPLB_ENGINE": options})
    if options:
        assert doubles(living, 11) == 0
