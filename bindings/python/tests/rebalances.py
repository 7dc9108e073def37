"""Rebalances of one problem, and what holds of every one: from the maps, never from the library's own counts."""

import eplb
import numpy as np
from eplb.sample import sample_weights

LAYERS, EXPERTS, SLOTS, GPUS = 6, 64, 80, 16
WEIGHTS = sample_weights(LAYERS, EXPERTS)
# Of the imbalance: targets are met in units of 2^-20.
UNIT = 2.0**-20


def stale_placement():
    """Good for other weights than WEIGHTS."""
    with eplb.Context() as context:
        return context.solve(sample_weights(LAYERS, EXPERTS, 9), SLOTS, GPUS).physical_to_logical


def arrivals(current, placement, gpus=GPUS):
    """[L,G]: experts that a GPU holds and did not hold."""
    held, holds = (each.reshape(len(each), gpus, -1) for each in (current, placement))
    counts = [len(set(holds[at].tolist()) - set(held[at].tolist()) - {-1}) for at in np.ndindex(holds.shape[:2])]
    return np.array(counts).reshape(holds.shape[:2])


def imbalance(weights, placement, gpus=GPUS, is_open=None):
    """[L], from nothing but the placement."""
    is_open = np.ones(gpus, bool) if is_open is None else is_open
    found = []
    for row, slots in zip(np.asarray(weights, float), placement, strict=True):
        count = np.bincount(slots[slots >= 0], minlength=len(row))
        assert count.min() >= 1, "every expert has a replica"
        share = np.where(slots >= 0, (row / count)[slots], 0)
        load = share.reshape(gpus, -1).sum(axis=1)
        assert not load[~is_open].any()
        found.append(load.max() / load[is_open].mean() if load.any() else 1.0)
    return np.array(found)


def check(weights, current, plan, gpus=GPUS, is_open=None):
    """What holds of every rebalance: figures, unchanged layers, and the order within GPUs."""
    placement = plan.physical_to_logical
    moves = arrivals(current, placement, gpus)
    assert np.array_equal(plan.moves.count, moves.sum(axis=1))
    assert plan.report.moves == moves.sum()
    assert plan.report.strategy == "rebalance"
    assert np.array_equal(plan.changed, (placement != current).any(axis=1))
    assert plan.report.layers_changed == plan.changed.sum()
    np.testing.assert_allclose(plan.imbalance, imbalance(weights, placement, gpus, is_open), rtol=1e-12)
    for now, then in zip(
        current.reshape(-1, current.shape[1] // gpus), placement.reshape(-1, current.shape[1] // gpus), strict=False
    ):
        for slot, expert in enumerate(now):
            if expert >= 0 and expert in then:
                assert then[slot] == expert or list(now).count(expert) > list(then).count(expert)
    return moves


def rebalance(context, current, weights=WEIGHTS, **limits):
    return context.rebalance(weights, current, num_gpus=GPUS, **limits)


def without(current, gpus, readable=False):
    """Where experts are, and the cluster, once these GPUs have gone."""
    places = SLOTS // GPUS
    left = current.copy().reshape(len(current), GPUS, places)
    if not readable:
        left[:, gpus] = -1
    slots = np.full(GPUS, places)
    slots[gpus] = 0
    return left.reshape(current.shape), eplb.Cluster(slots=slots.tolist())
