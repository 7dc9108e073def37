"""The objective of windows: what holds of every answer, on measured weights, recomputed from the maps."""

import sys
from itertools import product
from pathlib import Path

import eplb
import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "bindings" / "python" / "tests"))
from invariants import check_plan
from rebalances import arrivals

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
SLOTS, GPUS = 80, 16
LIMITS = [
    {"max_moves": 7},
    {"max_arrivals": 1},
    {"max_moves_total": 20},
    {"max_moves": 9, "max_arrivals": 2, "max_moves_total": 25},
    {"max_moves": 0},
]


def measured():
    """Text and code, which ship with the repository, and a third window between them."""
    folder = ROOT / "examples" / "data"
    text, code = (np.loadtxt(path, delimiter=",") for path in sorted(folder.glob("olmoe-1b-7b_*_L3xE64.csv")))
    return np.stack([text, code, np.rint(np.sqrt(text * code))])


WEIGHTS = measured()


def solve(weights, *problem, **options):
    problem = () if "num_slots" in options else problem or (SLOTS, GPUS)
    with eplb.Context() as context:
        return context.solve(weights, *problem, **{"objective": "windows", **options})


def rebalance(weights, current, **options):
    with eplb.Context() as context:
        return context.rebalance(weights, current, **{"num_gpus": GPUS, "objective": "windows", **options})


def same(plan, other):
    return np.array_equal(plan.physical_to_logical, other.physical_to_logical)


def stale():
    """Good for the text alone."""
    return solve(WEIGHTS[0], objective="sum").physical_to_logical


def both(weights, **options):
    """What a change of weights must not change: a fresh placement and one from a placement."""
    return solve(weights, **options), rebalance(weights, stale(), max_moves=9, **options)


@pytest.mark.parametrize("effort", eplb.efforts())
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_windows_are_better_balanced_than_by_their_sum(dtype, effort):
    weights = WEIGHTS.astype(dtype)
    plan, of_sum = solve(weights, effort=effort), solve(weights, objective="sum", effort=effort)
    check_plan(weights, plan, {"num_slots": SLOTS, "num_gpus": GPUS})
    assert plan.report.windows_mean < of_sum.report.windows_mean
    assert plan.report.windows_worst < of_sum.report.windows_worst
    assert (plan.window_imbalance.max(axis=1) <= of_sum.window_imbalance.max(axis=1)).all()
    assert plan.report.windows_mean < 1.1


TRACES = [
    ("deepseek-moe-16b-base_7domains_T7xL27xE64.npz", (72, 8)),
    ("olmoe-1b-7b_7domains_T7xL16xE64.npz", (72, 8)),
    ("olmoe-1b-7b_allenai_T8xL3xE64.npz", (80, 16)),
    ("deepseek-v2-lite_law-requests_T33xL26xE64.npz", (96, 16)),
]


@pytest.mark.parametrize(("name", "sizes"), TRACES, ids=lambda each: str(each).split("_")[0])
def test_measured_traces(name, sizes):
    if not (DATA / name).exists():
        pytest.skip("no measured loads: ../shared/data is not there")
    weights = np.load(DATA / name)["counts"].astype(np.int64)
    for effort in ("fast", "normal"):
        plan, of_sum = (solve(weights, *sizes, objective=each, effort=effort) for each in ("windows", "sum"))
        check_plan(weights, plan, dict(zip(("num_slots", "num_gpus"), sizes, strict=True)))
        assert plan.report.windows_mean < of_sum.report.windows_mean
        assert plan.report.windows_worst < of_sum.report.windows_worst


@pytest.mark.parametrize("effort", eplb.efforts())
def test_one_window_is_the_sum(effort):
    for weights in (WEIGHTS[:1], WEIGHTS[0]):
        for plan, of_sum in zip(
            both(weights, effort=effort), both(weights, objective="sum", effort=effort), strict=True
        ):
            assert same(plan, of_sum)


def test_layers_with_one_window_that_has_load_are_solved_as_their_sum():
    weights = WEIGHTS.copy()
    weights[[0, 2], 1] = 0
    plans, sums = both(weights), both(weights, objective="sum")
    for plan, of_sum in zip(plans, sums, strict=True):
        assert np.array_equal(plan.physical_to_logical[1], of_sum.physical_to_logical[1])
    assert not same(plans[0], sums[0])


@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_window_without_load_changes_nothing(place):
    for plan, other in zip(both(np.insert(WEIGHTS, place, 0, axis=0)), both(WEIGHTS), strict=True):
        assert same(plan, other)


@pytest.mark.parametrize("factors", list(product([2.0**-9, 1, 2.0**20], repeat=3))[1::3])
def test_windows_are_equally_important_whatever_their_loads(factors):
    scaled = WEIGHTS * np.array(factors)[:, np.newaxis, np.newaxis]
    for plan, other in zip(both(scaled), both(WEIGHTS), strict=True):
        assert same(plan, other)


def test_layers_are_solved_alone_and_by_any_number_of_threads():
    whole = solve(WEIGHTS)
    for layer in range(3):
        alone = solve(np.ascontiguousarray(WEIGHTS[:, layer : layer + 1]))
        assert np.array_equal(alone.physical_to_logical[0], whole.physical_to_logical[layer])
    with eplb.Context(num_threads=3) as context:
        assert same(context.solve(WEIGHTS, SLOTS, GPUS, objective="windows"), whole)


