"""vLLM's own EplbState, policy table and movers of weights, on the CPU, with its planner and with ours.

Not vLLM's here: the model, its tokens, and streams and events, which torch has only where a GPU is.
"""

import contextlib
import threading
import time
from types import SimpleNamespace as Bag

import numpy as np
import pytest
from placements import check_tables, doubles, imbalance, moves, zipf_loads
from ranks import run_ranks

torch = pytest.importorskip("torch")
pytest.importorskip("vllm", reason="vLLM is not installed: ./dev engines does it")
import vllm.distributed.eplb.async_worker as async_worker  # noqa: E402
import vllm.distributed.eplb.eplb_communicator as eplb_communicator  # noqa: E402
import vllm.distributed.eplb.eplb_state as eplb_state  # noqa: E402
import vllm.distributed.eplb.eplb_utils as eplb_utils  # noqa: E402
import vllm.distributed.eplb.policy as policies  # noqa: E402
import vllm.distributed.eplb.rebalance_execute as rebalance_execute  # noqa: E402
import vllm.distributed.parallel_state as parallel_state  # noqa: E402
from vllm.config.parallel import EPLBConfig  # noqa: E402
from vllm.distributed.eplb.migration_scheduler import schedule_migration_batches_for_layers  # noqa: E402
from vllm.plugins import load_general_plugins  # noqa: E402

LAYERS, EXPERTS, SLOTS, HIDDEN, GROUPS = 4, 32, 40, 16, 8
STEPS = 4  # between rebalances
ONLY_OURS = {"VLLM_PLUGINS": "eplb", "VLLM_LOGGING_LEVEL": "ERROR"}


class Event:
    """In place of torch.Event."""

    def __init__(self, *_, **__):
        self._time = 0.0

    def record(self, *_):
        self._time = 1e3 * time.perf_counter()

    def wait(self, *_):
        """Of what runs on the CPU nothing is left to wait for."""

    def elapsed_time(self, other):
        return other._time - self._time

    synchronize = wait


def without_gpu():
    """What vLLM does on streams, and with pinned memory, it then does at once, and with other memory."""
    torch.Event = Event
    stream = Bag(synchronize=lambda: None)
    torch.accelerator.current_stream = lambda: stream
    for module in (eplb_state, async_worker, eplb_communicator, eplb_utils, rebalance_execute):
        for name, instead in (
            ("PIN_MEMORY", False),
            ("device_stream", lambda _: contextlib.nullcontext()),
            ("gpu_sync_allowed", contextlib.nullcontext),
        ):
            if hasattr(module, name):
                setattr(module, name, instead)
    return stream


