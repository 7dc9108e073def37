"""Lists of transfers, carried out by a simulator that shares nothing with the library; and that simulator, with wrong
ones."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from transfer_simulator import WrongTransfers, simulate
from transfers import plan_transfers

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ORDERS = ("buffered", "in_place", "exclusive")
# By number of experts: slots, GPUs, nodes.
SHAPES = {
    8: [(16, 4, 2), (16, 8, 1)],
    32: [(40, 8, 4), (64, 16, 2)],
    64: [(72, 8, 1), (80, 16, 2)],
    128: [(144, 16, 4)],
    256: [(288, 32, 4), (320, 64, 8)],
}

# ----------------------------------------------------------------------------------------------------- the simulator

# Four GPUs with a slot each: two that exchange, one that is copied over another, one that is reloaded.
BEFORE = [0, 1, 2, -1, 5, 5]
AFTER = [1, 0, 2, 2, 6, 5]
BUFFERED = {"source": [1, 0, 2, 2, -2, 5], "round": [1, 1, -1, 1, 0, -1], "group": [-1] * 6}
IN_PLACE = {"source": [1, 0, 2, 2, -2, 5], "round": [1, 2, -1, 1, 1, -1], "group": [0, 0, -1, -1, -1, -1]}
EXCLUSIVE = {"source": [1, 0, 2, 2, -2, 5], "round": [1, 2, -1, 1, 0, -1], "group": [-1] * 6}
RIGHT = {"buffered": BUFFERED, "in_place": IN_PLACE, "exclusive": EXCLUSIVE}


def carry_out(order, num_gpus=6, current=BEFORE, placement=AFTER, **maps):
    return simulate(current, placement, maps["source"], maps["round"], maps["group"], num_gpus, order)


@pytest.mark.parametrize("order", ORDERS)
def test_right_lists_pass(order):
    assert carry_out(order, **RIGHT[order]) == max(RIGHT[order]["round"])


# What is changed in a right list, and what is said of it.
WRONG = [
    ("buffered", {"source": {0: 0}}, "slot 0 is said to be unchanged"),
    ("buffered", {"source": {2: 3}}, "slot 2 holds its expert already"),
    ("buffered", {"source": {0: 2}}, "slot 0 gets the contents of slot 2, another expert"),
    ("buffered", {"source": {3: 3}}, "slot 3 is said to be unchanged"),
    ("buffered", {"source": {0: -2}}, "slot 0 is reloaded, but expert 1 can be read"),
    ("buffered", {"source": {4: 5}}, "slot 4 gets the contents of slot 5, another expert"),
    ("buffered", {"round": {0: -1}}, "slot 0 changes, but has no round"),
    ("buffered", {"round": {4: -1}}, "slot 4 is reloaded, but has no round"),
    ("buffered", {"round": {2: 1}}, "slot 2 is unchanged, but has a round"),
    ("buffered", {"round": {0: 0}}, "slot 0 gets its contents from another GPU, but in no round"),
    ("exclusive", {"round": {1: 1}}, "round 1: .* both send and receive"),
    ("in_place", {"group": {0: -1, 1: -1}}, "round 2: slot 0 was overwritten before it was read"),
    ("in_place", {"round": {1: 1}}, "is read and written at once"),
    ("in_place", {"group": {3: 1}}, "a buffer was filled and never read"),
    ("in_place", {"group": {0: 1}}, "round 2: slot 0 was overwritten before it was read"),
]


@pytest.mark.parametrize(("order", "changes", "text"), WRONG)
def test_wrong_lists_are_refused(order, changes, text):
    maps = {name: list(values) for name, values in RIGHT[order].items()}
    for name, values in changes.items():
        for slot, value in values.items():
            maps[name][slot] = value
    with pytest.raises(WrongTransfers, match=text):
        carry_out(order, **maps)


def test_links_are_used_once():
    """Two slots per GPU: both of a GPU are sent, or arrive, in one round."""
    given = {"current": [0, 1, -1, -1, -1, -1], "source": [0, 1, 0, -1, 1, -1], "group": [-1] * 6, "num_gpus": 3}
    with pytest.raises(WrongTransfers, match="round 1: GPU 0 sends twice"):
        carry_out("buffered", placement=[0, 1, 0, -1, 1, -1], round=[-1, -1, 1, -1, 1, -1], **given)
    given["current"], given["source"] = [0, -1, 1, -1, -1, -1], [0, -1, 2, -1, 0, 2]
    with pytest.raises(WrongTransfers, match="round 1: GPU 2 receives twice"):
        carry_out("buffered", placement=[0, -1, 1, -1, 0, 1], round=[-1, -1, -1, -1, 1, 1], **given)


def test_what_is_left_empty_has_no_transfer():
    with pytest.raises(WrongTransfers, match="slot 0 holds nothing, but has a transfer"):
        carry_out("buffered", 1, [0], [-1], source=[-1], round=[1], group=[-1])


# ------------------------------------------------------------------------------------------------------- the library


def solve(context, weights, current, order, sizes):
    num_slots, num_gpus, num_nodes = sizes
    options = {"num_nodes": num_nodes, "policy": "global", "effort": "fast"}
    return context.solve(weights, num_slots, num_gpus, **options, current=current, transfer_order=order)


def moves_of_layer(current, placement, num_gpus):
    """GPUs and experts that they get."""
    pairs = [
        {(gpu, expert) for gpu, row in enumerate(np.reshape(of, (num_gpus, -1)).tolist()) for expert in row}
        for of in (current, placement)
    ]
    return len(pairs[1] - pairs[0])


def links_of_layer(source, num_gpus):
    """Transfers that each GPU sends to others, and receives from them."""
    per_gpu = len(source) // num_gpus
    links = [(origin // per_gpu, slot // per_gpu) for slot, origin in enumerate(source) if origin >= 0]
    sent, received = (np.bincount([link[side] for link in links if link[0] != link[1]], minlength=num_gpus)
                      for side in (0, 1))  # fmt: skip
    return sent, received


def check_moves(plan, current, order, sizes):
    """Every layer is carried out, and its rounds are as few as was promised."""
    _, num_gpus, num_nodes = sizes
    placement, moves, rounds = plan.physical_to_logical, plan.moves, []
    for layer, (old, new) in enumerate(zip(np.asarray(current).tolist(), placement.tolist(), strict=True)):
        maps = [each[layer].tolist() for each in (moves.source, moves.round, moves.group)]
        rounds.append(simulate(old, new, *maps, num_gpus, order))
        sent, received = links_of_layer(maps[0], num_gpus)
        assert moves.count[layer] == moves_of_layer(old, new, num_gpus)
        assert plan.changed[layer] == (old != new)
        if order == "buffered":
            assert rounds[-1] == max(sent.max(), received.max())
        if order == "exclusive":
            assert (sent + received).max() <= rounds[-1] <= 3 * (sent + received).max() // 2
    assert plan.report.rounds == sum(rounds)
    assert plan.report.moves == moves.count.sum()
    check_sources(current, placement, moves.source, num_gpus, num_nodes)


def check_sources(current, placement, source, num_gpus, num_nodes):
    """No slot gets its contents from further away than it must."""
    per_gpu = placement.shape[1] // num_gpus
    gpu = [slot // per_gpu for slot in range(placement.shape[1])]
    node = [each * num_nodes // num_gpus for each in gpu]
    for old, new, origins in zip(*(np.asarray(each).tolist() for each in (current, placement, source)), strict=True):
        holders = defaultdict(list)
        for slot, expert in enumerate(old):
            holders[expert].append(slot)
        for slot, (expert, origin) in enumerate(zip(new, origins, strict=True)):
            if origin < 0:
                assert not holders[expert]
            elif gpu[origin] != gpu[slot]:
                assert gpu[slot] not in [gpu[holder] for holder in holders[expert]]
                assert node[origin] == node[slot] or node[slot] not in [node[holder] for holder in holders[expert]]


def with_holes(random, placement, share):
    """A current placement with slots that cannot be read, and in some layers with all of the first GPUs dead."""
    current = np.where(random.random(placement.shape) < share, -1, placement)
    current[::3, : placement.shape[1] // 4] = -1
    return current


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(12))
def test_random_placements(order, seed):
    eplb = pytest.importorskip("eplb")
    random = np.random.default_rng(seed)
    num_gpus = int(random.integers(1, 13))
    num_nodes = int(random.integers(1, num_gpus + 1))
    experts = int(random.integers(1, 60))
    num_slots = num_gpus * (-(-experts // num_gpus) + int(random.integers(0, 5)))
    sizes = num_slots, num_gpus, num_nodes
    weights = random.integers(1, 1000, (4, experts))
    with eplb.Context() as context:
        new = context.solve(weights, num_slots, num_gpus, num_nodes=num_nodes, policy="global", effort="fast")
        placement = new.physical_to_logical
        currents = [
            random.integers(-1, experts, placement.shape),
            random.permuted(placement, axis=1),
            with_holes(random, random.permuted(placement, axis=1), 0.2),
            np.where(random.random(placement.shape) < 0.1, random.permuted(placement, axis=1), placement),
            placement,
            np.full_like(placement, -1),
        ]
        for current in currents:
            plan = solve(context, weights, current, order, sizes)
            assert np.array_equal(plan.physical_to_logical, placement)
            check_moves(plan, current, order, sizes)
            check_reference(plan, current, order, sizes)


def check_reference(plan, current, order, sizes):
    """The same lists as a plain reading of docs/algorithms.md."""
    for layer, new in enumerate(plan.physical_to_logical.tolist()):
        given = [each[layer].tolist() for each in (plan.moves.source, plan.moves.round, plan.moves.group)]
        assert given == list(plan_transfers(current[layer].tolist(), new, *sizes[1:], order))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(3))
def test_lists_without_a_library(order, seed):
    """The reference's own lists can be carried out, also to placements that no strategy gives: with empty slots."""
    random = np.random.default_rng(seed)
    for _ in range(60):
        num_gpus, per_gpu, experts = (int(random.integers(1, most)) for most in (9, 6, 24))
        old, new = random.integers(-1, experts, (2, num_gpus * per_gpu)).tolist()
        maps = plan_transfers(old, new, num_gpus, int(random.integers(1, 4)), order)
        rounds = simulate(old, new, *maps, num_gpus, order)
        sent, received = links_of_layer(maps[0], num_gpus)
        if order == "buffered":
            assert rounds == max(sent.max(), received.max())


def traces():
    return sorted(path for path in DATA.glob("*_L*xE*.csv")) + sorted(DATA.glob("*_T*.npz"))


def before_and_after(path):
    """Loads [L,E] of an earlier time and of a later one."""
    if path.suffix == ".npz":
        counts = np.load(path)["counts"].astype(np.int64)
        half = len(counts) // 2
        return counts[:half].sum(axis=0), counts[half:].sum(axis=0)
    counts = np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=2)
    return np.roll(counts, 1, axis=0), counts  # of another layer


@pytest.mark.parametrize("path", traces() or [None], ids=lambda path: path.name if path else "no traces")
def test_real_traces(path):
    eplb = pytest.importorskip("eplb")
    if path is None:
        pytest.skip("no measured loads: ../shared/data is not there")
    before, after = before_and_after(path)
    with eplb.Context() as context:
        for sizes in SHAPES[before.shape[1]]:
            fresh = solve(context, before, None, "buffered", sizes).physical_to_logical
            for current in (fresh, with_holes(np.random.default_rng(7), fresh, 0.05)):
                for order in ORDERS:
                    check_moves(solve(context, after, current, order, sizes), current, order, sizes)
