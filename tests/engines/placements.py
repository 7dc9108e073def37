"""What is checked of maps and weights, in numpy, whichever engine moved them."""

import numpy as np


def zipf_loads(layers, experts, seed):
    """Tokens [L,E], few experts with most of them."""
    random = np.random.default_rng(seed)
    rank = np.argsort(np.argsort(random.random((layers, experts)), axis=1), axis=1)
    return (1e6 / (1 + rank) ** 0.9).astype(np.int64)


def moves(old, new, gpus):
    """Pairs of a GPU and an expert that it gets, by layer."""
    return [
        sum(len(set(after) - set(before)) for before, after in zip(*rows, strict=True))
        for rows in zip(*(np.reshape(each, (len(old), gpus, -1)).tolist() for each in (old, new)), strict=True)
    ]


def doubles(placement, gpus):
    """Slots whose expert the same GPU has in another one."""
    return sum(len(row) - len(set(row)) for row in np.reshape(placement, (len(placement) * gpus, -1)).tolist())


def imbalance(loads, placement, gpus):
    """Largest over mean load, mean over layers; replicas share evenly."""
    count = np.stack([np.bincount(row, minlength=loads.shape[1]) for row in placement])
    assert count.min() >= 1, "an expert is nowhere"
    by_slot = np.take_along_axis(loads / count, placement, axis=1)
    by_gpu = by_slot.reshape(len(loads), gpus, -1).sum(axis=2)
    return float((by_gpu.max(axis=1) / by_gpu.mean(axis=1)).mean())


def check_tables(placement, slots, counts, is_open=None):
    """The slots of each expert, -1 padded: all that hold it and are open, each once."""
    is_open = np.ones(placement.shape[1], bool) if is_open is None else is_open
    for layer, row in enumerate(placement):
        for expert in range(slots.shape[1]):
            listed = slots[layer, expert][slots[layer, expert] >= 0]
            assert sorted(listed.tolist()) == np.flatnonzero((row == expert) & is_open).tolist()
            assert len(listed) == counts[layer, expert] >= 1