class Model:
    """Its weights are numbers that say which expert they are of."""

    num_moe_layers, num_routed_experts, num_logical_experts = LAYERS, EXPERTS, EXPERTS
    num_physical_experts, num_redundant_experts = SLOTS, SLOTS - EXPERTS

    def __init__(self, rank, world, groups):
        self.num_expert_groups, self.num_local_physical_experts = groups, SLOTS // world
        self.here = slice(rank * SLOTS // world, (rank + 1) * SLOTS // world)
        first = torch.arange(SLOTS) % EXPERTS
        self.expert_weights = [self.weights(layer, first) for layer in range(LAYERS)]
        self.moe_layers = [Bag(eplb_state=eplb_state.EplbLayerState()) for _ in range(LAYERS)]

    def weights(self, layer, held):
        number = 1000 * layer + held[self.here].float()
        return [number[:, None].repeat(1, HIDDEN), number[:, None].repeat(1, 3).to(torch.bfloat16)]

    def set_eplb_state(self, *tensors):
        for index, layer in enumerate(self.moe_layers):
            layer.eplb_state.set_layer_state(index, *tensors)

    def forward(self, loads, placement):
        """Counts tokens at the slots of this rank, if that is wanted; replicas share those of their expert."""
        if not self.moe_layers[0].eplb_state.should_record_tensor:
            return
        for layer, row in enumerate(placement.numpy()):
            count = np.bincount(row, minlength=EXPERTS)
            by_slot = torch.from_numpy((loads[layer] // count)[row]).to(torch.int32)
            self.moe_layers[layer].eplb_state.expert_load_view[self.here] += by_slot[self.here]


def make_state(rank, world, nodes, groups, mode):
    stream = without_gpu()
    for name in ("_EP", "_EPLB"):
        ranks = [list(range(world))]
        group = parallel_state.GroupCoordinator(
            ranks, rank, "gloo", use_device_communicator=False, group_name=name.lower()
        )
        setattr(parallel_state, name, group)
    parallel_state._NODE_COUNT = nodes
    load_general_plugins()
    config = EPLBConfig(window_size=STEPS, step_interval=STEPS, use_async=mode == "async", communicator="torch_gloo")
    parallel = Bag(enable_elastic_ep=False, num_ubatches=0, data_parallel_size=1, eplb_config=config)
    state, model = eplb_state.EplbState(parallel, torch.device("cpu")), Model(rank, world, groups)
    state.add_model(model, Bag(model="fake", compute_hash=lambda: "fake"))
    if mode == "async":
        arguments = state, stream
        threading.Thread(target=async_worker.transfer_run_periodically, args=arguments, daemon=True).start()
    return state, model


def rebalance_once(state, model, loads):
    """Steps until a rebalance has begun, and until all of its layers are there."""
    of_model = state.model_states["fake"]
    state.expert_rearrangement_step, state.expert_rearrangement_step_interval = 0, STEPS
    of_model.expert_load_pass.zero_()  # of the passes in which the layers of the last rebalance came
    for step in range(1, 600):
        model.forward(loads, of_model.physical_to_logical_map)
        state.step()
        if step == STEPS:
            state.expert_rearrangement_step_interval = 1 << 30
        if step >= STEPS and not of_model.rebalanced:
            return
        time.sleep(0.01 if state.is_async and step > STEPS else 0)
    raise AssertionError("the rebalance does not end")


def check_weights(state, model):
    """Each slot of this rank has the weights of the expert that the map names, and vLLM's three maps agree."""
    of_model = state.model_states["fake"]
    placement = of_model.physical_to_logical_map
    for layer in range(LAYERS):
        for given, wanted in zip(model.expert_weights[layer], model.weights(layer, placement[layer]), strict=True):
            assert torch.equal(given, wanted), f"weights of layer {layer}"
    tables = of_model.logical_to_physical_map, of_model.logical_replica_count
    check_tables(placement.numpy(), *(each.numpy() for each in tables))


def rebalances(rank, world, nodes, groups, mode):
    state, model = make_state(rank, world, nodes, groups, mode)
    maps = [state.model_states["fake"].physical_to_logical_map.numpy().copy()]
    if mode == "sync":
        # The profile run: no loads yet.
        state.step(is_profile=True)
        check_weights(state, model)
    for seed in range(3):
        rebalance_once(state, model, zipf_loads(LAYERS, EXPERTS, seed))
        check_weights(state, model)
        maps.append(state.model_states["fake"].physical_to_logical_map.numpy().copy())
        schedule_migration_batches_for_layers(SLOTS // world, *maps[-2:])
    from eplb.engines import counters

    return np.stack(maps), counters()._asdict(), state.policy.__name__


def figures(maps, gpus):
    of_loads = [imbalance(zipf_loads(LAYERS, EXPERTS, seed), maps[seed + 1], gpus) for seed in range(3)]
    return of_loads, [max(moves(maps[turn], maps[turn + 1], gpus)) for turn in range(3)]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(("world", "nodes", "groups"), [(2, 1, 0), (4, 1, 1), (4, 2, GROUPS)])
@pytest.mark.parametrize("options", [None, "rebalance", "rebalance,max_moves=6,policy=global", "best"])
def test_its_movers_carry_our_maps_out(world, nodes, groups, mode, options):
    """None is vLLM's own planner, which divides by the number of groups."""
    if options is None and groups == 0:
        pytest.skip("vLLM's own planner raises ZeroDivisionError for a model without groups")
    answers = run_ranks(
        world, rebalances, world, nodes, groups, mode, environment={**ONLY_OURS, "EPLB_ENGINE": options}
    )
    maps, counted, policy = answers[0]
    assert policy == ("DefaultEplbPolicy" if options is None else "LibeplbPolicy")
    assert all(np.array_equal(maps, others) for others, _, _ in answers)
    assert all(each["fingerprint"] == counted["fingerprint"] for _, each, _ in answers)
    assert counted["plans"] == (0 if options is None else 3 + (mode == "sync"))
    of_loads, most = figures(maps, world)
    if options is not None:
        assert doubles(maps[1:].reshape(-1, SLOTS), world) == 0
        if "max_moves" in options:
            assert max(most) <= 6
        elif groups in (0, 1):
            assert max(of_loads) < 1.03


def test_few_moves_are_fewer_than_its_own():
    moved = []
    for options in (None, "rebalance"):
        environment = {**ONLY_OURS, "EPLB_ENGINE": options}
        maps, *_ = run_ranks(4, rebalances, 4, 1, 1, "sync", environment=environment)[0]
        moved.append(sum(figures(maps, 4)[1]))
    assert moved[1] < moved[0] / 2


def table_of_policies(rank):
    load_general_plugins()
    return policies.EPLB_POLICIES["default"].__name__


@pytest.mark.parametrize(
    ("options", "plugins", "expected"),
    [(None, "eplb", "DefaultEplbPolicy"), ("best", "eplb", "LibeplbPolicy"), ("best", "other", "DefaultEplbPolicy")],
)
def test_its_loader_finds_us_and_nothing_happens_unless_asked(options, plugins, expected):
    environment = {**ONLY_OURS, "EPLB_ENGINE": options, "VLLM_PLUGINS": plugins}
    assert run_ranks(1, table_of_policies, environment=environment) == [expected]


def test_an_unknown_word_stops_it():
    with pytest.raises(AssertionError, match="InvalidArgument: EPLB_ENGINE is 'bets': 'bets' is no strategy"):
        run_ranks(1, table_of_policies, environment={**ONLY_OURS, "EPLB_ENGINE": "bets"})


def other_sizes(rank, ranks):
    """As in an elastic deployment: vLLM's own functions make its tables of what the policy returns."""
    load_general_plugins()
    policy, places = policies.EPLB_POLICIES["default"], SLOTS // 8
    now = (torch.arange(SLOTS) % EXPERTS).repeat(LAYERS, 1)
    now = torch.nn.functional.pad(now, (0, max(0, ranks * places - SLOTS)), value=-1)
    loads = torch.from_numpy(zipf_loads(LAYERS, EXPERTS, 3))
    placement = policy.rebalance_experts(loads, ranks * places, 0, 1, ranks, now)
    tables = eplb_state.compute_logical_maps(placement, EXPERTS)
    check_tables(placement.numpy(), *(each.numpy() for each in tables))
    return placement.numpy()


@pytest.mark.parametrize("ranks", [7, 8, 10])
def test_ranks_leave_and_join(ranks):
    (placement,) = run_ranks(1, other_sizes, ranks, environment={**ONLY_OURS, "EPLB_ENGINE": "rebalance,max_moves=1"})
    assert placement.shape == (LAYERS, ranks * SLOTS // 8)
    assert doubles(placement, ranks) == 0
