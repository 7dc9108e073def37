"""Packing: n items of given sizes on packs that take equally many. Groups on nodes and replicas on GPUs alike.

A chain packs the items once, in an order of its own: each to the lightest pack with room (longest processing time
first, if the order is by size). Refinement then swaps items of different packs. A strategy runs one or more chains
and keeps one.

An item's *position* is its index in its chain's order. Ties fall by position, by pack or by slot, as stated, and
always to the lowest.
"""

from collections.abc import Callable
from dataclasses import dataclass

from arithmetic import Float32, Integer


def largest_first(keys):
    """Items by descending key; equal keys stay in order of creation."""
    return sorted(range(len(keys)), key=lambda item: -keys[item])


def place_in_order(sizes, packs, add):
    """The pack of each position: the lightest that has room, ties to the lowest pack. Loads add up as items come."""
    room = [len(sizes) // packs] * packs
    load = [0] * packs
    pack_of = []
    for size in sizes:
        pack = min((g for g in range(packs) if room[g]), key=lambda g: load[g])
        pack_of.append(pack)
        load[pack] = add(load[pack], size)
        room[pack] -= 1
    return pack_of


def pack_loads(sizes, pack_of, packs):
    load = [0] * packs
    for size, pack in zip(sizes, pack_of, strict=False):
        load[pack] += size
    return load


def swap(values, i, j):
    values[i], values[j] = values[j], values[i]


def refine_heaviest(sizes, pack_of, packs, steps):
    """At most `steps` times the best swap of position i on the heaviest pack (lowest id) with position j on any other.

    d = size i - size j > 0. The score min(d, M - T - d), M and T being the loads of i's and j's packs, is by how much
    the heavier of the two comes down; it must be positive. The best score wins; ties: lowest i, then lowest j.
    """
    for _ in range(steps):
        load = pack_loads(sizes, pack_of, packs)
        heaviest = load.index(max(load))
        best, best_pair = 0, None
        for i in range(len(sizes)):
            if pack_of[i] != heaviest:
                continue
            for j in range(len(sizes)):
                d = sizes[i] - sizes[j]
                if pack_of[j] == heaviest or d <= 0:
                    continue
                score = min(d, load[heaviest] - load[pack_of[j]] - d)
                if score > best:
                    best, best_pair = score, (i, j)
        if best_pair is None:
            return
        swap(pack_of, *best_pair)


def refine_squares(sizes, pack_of, packs, steps):
    """At most `steps` times the swap, over all pairs of positions on different packs, that lessens the sum of squared
    loads most: by 2 d (A - B - d), A and B being the loads of i's and j's packs; it must be positive. Ties: lowest i,
    then lowest j. (i, j) and (j, i) are the same swap with the same gain, so only i < j can win and only these are
    tried.
    """
    for _ in range(steps):
        load = pack_loads(sizes, pack_of, packs)
        best, best_pair = 0, None
        for i in range(len(sizes)):
            for j in range(i + 1, len(sizes)):
                d = sizes[i] - sizes[j]
                gain = 2 * d * (load[pack_of[i]] - load[pack_of[j]] - d)  # 0 on the same pack or less: -2 d d
                if gain > best:
                    best, best_pair = gain, (i, j)
        if best_pair is None:
            return
        swap(pack_of, *best_pair)


def refine_extremes(sizes, contents, steps):
    """At most `steps` times the best swap between the heaviest and the lightest pack (lowest ids),
    contents[pack][slot].

    D is the difference of the two loads, d that of the two sizes; the gain D - |D - 2d| must be positive. Ties:
    lowest slot in the heaviest pack, then in the lightest. The two items exchange their slots.
    """
    for _ in range(steps):
        load = [sum(sizes[i] for i in content) for content in contents]
        above, below = contents[load.index(max(load))], contents[load.index(min(load))]
        difference = max(load) - min(load)
        best, best_slots = 0, None
        for a, i in enumerate(above):
            for b, j in enumerate(below):
                gain = difference - abs(difference - 2 * (sizes[i] - sizes[j]))
                if gain > best:
                    best, best_slots = gain, (a, b)
        if best_slots is None:
            return
        a, b = best_slots
        above[a], below[b] = below[b], above[a]


def noisy(sizes, chance, chain, numerator, denominator):
    """Order by size * (1 + u * numerator / denominator), u in [0, 1), kept whole: sizes * (den * 2^24 + num * u)."""
    if numerator == 0:
        return largest_first(sizes)
    return largest_first(
        [size * (denominator * 2**24 + numerator * chance.fraction(chain, item)) for item, size in enumerate(sizes)]
    )


def pure_order(sizes, chance, chain):
    return largest_first(sizes)


def restart_order(sizes, chance, chain):
    """Up to 5 % of noise; the first of the 4 chains has none."""
    return noisy(sizes, chance, chain, 0 if chain == 0 else 1, 20)


def spectrum_order(sizes, chance, chain):
    """Chain 0 has no noise, chain 63 up to 50 %."""
    return noisy(sizes, chance, chain, chain, 126)


def hybrid_order(sizes, chance, chain):
    """Chains 0..63: up to 20 % of noise, the first none. 64..95: shuffled. 96: folded, the largest, the smallest, the
    second largest ... There is no chance in folding, so chain 96 stands for the 32 equal ones of the original.
    """
    if chain < 64:
        return noisy(sizes, chance, chain, 0 if chain == 0 else 1, 5)
    if chain < 96:
        return largest_first([chance.word(chain, item) for item in range(len(sizes))])
    order = largest_first(sizes)
    return [order[i // 2] if i % 2 == 0 else order[-1 - i // 2] for i in range(len(order))]


def largest_load(loads):
    return max(loads)


def load_spread(loads):
    return max(loads) - min(loads)


@dataclass(frozen=True)
class Strategy:
    """What makes a strategy. `refine` swaps positions between packs, unless `by_slot`: then slots of packs."""

    name: str
    number: type = Integer
    chains: int = 1
    order: Callable = pure_order
    refine: Callable | None = None
    by_slot: bool = False
    steps: int = 0
    penalty: Callable = largest_load  # the chain with the least of this wins; ties: lowest chain


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy("greedy", number=Float32),
        Strategy("lpt_swap", refine=refine_heaviest, steps=50),
        Strategy("l2_swap", refine=refine_squares, steps=50),
        Strategy(
            "random_restarts",
            chains=4,
            order=restart_order,
            refine=refine_extremes,
            by_slot=True,
            steps=20,
            penalty=load_spread,
        ),
        Strategy("noise_spectrum", chains=64, order=spectrum_order, refine=refine_heaviest, steps=20),
        Strategy("hybrid_init", chains=97, order=hybrid_order, refine=refine_heaviest, steps=20),
    )
}


def run_chain(strategy, sizes, packs, chance, chain):
    """contents[pack][slot] = item. Slots are filled in order of position; only refine_extremes changes it."""
    order = strategy.order(sizes, chance, chain)
    by_position = [sizes[item] for item in order]
    pack_of = place_in_order(by_position, packs, strategy.number.add)
    if strategy.refine and not strategy.by_slot:
        strategy.refine(by_position, pack_of, packs, strategy.steps)
    contents = [[] for _ in range(packs)]
    for position, item in enumerate(order):
        contents[pack_of[position]].append(item)
    if strategy.refine and strategy.by_slot:
        strategy.refine(sizes, contents, strategy.steps)
    return contents


def loads_of(sizes, contents):
    return [sum(sizes[item] for item in content) for content in contents]


def pack(strategy, sizes, packs, chance):
    """place[item] = pack * items per pack + slot in the pack.

    With one item per pack it is the identity: the published and the reference programs do not even sort then.
    """
    each = len(sizes) // packs
    if each == 1:
        return list(range(len(sizes)))
    best, least = None, None
    for chain in range(strategy.chains):
        contents = run_chain(strategy, sizes, packs, chance, chain)
        if strategy.chains > 1:
            penalty = strategy.penalty(loads_of(sizes, contents))
            if least is not None and penalty >= least:
                continue
            least = penalty
        best = contents
    place = [0] * len(sizes)
    for pack_id, content in enumerate(best):
        for slot, item in enumerate(content):
            place[item] = pack_id * each + slot
    return place
