"""The published program (deepseek-ai/EPLB) as it is usually ported: Python loops over torch, or numpy, arrays.

Written from its description, not copied. Sorts are stable here, so that the answer is the one that libeplb's GREEDY
promises; the published program's are not, which costs it nothing. Two forms, since ports differ by more than ten times:

    rebalance(weight, slots, groups, nodes, gpus)            element by element on arrays, as it was published
    rebalance(weight, slots, groups, nodes, gpus, fast=True) packing on lists of Python floats, as engines have it since

The second adds in double, so its answer may differ where float32 rounds.
"""

import numpy as np

try:
    import torch
except ImportError:
    torch = None


class NumpyArrays:
    """What the program needs of numpy."""

    name = "numpy"
    take = staticmethod(lambda a, index: np.take_along_axis(a, index, -1))
    largest = staticmethod(lambda a: a.argmax(-1))
    sorted_down = staticmethod(lambda a: np.argsort(-a, axis=-1, kind="stable"))
    float32 = staticmethod(lambda a: np.asarray(a, np.float32))
    full = staticmethod(lambda shape, value: np.full(shape, value, np.int64))
    arange = staticmethod(np.arange)
    # numpy alone would widen to double.
    divide = staticmethod(lambda a, count: a / count.astype(np.float32))
    array = staticmethod(np.array)

    @staticmethod
    def scatter(target, index, values):
        np.put_along_axis(target, index, np.broadcast_to(values, index.shape), -1)
        return target


class TorchArrays:
    """What the program needs of torch, on the CPU."""

    name = "torch"
    take = staticmethod(lambda a, index: a.gather(-1, index))
    largest = staticmethod(lambda a: a.max(dim=-1).indices)
    sorted_down = staticmethod(lambda a: a.sort(dim=-1, descending=True, stable=True).indices)
    float32 = staticmethod(lambda a: torch.as_tensor(a).float().cpu())
    full = staticmethod(lambda shape, value: torch.full(shape, value, dtype=torch.int64))
    arange = staticmethod(lambda n: torch.arange(n))
    divide = staticmethod(lambda a, count: a / count)
    array = staticmethod(lambda values: torch.tensor(values))

    @staticmethod
    def scatter(target, index, values):
        return target.scatter_(-1, index, values.expand(index.shape))


def arrays(use_torch=True):
    return TorchArrays if torch is not None and use_torch else NumpyArrays


def pack(xp, weight, packs, fast):
    """Heaviest first to the lightest pack with room. Returns the pack of each item and its place there, each [X, n]."""
    rows, items = weight.shape
    room = items // packs
    pack_of, place = xp.full((rows, items), 0), xp.full((rows, items), 0)
    if room == 1:
        pack_of[:], place[:] = xp.arange(items), 0
        return pack_of, place
    order = xp.sorted_down(weight)
    pack_row = pack_row_of_lists if fast else pack_row_of_arrays
    for row in range(rows):
        pack_row(xp, weight[row], order[row], packs, room, pack_of[row], place[row])
    return pack_of, place


def pack_row_of_arrays(_, weight, order, packs, room, pack_of, place):
    # Loads are no array: a list that comes to hold scalars of the array's kind, so sums are in float32.
    loads, used = [0.0] * packs, [0] * packs
    for item in order:
        target = min((p for p in range(packs) if used[p] < room), key=loads.__getitem__)
        pack_of[item] = target
        place[item] = used[target]
        loads[target] = weight[item] + loads[target]
        used[target] += 1


def pack_row_of_lists(xp, weight, order, packs, room, pack_of, place):
    weight = weight.tolist()
    loads, sums, used = [0.0] * packs, [0.0] * packs, [0] * packs
    packs_of_items, places = [0] * len(weight), [0] * len(weight)
    for item in order.tolist():
        target = loads.index(min(loads))
        packs_of_items[item] = target
        places[item] = used[target]
        sums[target] += weight[item]
        used[target] += 1
        loads[target] = sums[target] if used[target] < room else float("inf")
    pack_of[:] = xp.array(packs_of_items)
    place[:] = xp.array(places)


def replicate(xp, weight, slots):
    """Gives each further slot to the expert with the heaviest replica. Returns expert and rank of each slot, counts."""
    rows, experts = weight.shape
    expert = xp.full((rows, slots), 0)
    expert[:, :experts] = xp.arange(experts)
    rank, count = xp.full((rows, slots), 0), xp.full((rows, experts), 1)
    every_row = xp.arange(rows)
    for slot in range(experts, slots):
        hottest = xp.largest(xp.divide(weight, count))
        expert[:, slot] = hottest
        rank[:, slot] = count[every_row, hottest]
        count[every_row, hottest] += 1
    return expert, rank, count


def inverse(xp, permutation):
    return xp.scatter(xp.full(tuple(permutation.shape), 0), permutation, xp.arange(permutation.shape[1]))


def rebalance(weight, slots, groups, nodes, gpus, *, fast=False, use_torch=True):
    """physical_to_logical [L, S], logical_to_physical [L, E, X] and replica_count [L, E]; X is data dependent."""
    xp = arrays(use_torch)
    weight = xp.float32(weight)
    if groups % nodes:
        groups = nodes = 1
    layers, experts = weight.shape
    group_size, per_node, room = experts // groups, groups // nodes, slots // gpus

    node, place = pack(xp, weight.reshape(layers, groups, group_size).sum(-1), nodes, fast)
    start = (node * per_node + place) * group_size
    to_node_order = (start[:, :, None] + xp.arange(group_size)).reshape(layers, experts)
    from_node_order = inverse(xp, to_node_order)

    # From here on a row is one node of one layer.
    local = xp.take(weight, from_node_order).reshape(-1, experts // nodes)
    expert, rank, count = replicate(xp, local, slots // nodes)
    gpu, place = pack(xp, xp.take(xp.divide(local, count), expert), gpus // nodes, fast)
    from_slot = inverse(xp, gpu * room + place)

    expert = xp.take(expert, from_slot).reshape(layers, nodes, -1)
    expert = (expert + xp.arange(nodes)[None, :, None] * (experts // nodes)).reshape(layers, slots)
    physical_to_logical = xp.take(from_node_order, expert)
    rank = xp.take(rank, from_slot).reshape(layers, slots)
    count = xp.take(count.reshape(layers, experts), to_node_order)

    width = int(count.max())
    logical_to_physical = xp.full((layers, experts * width), -1)
    xp.scatter(logical_to_physical, physical_to_logical * width + rank, xp.arange(slots))
    return physical_to_logical, logical_to_physical.reshape(layers, experts, width), count
