"""Dispatch by shares and by counts: what each slot gets, and how near that is."""

import itertools

import eplb
import numpy as np
import pytest
from eplb import dispatch
from eplb.dispatch import SHARES

# Two layers; expert 3 is once on a GPU of its own, and a slot is empty.
PLACEMENT = [[0, 1, 0, 2, 0, 3], [2, 1, 3, 0, 0, -1]]
SHARE = [[1, SHARES, 40000, SHARES, SHARES - 40001, SHARES], [SHARES, SHARES, SHARES, 0, SHARES, 0]]


def a_placement(random, experts, slots, empty=0):
    rest = random.integers(0, experts, slots - experts - empty)
    return random.permutation(np.concatenate([np.arange(experts), rest, np.full(empty, -1)]))


def some_shares(random, row):
    return dispatch.shares_of(row, random.integers(0, 100, len(row)) * (row >= 0))


def some_counts(random, ranks, row):
    """Counts of ranks, and quotas that sum to them in any way."""
    counts = random.integers(0, 40, (ranks, row.max() + 1)) * (random.random((ranks, row.max() + 1)) < 0.8)
    quotas = np.zeros(len(row), int)
    for expert, total in enumerate(counts.sum(axis=0)):
        slots = np.flatnonzero(row == expert)
        quotas[slots] = random.multinomial(total, random.dirichlet(np.ones(len(slots))))
    return counts, quotas


def sums_by_expert(amounts, row):
    found = np.zeros((len(amounts), row.max() + 1), int)
    for slot, expert in enumerate(row):
        if expert >= 0:
            found[:, expert] += amounts[:, slot]
    return found


# ------------------------------------------------------------------------------------------- hashes


def test_each_slot_has_its_share_of_all_hashes():
    table = dispatch.hash_table(PLACEMENT, SHARE)
    assert table.slots.tolist()[0] == [[0, 2, 4], [1, -1, -1], [3, -1, -1], [5, -1, -1]]
    hashes = np.arange(SHARES)
    for layer, expert in itertools.product(range(2), range(4)):
        counts = np.bincount(table.choose(expert, hashes, layer), minlength=6)
        assert counts.tolist() == np.where(np.equal(PLACEMENT[layer], expert), SHARE[layer], 0).tolist()


def test_choices_are_the_first_slot_above_the_hash():
    random = np.random.default_rng(1)
    row = a_placement(random, 20, 60, 3)
    share = some_shares(random, row)[0]
    experts, hashes = random.integers(-1, 20, (50, 8)), random.integers(0, SHARES, (50, 1))
    chosen = dispatch.hash_table(row, share).choose(experts, hashes)
    for token, pick in np.ndindex(experts.shape):
        slots = np.flatnonzero(row == experts[token, pick]) if experts[token, pick] >= 0 else np.array([], int)
        above = slots[np.cumsum(share[slots]) > hashes[token]]
        assert chosen[token, pick] == (above[0] if len(above) else -1)


def test_hashes_are_those_of_vllm():
    assert dispatch.hash_tokens([0, 1, 2, 2**32 + 1, 12345678901]).tolist() == [
        token * 2654435769 % 2**32 >> 16 for token in (0, 1, 2, 2**32 + 1, 12345678901)
    ]
    assert dispatch.hash_tokens(np.arange(3, dtype=np.int32)).dtype == np.uint16


@pytest.mark.parametrize("start", [0, 123456])
def test_counts_of_consecutive_tokens_miss_shares_by_a_few(start):
    """Chance would miss them by more than 100 of these tokens."""
    random = np.random.default_rng(2)
    row = a_placement(random, 8, 40)
    share = some_shares(random, row)[0]
    tokens = 50000
    hashes = dispatch.hash_tokens(np.arange(start, start + tokens))
    for expert in range(8):
        counts = np.bincount(dispatch.hash_table(row, share).choose(expert, hashes), minlength=len(row))
        wanted = np.where(row == expert, share / SHARES * tokens, 0)
        assert np.abs(counts - wanted).max() < 10


def test_counts_of_any_tokens_are_within_chance():
    random = np.random.default_rng(3)
    row = a_placement(random, 8, 40)
    share = some_shares(random, row)[0]
    tokens = random.integers(0, 2**40, 20000)
    for expert in range(8):
        chosen = dispatch.hash_table(row, share).choose(expert, dispatch.hash_tokens(tokens))
        wanted = np.where(row == expert, share / SHARES, 0)
        error = np.abs(np.bincount(chosen, minlength=len(row)) - wanted * len(tokens))
        assert (error <= 5 * np.sqrt(len(tokens) * wanted * (1 - wanted)) + len(tokens) / SHARES).all()


# ------------------------------------------------------------------------------------------- shares


