"""The map that an engine has now: what of it can be kept, and how a fresh plan is laid over it."""

from __future__ import annotations

import numpy as np

from .._arrays import Array, Flags, Ints


def fit_width(current: Ints, num_slots: int) -> Ints:
    """The map with as many slots as are planned: of ranks that leave, the last ones, nothing; of new ones, -1."""
    width = current.shape[1]
    if width >= num_slots:
        return np.ascontiguousarray(current[:, :num_slots])
    return np.pad(current, ((0, 0), (0, num_slots - width)), constant_values=-1)


def lacks_nothing(current: Ints, num_experts: int, is_open: Flags) -> Flags:
    """Layers [L] that can stay as they are: an expert in each open slot, and each expert in one."""
    within = (current >= 0) & (current < num_experts)
    present = np.zeros((len(current), num_experts + 1), bool)
    present[np.arange(len(current))[:, np.newaxis], np.where(within & is_open, current, num_experts)] = True
    return np.asarray(present[:, :-1].all(axis=1) & within[:, is_open].all(axis=1))


def is_double(placement: Ints, num_gpus: int) -> Flags:
    """Slots [L,S] whose expert is in a lower slot of the same GPU."""
    rows = placement.reshape(-1, placement.shape[1] // num_gpus)
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    again = np.zeros(rows.shape, bool)
    again[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    double = np.empty(rows.shape, bool)
    np.put_along_axis(double, order, again, axis=1)
    return double.reshape(placement.shape)


def holdings(placement: Ints, num_experts: int, num_gpus: int) -> Flags:
    """Which GPU holds which expert [L,G,E]."""
    rows = placement.reshape(len(placement), num_gpus, -1)
    held = np.zeros((*rows.shape[:2], num_experts + 1), bool)
    np.put_along_axis(held, np.where(rows >= 0, rows, num_experts), True, axis=2)
    return held[..., :-1]


def lay_over(fresh: Ints, current: Ints, num_experts: int, num_gpus: int, num_nodes: int) -> Ints:
    """A fresh placement with the numbers of nodes, GPUs and slots changed, so that little has to move.

    Largest overlap first, node by node and then GPU by GPU on each. All GPUs of a placement that has nodes are equal;
    without nodes, GPUs that hold nothing keep their numbers.
    """
    layers, num_slots = fresh.shape
    held = np.pad(holdings(current, num_experts, num_gpus), ((0, 0), (0, 0), (0, 1)))
    expert = np.where(fresh >= 0, fresh, num_experts)
    # [layer, GPU now, slot of the fresh placement], then summed over the slots of each of its GPUs.
    common = np.take_along_axis(held, expert[:, np.newaxis, :], axis=2)
    overlap = common.reshape(layers, num_gpus, num_gpus, -1).sum(axis=3, dtype=np.int64)
    is_closed = (fresh.reshape(layers, num_gpus, -1) < 0).all(axis=(0, 2))
    overlap[:, is_closed, is_closed] = num_slots + 1
    chosen = _match_gpus(overlap, num_nodes)
    moved = np.take_along_axis(fresh.reshape(layers, num_gpus, -1), chosen[:, :, np.newaxis], axis=1)
    return keep_slots(moved.reshape(layers, num_slots), current, num_gpus)


def keep_slots(placement: Ints, current: Ints, num_gpus: int) -> Ints:
    """The placement with the slots of each GPU in another order: an expert that stays on a GPU stays in its slot."""
    places = placement.shape[1] // num_gpus
    new, old = placement.reshape(-1, places), current.reshape(-1, places)
    kinds = int(max(new.max(initial=0), old.max(initial=0))) + 2
    _, stays_at, comes_from = np.intersect1d(_occurrences(old, kinds), _occurrences(new, kinds), return_indices=True)
    kept = np.full(new.size, -1)
    kept[stays_at] = new.ravel()[comes_from]
    is_free, is_left = np.ones(new.size, bool), np.ones(new.size, bool)
    is_free[stays_at] = is_left[comes_from] = False
    # As many of both on each GPU, and both in the order of GPUs.
    kept[is_free] = new.ravel()[is_left]
    return kept.reshape(placement.shape)


def count_moves(placement: Ints, current: Ints, num_experts: int, num_gpus: int) -> Ints:
    """Pairs of a GPU and an expert that it gets, by layer."""
    new, old = (holdings(each, num_experts, num_gpus) for each in (placement, current))
    count: Ints = (new & ~old).sum(axis=(1, 2), dtype=np.int64)
    return count


def _occurrences(rows: Array, kinds: int) -> Ints:
    """A number for each place of each row: equal where row, content, and number of the copy in the row are."""
    count, places = rows.shape
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    first = np.zeros(rows.shape, np.int64)
    first[:, 1:] = np.where(ordered[:, 1:] != ordered[:, :-1], np.arange(1, places), 0)
    copy = np.empty(rows.shape, np.int64)
    np.put_along_axis(copy, order, np.arange(places) - np.maximum.accumulate(first, axis=1), axis=1)
    # -1 in both is not something that stays, but it may as well stay where it is.
    numbers: Ints = ((np.arange(count)[:, np.newaxis] * kinds + rows + 1) * places + copy).ravel()
    return numbers


def _match_gpus(overlap: Ints, num_nodes: int) -> Ints:
    """For each GPU now [L,G] the GPU of the fresh placement that takes its number."""
    layers, num_gpus, _ = overlap.shape
    if num_nodes == 1:
        return _match(overlap)
    on_node = num_gpus // num_nodes
    blocks = overlap.reshape(layers, num_nodes, on_node, num_nodes, on_node)
    node = _match(blocks.sum(axis=(2, 4)))
    chosen = np.empty((layers, num_gpus), np.int64)
    rows = np.arange(layers)
    for here in range(num_nodes):
        inside = _match(blocks[rows, here, :, node[:, here]])
        chosen[:, here * on_node : (here + 1) * on_node] = node[:, here, np.newaxis] * on_node + inside
    return chosen


def _match(overlap: Ints) -> Ints:
    """A column for each row of [L,N,N]: again and again the largest value that is left; ties: lowest row and column."""
    left = overlap.astype(np.int64)
    layers, size, _ = left.shape
    chosen, rows = np.empty((layers, size), np.int64), np.arange(layers)
    for _ in range(size):
        row, column = np.divmod(left.reshape(layers, -1).argmax(axis=1), size)
        chosen[rows, row] = column
        left[rows, row, :] = left[rows, :, column] = -1
    return chosen