@pytest.mark.parametrize("strategy", sorted(set(eplb.strategies()) - {"best", "rebalance"}))
def test_other_strategies_are_refused_by_name(strategy):
    with pytest.raises(eplb.Unavailable, match=f"objective is 'windows', which strategy {strategy} "):
        solve(WEIGHTS, strategy=strategy)


def test_more_windows_than_are_kept_are_refused_by_name():
    weights = np.repeat(WEIGHTS[:1], 65, axis=0)
    for call in (solve, lambda each: rebalance(each, stale())):
        assert call(weights[:64]).report.num_windows == 64
        with pytest.raises(eplb.Unavailable, match=r"windows of these weights were not kept.* 64"):
            call(weights)


@pytest.mark.parametrize("effort", ["fast", "normal"])
@pytest.mark.parametrize("limits", LIMITS, ids=" ".join)
def test_limits_of_a_rebalance_are_kept_exactly(limits, effort):
    current = stale()
    plan = rebalance(WEIGHTS, current, effort=effort, **limits)
    check_plan(WEIGHTS, plan, {"num_slots": SLOTS, "num_gpus": GPUS})
    moves = arrivals(current, plan.physical_to_logical, GPUS)
    assert np.array_equal(plan.moves.count, moves.sum(axis=1))
    assert moves.sum(axis=1).max() <= limits.get("max_moves", np.inf)
    assert moves.sum() <= limits.get("max_moves_total", np.inf)
    assert moves.max() <= limits.get("max_arrivals", np.inf)
    with eplb.Context() as context:
        before = context.evaluate(current, WEIGHTS, num_gpus=GPUS)
    assert (plan.window_imbalance.max(axis=1) <= before.window_imbalance.max(axis=1)).all()
    assert moves.any() == (limits != {"max_moves": 0})


def test_a_target_is_reached_in_every_window():
    plan = rebalance(WEIGHTS, stale(), target=1.15)
    assert plan.window_imbalance.max() <= 1.15 + 2.0**-20
    assert plan.report.layers_missed == 0
    assert same(rebalance(WEIGHTS, plan, target=1.15), plan)


def test_unequal_gpus():
    slots, speed = [5, 6, 0, 6] * 4 + [6] * 2, [1, 1.3, 1, 0.8, *[1] * 14]
    cluster = eplb.Cluster(slots=slots, speed=speed)
    plan, of_sum = (solve(WEIGHTS, 108, cluster=cluster, objective=each) for each in ("windows", "sum"))
    placement, closed = plan.physical_to_logical, np.arange(108) % 6 >= np.repeat(slots, 6)
    assert (placement[:, closed] == -1).all()
    assert (placement[:, ~closed] >= 0).all()
    assert plan.replica_count.min() >= 1
    assert plan.report.windows_mean < of_sum.report.windows_mean
    for layer, window in np.ndindex(3, 3):
        share = (WEIGHTS[window, layer] / plan.replica_count[layer])[placement[layer]] * ~closed
        times = share.reshape(18, 6).sum(axis=1) / speed
        fair = WEIGHTS[window, layer].sum() / np.array(speed)[np.array(slots) > 0].sum()
        assert plan.window_imbalance[layer, window] == pytest.approx(times.max() / fair, rel=1e-12)
    # Two more GPUs die.
    left = placement.reshape(3, 18, 6).copy()
    left[:, [0, 17]] = -1
    slots[0] = slots[17] = 0
    repaired = rebalance(
        WEIGHTS, left.reshape(3, 108), num_gpus=None, cluster=eplb.Cluster(slots=slots, speed=speed), max_moves=14
    )
    moves = arrivals(left.reshape(3, 108), repaired.physical_to_logical, 18)
    assert moves.sum(axis=1).max() <= 14
    assert not moves[:, [0, 2, 17]].any()
    assert repaired.replica_count.min() >= 1


def test_groups_stay_on_nodes():
    problem = {"num_slots": SLOTS, "num_gpus": GPUS, "num_nodes": 4, "num_groups": 8}
    plan, of_sum = (solve(WEIGHTS, **problem, policy="hierarchical", objective=each) for each in ("windows", "sum"))
    assert plan.report.policy == "hierarchical"
    check_plan(WEIGHTS, plan, problem)
    assert plan.report.windows_mean <= of_sum.report.windows_mean
    sizes = {"num_nodes": 4, "num_groups": 8, "policy": "hierarchical"}
    changed = rebalance(WEIGHTS[::-1].copy(), of_sum, max_moves=10, **sizes)
    check_plan(WEIGHTS, changed, problem)
    assert arrivals(of_sum.physical_to_logical, changed.physical_to_logical, GPUS).sum(axis=1).max() <= 10


def test_a_cap_of_replicas_holds():
    plan = solve(WEIGHTS, max_replicas=2)
    assert plan.replica_count.max() <= 2


def test_published_call():
    maps = eplb.rebalance_experts(WEIGHTS, SLOTS, 1, 1, GPUS, objective="windows")
    plan = solve(WEIGHTS)
    for found, wanted in zip(
        maps, (plan.physical_to_logical, plan.logical_to_physical, plan.replica_count), strict=True
    ):
        assert np.array_equal(found, wanted)