def test_shares_of_quotas():
    assert dispatch.shares_of([0, 0, 0, 1, -1], [1, 1, 1, 0, 5]).tolist() == [[21846, 21845, 21845, SHARES, 0]]
    assert dispatch.shares_of([0, 0, 0], [0.0, 0.0, 0.0]).tolist() == [[21846, 21845, 21845]]
    exact = dispatch.shares_of([0, 0], [2**62, 2**61])
    assert exact.tolist() == [[43691, 21845]] and exact.dtype == np.int32


def test_probabilities_in_the_order_of_the_engine():
    table = np.full((2, 4, 6), -1)
    table[0, :, :3] = [[4, 0, 2], [1, -1, -1], [3, -1, -1], [5, -1, -1]]
    table[1, :, :2] = [[3, 4], [1, -1], [0, -1], [2, -1]]
    found = dispatch.probabilities(SHARE, table)
    assert found.dtype == np.float32 and found.shape == (2, 4, 6)
    assert (found.sum(axis=2) == 1).all()
    assert found[0, 0, :3].tolist() == [(SHARES - 40001) / SHARES, 1 / SHARES, 40000 / SHARES]
    assert (found[table < 0] == 0).all()
    assert np.array_equal(dispatch.probabilities(SHARE[1], table[1]), found[1])


# ------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("seed", range(20))
def test_prefixes_meet_counts_and_quotas(seed):
    random = np.random.default_rng(seed)
    row = a_placement(random, 12, 40, seed % 4)
    counts, quotas = some_counts(random, 8, row)
    amounts = dispatch.count_prefixes(counts, quotas, row)
    assert amounts.dtype == np.int64 and amounts.min() >= 0
    assert np.array_equal(amounts.sum(axis=0), quotas)
    assert np.array_equal(sums_by_expert(amounts, row), counts)
    for expert in range(12):
        # In order: no rank goes below the highest slot that a rank before it has reached.
        ranks, slots = np.nonzero(amounts[:, row == expert])
        assert (np.diff(slots) >= 0).all() and (np.diff(ranks) >= 0).all()


def least_away(counts, quotas, row, gpu_of_rank, gpu_of_slot, node):
    """Tokens that must leave their GPU, and their node, whatever goes where: by expert, what places cannot serve."""
    away = []
    for rank_place, slot_place in ((gpu_of_rank, gpu_of_slot), (node[gpu_of_rank], node[gpu_of_slot])):
        kept = 0
        for place, expert in itertools.product(np.unique(slot_place), range(counts.shape[1])):
            has = counts[rank_place == place, expert].sum()
            kept += min(has, quotas[(slot_place == place) & (row == expert)].sum())
        away.append(counts.sum() - kept)
    return away


@pytest.mark.parametrize("seed", range(20))
def test_near_first_keeps_most(seed):
    random = np.random.default_rng(seed)
    gpus, nodes, ranks = 8, (1, 2, 4)[seed % 3], 8 * (1 + seed % 2)
    row = a_placement(random, 12, 40, seed % 4)
    counts, quotas = some_counts(random, ranks, row)
    amounts = dispatch.near_first(counts, quotas, row, num_gpus=gpus, num_nodes=nodes)
    assert amounts.min() >= 0
    assert np.array_equal(amounts.sum(axis=0), quotas)
    assert np.array_equal(sums_by_expert(amounts, row), counts)
    node = np.arange(gpus) * nodes // gpus
    gpu_of_rank, gpu_of_slot = np.arange(ranks) * gpus // ranks, np.arange(40) * gpus // 40
    gone = gpu_of_rank[:, np.newaxis] != gpu_of_slot, node[gpu_of_rank][:, np.newaxis] != node[gpu_of_slot]
    away = [amounts[each].sum() for each in gone]
    assert away == least_away(counts, quotas, row, gpu_of_rank, gpu_of_slot, node)
    if nodes > 1:
        in_order = dispatch.count_prefixes(counts, quotas, row)
        assert away[0] < in_order[gone[0]].sum() and away[1] <= in_order[gone[1]].sum()


def test_nodes_of_a_cluster():
    row, counts, quotas = [0, 1, 0, 1], [[0, 0], [4, 0], [0, 0], [0, 0]], [2, 0, 2, 0]
    cluster = eplb.Cluster(node=[0, 1, 1, 0])
    found = dispatch.near_first(counts, quotas, row, cluster=cluster)
    assert found[1].tolist() == [2, 0, 2, 0]
    with_two = dispatch.near_first([[0, 0], [2, 0], [2, 0], [0, 0]], quotas, row, cluster=cluster)
    assert with_two[2].tolist() == [0, 0, 2, 0] and with_two[1].tolist() == [2, 0, 0, 0]


def test_layers_at_once():
    random = np.random.default_rng(5)
    rows = np.array([a_placement(random, 6, 12) for _ in range(3)])
    counts, quotas = map(np.array, zip(*(some_counts(random, 4, row) for row in rows), strict=True))
    before = counts.copy(), quotas.copy()
    near = dispatch.near_first(counts, quotas, rows, num_gpus=4, num_nodes=2)
    prefixes = dispatch.count_prefixes(counts, quotas, rows)
    assert np.array_equal(counts, before[0]) and np.array_equal(quotas, before[1])
    for layer, row in enumerate(rows):
        alone = dispatch.near_first(counts[layer], quotas[layer], row, num_gpus=4, num_nodes=2)
        assert np.array_equal(near[layer], alone)
        assert np.array_equal(prefixes[layer], dispatch.count_prefixes(counts[layer], quotas[layer], row))


