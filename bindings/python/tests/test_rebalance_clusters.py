"""Rebalances while GPUs die, leave, join and slow down."""

import eplb
import numpy as np
import pytest
from rebalances import EXPERTS, GPUS, LAYERS, SLOTS, UNIT, WEIGHTS, check, rebalance, stale_placement, without


@pytest.fixture(scope="module")
def current():
    return stale_placement()


def lost(current):
    return [len(set(range(EXPERTS)) - set(row.tolist())) for row in current]


def test_dead_gpus(context, current):
    left, cluster = without(current, [3, 12])
    plan = context.rebalance(WEIGHTS, left, cluster=cluster, target=1.1)
    is_open = np.array(cluster.slots) > 0
    check(WEIGHTS, left, plan, is_open=is_open)
    gone = plan.physical_to_logical.reshape(LAYERS, GPUS, -1)[:, [3, 12]]
    assert (gone == -1).all()
    assert plan.report.moves_forced == sum(lost(left)) > 0
    assert (plan.moves.count >= lost(left)).all()
    assert plan.report.moves_forced <= plan.report.moves_bound <= plan.report.moves
    assert plan.report.reloads >= plan.report.moves_forced


def test_only_forced_moves(context, current):
    """As many as are lost may be made in each layer, and not one more."""
    left, cluster = without(current, [3])
    most = max(lost(left))
    plan = context.rebalance(WEIGHTS, left, cluster=cluster, max_moves=most)
    assert check(WEIGHTS, left, plan, is_open=np.array(cluster.slots) > 0).sum(axis=1).max() <= most
    total = sum(lost(left))
    plan = context.rebalance(WEIGHTS, left, cluster=cluster, max_moves_total=total)
    assert check(WEIGHTS, left, plan, is_open=np.array(cluster.slots) > 0).sum() == total


def test_limits_below_forced_moves_are_refused(context, current):
    left, cluster = without(current, [3])
    kept = context.solve(WEIGHTS, SLOTS, GPUS)
    most, total = max(lost(left)), sum(lost(left))
    for limit, least in (({"max_moves": most - 1}, most), ({"max_moves_total": total - 1}, total)):
        ((name, value),) = limit.items()
        with pytest.raises(eplb.InvalidArgument, match=rf"{name}.*\b{value}\b.*\b{least}\b"):
            context.rebalance(WEIGHTS, left, cluster=cluster, **limit)
    # Nothing is lost.
    assert kept.report.imbalance_mean == context.solve(WEIGHTS, SLOTS, GPUS).report.imbalance_mean
    check(WEIGHTS, current, rebalance(context, current))


def test_gpus_are_drained(context, current):
    """They are read, and hold nothing afterwards: what they alone held has to move."""
    left, cluster = without(current, [0, 5], readable=True)
    plan = context.rebalance(WEIGHTS, left, cluster=cluster)
    check(WEIGHTS, left, plan, is_open=np.array(cluster.slots) > 0)
    assert plan.report.moves_forced == sum(lost(without(current, [0, 5])[0])) > 0
    assert plan.report.reloads == 0
    assert {0, 5} & set(plan.moves.table()["source_gpu"].tolist())


def test_gpus_join(context, current):
    places = SLOTS // GPUS
    grown = np.hstack([current, np.full((LAYERS, 2 * places), -1)])
    plan = context.rebalance(WEIGHTS, grown, num_gpus=GPUS + 2)
    moves = check(WEIGHTS, grown, plan, GPUS + 2)
    assert moves[:, GPUS:].sum() > 0


def test_slower_gpus(context, current):
    speed = [1.0] * 12 + [0.7] * 4
    plan = context.rebalance(WEIGHTS, current, cluster=eplb.Cluster(speed=speed))
    time = plan.gpu_load / speed
    np.testing.assert_allclose(plan.imbalance, time.max(axis=1) * np.sum(speed) / WEIGHTS.sum(axis=1), rtol=1e-9)
    assert plan.report.layers_missed == (plan.imbalance > 1.02 + UNIT).sum()


def test_too_few_open_slots_are_refused(context, current):
    left, cluster = without(current, list(range(4)))
    with pytest.raises(eplb.InvalidArgument, match=r"60 open slots, 4 fewer than the 64 experts"):
        context.rebalance(WEIGHTS, left, cluster=cluster)
