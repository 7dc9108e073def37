"""An evaluation that knows where experts are now."""

import eplb
import numpy as np
import pytest
from rebalances import GPUS, SLOTS, WEIGHTS, arrivals, stale_placement

FIGURES = ("layers_changed", "moves", "moves_between_nodes", "reloads", "rounds", "most_sent", "most_received")


@pytest.mark.parametrize("nodes", [1, 2, 4])
@pytest.mark.parametrize("lost", [None, slice(10, 15), slice(0, SLOTS, 7)])
def test_figures_are_those_of_the_plan(context, nodes, lost):
    current = stale_placement()
    if lost is not None:
        current[1:, lost] = -1
    plan = context.solve(WEIGHTS, SLOTS, GPUS, num_nodes=nodes, current=current, policy="global")
    found = context.evaluate(plan, current=current)
    assert {name: getattr(found, name) for name in FIGURES} == {name: getattr(plan.report, name) for name in FIGURES}
    assert found.moves > 0
    assert np.array_equal(found.layer_moves, arrivals(current, plan.physical_to_logical).sum(axis=1))
    assert np.array_equal(found.slots_written, (plan.physical_to_logical != current).sum(axis=1))
    assert np.array_equal(found.imbalance, plan.imbalance)


def test_without_a_current_placement_nothing_moves(context):
    found = context.evaluate(stale_placement(), WEIGHTS, num_gpus=GPUS)
    assert found.layer_moves is None
    assert found.slots_written is None
    assert found.moves == found.layers_changed == 0


def test_the_same_placement_in_every_layer(context):
    placement = np.tile(np.arange(SLOTS) % 64, (len(WEIGHTS), 1))
    found = context.evaluate(placement, WEIGHTS, num_gpus=GPUS, current=placement[0])
    assert found.slots_written.tolist() == found.layer_moves.tolist() == [0] * len(WEIGHTS)


def test_slots_within_a_gpu_are_written_but_no_move(context):
    current = np.tile(np.arange(SLOTS) % 64, (len(WEIGHTS), 1))
    placement = current.copy()
    placement[2, [0, 1]] = placement[2, [1, 0]]
    found = context.evaluate(placement, WEIGHTS, num_gpus=GPUS, current=current)
    assert found.slots_written.tolist() == [0, 0, 2, 0, 0, 0]
    assert found.moves == 0
    assert found.layers_changed == 1


def test_windows_and_homes_are_still_there(context):
    windows = np.stack([WEIGHTS, WEIGHTS[::-1]])
    sizes = {"num_gpus": GPUS, "num_nodes": 2, "num_groups": 4, "policy": "soft"}
    placement = stale_placement()
    plain = context.evaluate(placement, windows, **sizes)
    found = context.evaluate(placement, windows, **sizes, current=placement)
    assert np.array_equal(found.window_imbalance, plain.window_imbalance)
    assert np.array_equal(found.off_home, plain.off_home)


def test_widths_must_be_equal(context):
    with pytest.raises(eplb.InvalidArgument, match="they must have the same layers and slots"):
        context.evaluate(stale_placement(), WEIGHTS, num_gpus=GPUS, current=stale_placement()[:, :-1])