def test_tokens_go_where_the_amounts_say():
    random = np.random.default_rng(6)
    row = a_placement(random, 12, 40, 2)
    experts = random.integers(0, 12, (4, 100, 3))
    counts = np.stack([np.bincount(each.ravel(), minlength=12) for each in experts])
    quotas = np.zeros(40, int)
    for expert in range(12):
        slots = np.flatnonzero(row == expert)
        quotas[slots] = random.multinomial(counts[:, expert].sum(), np.full(len(slots), 1 / len(slots)))
    amounts = dispatch.count_prefixes(counts, quotas, row)
    served = np.zeros(40, int)
    for rank, wanted in enumerate(experts):
        slots = dispatch.choose_in_order(wanted, amounts[rank], row)
        assert np.array_equal(row[slots], wanted)
        for expert in range(12):
            assert (np.diff(slots.ravel()[wanted.ravel() == expert]) >= 0).all()
        served += np.bincount(slots.ravel(), minlength=40)
    assert np.array_equal(served, quotas)


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: dispatch.hash_tokens([0.5]), "tokens is float64, must be integers"),
        (lambda: dispatch.hash_table([0, 0], [1, 2, 3]), "shares is [3] and physical_to_logical is [1, 2]"),
        (
            lambda: dispatch.hash_table([0, 0], [1, 2]),
            "shares of expert 0 in layer 0 sum to 3, must be 65536: shares_of",
        ),
        (lambda: dispatch.hash_table([0, 0], [-1, 2]), "shares[0] is -1, must be 0 to 65536"),
        (lambda: dispatch.hash_table([0, 4], [1, 2], num_experts=4), "physical_to_logical[0, 1] is 4"),
        (lambda: dispatch.hash_table(PLACEMENT, SHARE).choose([0, 4], 0), "experts[1] is 4, must be -1 to 3"),
        (lambda: dispatch.hash_table(PLACEMENT, SHARE).choose(0, SHARES), "hashes is 65536, must be 0 to 65535"),
        (lambda: dispatch.hash_table(PLACEMENT, SHARE).choose(0, 0, 2), "layer is 2, must be 0 to 1"),
        (lambda: dispatch.hash_table(PLACEMENT, SHARE).choose([0, 1], [0, 1, 2]), "experts is [2] and hashes is [3]"),
        (lambda: dispatch.probabilities(SHARE, [[0], [1]]), "logical_to_physical is [1, 2, 1] and shares is [2, 6]"),
        (lambda: dispatch.probabilities(SHARE[0], [[0], [1]]), "shares of expert 0 in layer 0 sum to 1, must be 65536"),
        (lambda: dispatch.probabilities(SHARE[0], [[6], [1]]), "logical_to_physical[0, 0, 0] is 6, must be -1 to 5"),
        (lambda: dispatch.shares_of([0, 0], [1, -1]), "quotas[layer 0, slot 1] is -1, must be 0 or more"),
        (lambda: dispatch.shares_of([0, 0], ["a", "b"]), "quotas"),
        (lambda: dispatch.count_prefixes([1], [1], [0]), "counts has 1 dimensions"),
        (lambda: dispatch.count_prefixes([[1]], [1.0], [0]), "quotas is float64, must be integers"),
        (
            lambda: dispatch.count_prefixes([[3], [1]], [1, 2], [0, 0]),
            "quotas of expert 0 in layer 0 sum to 3, must be the 4",
        ),
        (
            lambda: dispatch.count_prefixes([[3]], [3, 1], [0, -1]),
            "quotas[layer 0, slot 1] is 1, but the slot is empty",
        ),
        (
            lambda: dispatch.count_prefixes([[[3]]], [[3], [3]], [[0], [0]]),
            "counts has 1 layers, but physical_to_logical has 2",
        ),
        (
            lambda: dispatch.near_first([[3]], [3, 0], [0, 0], num_gpus=2),
            "num_gpus is 2, must divide the 2 slots and the 1 ranks",
        ),
        (lambda: dispatch.choose_in_order([0], [1], [0, 0]), "amounts is [1], must be [2]"),
        (
            lambda: dispatch.choose_in_order([0, 0], [1, 0], [0, 0]),
            "experts has 2 tokens of expert 0, but amounts has 1",
        ),
        (lambda: dispatch.choose_in_order([1], [1, 0], [0, 0]), "experts[0] is 1, must be 0 to 0"),
    ],
)
def test_refusals(call, text):
    with pytest.raises(eplb.Error) as raised:
        call()
    assert text in str(raised.value) and "\n" not in str(raised.value)
    assert isinstance(raised.value, ValueError)
