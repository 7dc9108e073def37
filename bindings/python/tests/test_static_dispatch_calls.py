"""Static dispatch: tables and what they come to, what it takes and refuses, and what stays as it was.

Its plain definition, with which the library agrees slot for slot, is in tests/golden.
"""

import copy
import pickle
import threading
from fractions import Fraction

import eplb
import numpy as np
import pytest
from conftest import PAIRS
from eplb.sample import sample_weights
from html_tables import page_of

SIZES = {"num_slots": 80, "num_gpus": 16}
WEIGHTS, OTHER = sample_weights(4, 64), sample_weights(4, 64, 1)
# Expert 0 is on GPU 0 alone, and expert 1 on both.
SMALL, ON_TWO = [[5, 4, 3]], [[0, 1, 2, 1]]
INTS, FLOATS = ("slot", "placement", "ranks", "slots_written"), ("gpu_load", "imbalance", "bound", "gap")


def same(one, two):
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in (*INTS, *FLOATS))


def fresh(*arguments, **options):
    """Of a context that knows nothing yet."""
    with eplb.Context() as context:
        return context.static_dispatch(*arguments, **options)


def test_two_gpus(context):
    """With two ranks, GPU 0 has expert 0, and of expert 1 nothing or a half."""
    found = context.static_dispatch(SMALL, ON_TWO, 2)
    assert found.slot.tolist() == [[[0, 1, 2], [0, 3, 2]]]
    assert found.ranks.tolist() == [[2, 1, 2, 1]]
    assert found.gpu_load.tolist() == [[7, 5]]
    assert (found.num_ranks, found.placement.tolist(), found.layers_changed) == (2, ON_TWO, 0)
    assert found.imbalance[0] == found.imbalance_worst == pytest.approx(7 / 6)
    assert found.bound_mean == pytest.approx(1)
    assert found.gap[0] == found.gap_mean == found.gap_worst == pytest.approx(1 / 6)
    # With four ranks, a quarter of expert 1 can be on GPU 0, which is the best split.
    four = context.static_dispatch(SMALL, ON_TWO, 2, num_ranks=4)
    assert four.slot[0].tolist() == [[0, 1, 2], [0, 3, 2], [0, 3, 2], [0, 3, 2]]
    assert (four.gpu_load.tolist(), four.imbalance_mean) == ([[6, 6]], 1)


def test_swaps(context):
    """9 and 4 are on one GPU: 9 changes places with 2, which comes first, or 4 with 1, which is as good."""
    weights, placement = [[9, 4, 2, 1]], [[0, 1, 2, 3]]
    assert context.static_dispatch(weights, placement, 2).gpu_load.tolist() == [[13, 3]]
    found = context.static_dispatch(weights, placement, 2, max_swaps=1)
    assert (found.placement.tolist(), found.gpu_load.tolist()) == ([[2, 1, 0, 3]], [[6, 10]])
    assert (found.slots_written.tolist(), found.layers_changed, found.max_swaps) == ([2], 1, 1)
    assert found.slot.tolist() == [[[2, 1, 0, 3]] * 2]
    # No split over any placement is below the mean.
    assert found.bound[0] == pytest.approx(8)


def test_types_and_shapes(context):
    plan = context.solve(WEIGHTS, **SIZES)
    found = context.static_dispatch(OTHER, plan, num_ranks=32, max_swaps=None)
    assert {getattr(found, name).dtype.name for name in INTS} == {"int64"}
    assert {getattr(found, name).dtype.name for name in FLOATS} == {"float64"}
    assert found.slot.shape == (4, 32, 64)
    assert found.placement.shape == found.ranks.shape == (4, 80)
    assert found.gpu_load.shape == (4, 16)
    assert {getattr(found, name).shape for name in ("slots_written", "imbalance", "bound", "gap")} == {(4,)}
    assert found.slots_written.tolist() == (found.placement != plan.physical_to_logical).sum(axis=1).tolist()
    mean = OTHER.sum(axis=1) / 16
    np.testing.assert_allclose(found.imbalance, found.gpu_load.max(axis=1) / mean)
    np.testing.assert_allclose(found.gap, found.imbalance * mean / found.bound - 1, atol=1e-12)
    assert found.imbalance_worst == found.imbalance[found.worst_layer] == found.imbalance.max()
    assert (found.imbalance_mean, found.max_swaps) == (pytest.approx(found.imbalance.mean()), None)


def random_problem(chance):
    """A cluster with closed and empty slots, speeds and nodes; a placement; tokens; options."""
    gpus, each = int(chance.integers(1, 10)), int(chance.integers(1, 5))
    slots = np.full(gpus, each)
    if chance.random() < 0.4:
        slots = chance.integers(0, each + 1, gpus)
        slots[chance.integers(gpus)] = each
    places = np.flatnonzero((np.arange(each) < slots[:, np.newaxis]).ravel())
    experts = int(chance.integers(1, len(places) + 1))
    row = np.full(gpus * each, -1)
    lowest = int(chance.choice([0, 0, -1]))
    row[places] = chance.permutation([*range(experts), *chance.integers(lowest, experts, len(places) - experts)])
    tokens = np.where(chance.random(experts) < 0.2, 0, chance.integers(0, 1000, experts))
    speed = chance.uniform(0.2, 3, gpus) if chance.random() < 0.4 else np.ones(gpus)
    cluster = eplb.Cluster(slots=slots, speed=speed, node=chance.integers(0, 3, gpus))
    options = {"num_ranks": int(chance.choice([0, 1, 5, 2 * gpus])) or None}
    options["max_swaps"] = (0, 2, None)[chance.integers(3)]
    options["tolerance"] = float(chance.choice([0, 0, 0.05]))
    return tokens, row, cluster, options


def check(tokens, before, cluster, found, max_swaps):
    """Of a layer, in fractions: what the table says, and nothing but what may be."""
    (table,), (row,), each = found.slot.tolist(), found.placement.tolist(), len(before) // cluster.num_gpus
    ranks, loads, near = len(table), [Fraction()] * cluster.num_gpus, np.zeros((2, len(tokens)), int)
    for rank, slots in enumerate(table):
        own = rank * cluster.num_gpus // ranks
        for expert, slot in enumerate(slots):
            assert row[slot] == expert
            loads[slot // each] += Fraction(int(tokens[expert]), ranks)
            near[:, expert] += slot // each == own, cluster.node[slot // each] == cluster.node[own]
    uses = found.ranks[0].tolist()
    assert uses == np.bincount(np.ravel(table), minlength=len(row)).tolist()
    np.testing.assert_allclose(found.gpu_load[0], [float(load) for load in loads], rtol=1e-12)
    assert sorted(row) == sorted(before)
    assert [slot for slot, expert in enumerate(row) if expert < 0] == np.flatnonzero(before < 0).tolist()
    assert doubles(row, each) <= doubles(before, each)
    if max_swaps is not None:
        assert found.slots_written[0] <= 2 * max_swaps
    speed = np.where(np.array(cluster.slots) > 0, cluster.speed, np.inf)
    busiest = max(float(load) / pace for load, pace in zip(loads, speed, strict=True))
    assert found.bound[0] <= busiest * speed[np.isfinite(speed)].mean() * (1 + 1e-9)
    # Of the ranks that can stay on their GPU, or on their node, as many do.
    places = np.arange(cluster.num_gpus), np.array(cluster.node)
    for kept, place in zip(near, places, strict=True):
        of_ranks = place[np.arange(ranks) * cluster.num_gpus // ranks]
        for expert in range(len(tokens)):
            units = [
                sum(uses[slot] for slot in range(len(row)) if row[slot] == expert and place[slot // each] == at)
                for at in np.unique(place)
            ]
            assert kept[expert] == sum(
                min(int((of_ranks == at).sum()), count) for at, count in zip(np.unique(place), units, strict=True)
            )


def doubles(row, each):
    on = [(expert, slot // each) for slot, expert in enumerate(row) if expert >= 0]
    return len(on) - len(set(on))


@pytest.mark.parametrize("seed", range(5))
def test_random_problems(context, seed):
    chance, changed = np.random.default_rng(seed), 0
    for _ in range(60):
        tokens, row, cluster, options = random_problem(chance)
        found = context.static_dispatch([tokens], [row], cluster=cluster, **options)
        check(tokens, row, cluster, found, options["max_swaps"])
        changed += found.layers_changed
    assert changed > 5


def test_tolerance(context):
    weights = np.random.default_rng(0).lognormal(0, 0.3, (4, 64))
    options = {"num_gpus": 16, "max_swaps": None}
    exact, rough = (
        context.static_dispatch(weights, np.arange(80) % 64, tolerance=tolerance, **options) for tolerance in (0, 0.2)
    )
    assert (exact.tolerance, rough.tolerance) == (0, 0.2)
    assert exact.imbalance_worst < rough.imbalance_worst <= 1.2 * (1 + 1e-9)
    assert rough.slots_written.sum() < exact.slots_written.sum()


def test_nodes(context):
    """A rank stays on its node: num_nodes comes from the argument, the cluster, the plan or the last solve."""
    row = np.arange(80) % 64
    with eplb.Context() as other:
        plan = other.solve(WEIGHTS, **SIZES, num_nodes=4)
    expected = context.static_dispatch(WEIGHTS, plan, cluster=eplb.Cluster(16, num_nodes=4))
    assert same(context.static_dispatch(WEIGHTS, plan), expected)
    assert same(eplb.static_dispatch(WEIGHTS, plan), expected)
    placement = plan.physical_to_logical
    assert same(context.static_dispatch(WEIGHTS, placement, 16, num_nodes=4), expected)
    assert not np.array_equal(context.static_dispatch(WEIGHTS, placement, 16).slot, expected.slot)
    assert not np.array_equal(context.static_dispatch(WEIGHTS, plan, num_nodes=1).slot, expected.slot)
    context.solve(OTHER, **SIZES, num_nodes=4)
    assert same(context.static_dispatch(WEIGHTS, placement), expected)
    assert context.static_dispatch(WEIGHTS, row).slot.shape == (4, 16, 64)


@pytest.mark.parametrize("given", ["plan", "last solve", "arguments"])
def test_swaps_keep_groups_whole(context, given):
    with eplb.Context() as other:
        plan = other.solve(WEIGHTS, **SIZES, num_nodes=4, num_groups=8, policy="hierarchical")
    groups = {"num_nodes": 4, "num_groups": 8, "policy": "hierarchical"}
    placement, options = plan.physical_to_logical, {"num_gpus": 16, **groups} if given == "arguments" else {}
    if given == "last solve":
        context.solve(WEIGHTS, **SIZES, **groups)
    found = context.static_dispatch(OTHER, plan if given == "plan" else placement, max_swaps=None, **options)
    assert found.layers_changed == 4
    by_node, before = (np.sort(each.reshape(4, 4, 20), axis=2) for each in (found.placement, placement))
    assert np.array_equal(by_node, before)
    context.evaluate(found.placement, OTHER, num_gpus=16, **groups)
    anywhere = context.static_dispatch(OTHER, plan, max_swaps=None, policy="global")
    assert anywhere.imbalance_mean < found.imbalance_mean
    assert not np.array_equal(np.sort(anywhere.placement.reshape(4, 4, 20), axis=2), before)
    # Without swaps, groups do not matter, so that any placement will do; with swaps they must be whole.
    row = np.arange(80) % 64
    context.static_dispatch(OTHER, row, 16, **groups)
    with pytest.raises(eplb.InvalidPlacement, match="but its group 2 is on node 0: hierarchical replicas stay on one"):
        context.static_dispatch(OTHER, row, 16, **groups, max_swaps=1)


def test_the_soft_policy_binds_no_swaps(context):
    plan = context.solve(WEIGHTS, **SIZES, num_nodes=4, num_groups=8, policy="soft")
    expected = fresh(OTHER, plan.physical_to_logical, 16, num_nodes=4, max_swaps=None)
    assert same(context.static_dispatch(OTHER, plan, max_swaps=None), expected)


@pytest.mark.parametrize("kind", [np.int32, np.uint16, "torch", "array_api", "lists"])
def test_kinds_of_arrays(context, kind):
    plan = context.solve(WEIGHTS, **SIZES)
    weights, placement = OTHER, plan.physical_to_logical
    if kind == "torch":
        torch = pytest.importorskip("torch")
        weights, placement = torch.tensor(weights), torch.tensor(placement)
    elif kind == "array_api":
        strict = pytest.importorskip("array_api_strict")
        weights, placement = (strict.asarray(each) for each in (weights, placement))
    elif kind == "lists":
        weights, placement = weights.tolist(), placement.tolist()
    else:
        placement = placement.astype(kind)
    assert same(context.static_dispatch(weights, placement, 16, max_swaps=3), fresh(OTHER, plan, max_swaps=3))


def test_weights(context):
    """Windows are summed; those of a call stay; without any there is an error."""
    with pytest.raises(eplb.InvalidState, match="^there are no weights: give them, or call upload first$"):
        context.static_dispatch(None, ON_TWO, 2)
    plan = context.solve(WEIGHTS, **SIZES)
    context.upload(np.stack([WEIGHTS, OTHER]))
    assert same(context.static_dispatch(None, plan), fresh(WEIGHTS + OTHER, plan))
    assert same(context.static_dispatch(OTHER, plan), fresh(OTHER, plan))
    assert same(context.static_dispatch(None, plan), fresh(OTHER, plan))


def test_layers_without_load(context):
    found = context.static_dispatch([[0, 0, 0], [5, 4, 3]], ON_TWO[0], 2)
    assert (found.num_empty_layers, found.imbalance.tolist()[0], found.gap.tolist()[0]) == (1, 1, 0)
    assert found.slot[0].tolist() == [[0, 1, 2], [0, 3, 2]]
    nothing = context.static_dispatch(np.zeros((2, 3)), ON_TWO[0], 2, max_swaps=None)
    assert (nothing.imbalance_mean, nothing.bound_mean, nothing.gap_mean, nothing.layers_changed) == (1, 1, 0, 0)


REFUSED = {
    "num_ranks is 4097, must be 1 to 4096": {"num_ranks": 4097},
    "num_ranks is -1, must be 1 to 4096": {"num_ranks": -1},
    "num_ranks is 2.0, must be an integer": {"num_ranks": 2.0},
    "max_swaps is -1, must be None for any number, or at least 0": {"max_swaps": -1},
    "max_swaps is '3', must be an integer": {"max_swaps": "3"},
    "tolerance is 1.5, must be 0 to 1": {"tolerance": 1.5},
    "policy is 'level', must be one of auto, hierarchical, global, soft": {"policy": "level"},
    "num_groups is 1.5, must be an integer": {"num_groups": 1.5},
    "num_groups is 1, must be a multiple of num_nodes = 2": {"num_nodes": 2, "policy": "hierarchical", "max_swaps": 1},
    "num_slots is 4, must be a multiple of num_gpus = 3 (3 or 6)": {"num_gpus": 3},
    "num_nodes is 1.5, must be an integer": {"num_nodes": 1.5},
    "num_nodes is 2, but the cluster has 1": {"num_nodes": 2, "cluster": eplb.Cluster(2)},
    "num_gpus is 2, but the cluster has 4": {"cluster": eplb.Cluster(4)},
    "cluster is a int, must be an eplb.Cluster or None": {"cluster": 2},
    "placement[layer 0, slot 3] is 1, must be -1: GPU 1 has 1 of 2 slots open": {"cluster": eplb.Cluster(slots=[2, 1])},
    "weights[layer 0, expert 1] is NaN": {"weights": [[1, np.nan, 1]]},
    "placement[layer 0, slot 3] is 3": {"plan_or_placement": [[0, 1, 2, 3]]},
    "placement[layer 0] has no replica of expert 1": {"plan_or_placement": [[0, 2, 2, 0]]},
    "placement_length is 8, must be num_layers * num_slots = 1 * 4 = 4": {"plan_or_placement": [ON_TWO[0]] * 2},
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(context, text):
    """In one sentence, and all is as it was."""
    plan = context.solve(PAIRS, 16, 8)
    context.static_dispatch(None, plan)
    given = {"weights": SMALL, "plan_or_placement": ON_TWO, "num_gpus": 2, **REFUSED[text]}
    with pytest.raises(eplb.Error) as raised:
        context.static_dispatch(**given)
    assert str(raised.value).startswith(text)
    assert "eplb_" not in str(raised.value)
    assert context.solve(None, 16, 8).fingerprint == plan.fingerprint
    assert same(context.static_dispatch(None, plan), fresh(PAIRS, plan))
    with pytest.raises(eplb.Error) as raised:
        eplb.static_dispatch(**given)
    assert str(raised.value).startswith(text)


def test_more_gpus_than_ranks_can_be(context):
    row = np.arange(5000)
    with pytest.raises(eplb.InvalidArgument, match="^num_ranks is 0, which means the number of GPUs, and that is 5000"):
        context.static_dispatch([np.ones(5000)], row, 5000)
    with pytest.raises(eplb.InvalidArgument, match=r"^num_ranks \* num_experts = 4096 \* 5000 is above 2\^24"):
        context.static_dispatch([np.ones(5000)], row, 5000, num_ranks=4096)
    assert context.static_dispatch([np.ones(5000)], row, 5000, num_ranks=1).slot[0, 0].tolist() == row.tolist()


def test_sizes_are_given_by_name(context):
    with pytest.raises(TypeError, match="give num_ranks, num_nodes and num_groups by name$"):
        context.static_dispatch(WEIGHTS, np.arange(64), 16, 32)
    with pytest.raises(eplb.InvalidArgument, match="^num_gpus is missing: "):
        eplb.static_dispatch(WEIGHTS, np.arange(64))


def test_plans_stay_as_they_are(context):
    with eplb.Context() as other:
        expected = other.solve(WEIGHTS, **SIZES)
        figures = expected.gpu_load, expected.replica_count, expected.report.imbalance_mean
    plan = context.solve(WEIGHTS, **SIZES)
    context.static_dispatch(None, plan, max_swaps=None)  # which leaves it in the library
    context.static_dispatch(OTHER, plan)
    context.static_dispatch(SMALL, ON_TWO, 2, cluster=eplb.Cluster(speed=[1, 2]))
    found = plan.gpu_load, plan.replica_count, plan.report.imbalance_mean
    assert all(np.array_equal(*pair) for pair in zip(found, figures, strict=True))


def test_a_copied_plan_knows_its_groups(context):
    plan = context.solve(WEIGHTS, **SIZES, num_nodes=4, num_groups=8)
    expected = context.static_dispatch(OTHER, plan, max_swaps=None)
    for way in (copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        assert same(eplb.static_dispatch(OTHER, way(plan), max_swaps=None), expected)


def test_it_stays_as_it_is(context):
    plan = context.solve(WEIGHTS, **SIZES)
    found = context.static_dispatch(OTHER, plan, max_swaps=None)
    kept = copy.deepcopy(found)
    context.static_dispatch(WEIGHTS, plan)
    context.close()
    for way in (copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        assert same(way(found), kept)
        assert str(way(found)) == str(kept)
    with pytest.raises(AttributeError):
        found.num_ranks = 3


def test_threads():
    """Each has what it needs, with and without a context of its own."""
    plans = [eplb.Context().solve(sample_weights(4, 64, seed), **SIZES) for seed in range(4)]
    expected = [fresh(OTHER, plan, max_swaps=None) for plan in plans]
    found = {}

    def work(at):
        found[at] = [eplb.static_dispatch(OTHER, plans[at], max_swaps=None) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(each, expected[at]) for at in range(4) for each in found[at])


def test_threads_of_a_context():
    plan = eplb.Context().solve(WEIGHTS, **SIZES)
    with eplb.Context(num_threads=3) as context:
        assert same(context.static_dispatch(OTHER, plan, max_swaps=None), fresh(OTHER, plan, max_swaps=None))


def test_it_shows_itself(context):
    found = context.static_dispatch(SMALL, ON_TWO, 2)
    page = page_of(found)
    assert page.caption == "StaticDispatch: 1 layer, 4 slots of 2 GPUs, 2 ranks"
    assert page.rows[1] == ["static dispatch", "1.1667", "1.1667", "1.0000", "16.667%", "16.667%"]
    carries = "the busiest GPU carries 1.1667x the mean; no split over"
    assert page.sentences == [f"With static dispatch, {carries} this placement gets below 1.0000x."]
    assert str(found).splitlines()[0] == page.caption
    assert repr(found).startswith("StaticDispatch(imbalance_mean=1.1")
    swapped = context.static_dispatch([[9, 4, 2, 1]] * 2, [0, 1, 2, 3], 2, max_swaps=1)
    assert swapped.sentences() == [
        "With static dispatch, the worst layers are 0 (1.2500), 1 (1.2500).",
        "After swaps, which write 4 slots in 2 of 2 layers and make another placement, the busiest GPU carries 1.2500x "
        "the mean; no split over any placement gets below 1.0000x.",
    ]
    assert swapped.sentences(np.array([3, 7]))[0].endswith("are 3 (1.2500), 7 (1.2500).")
    (said,) = context.static_dispatch(SMALL, ON_TWO, 2, max_swaps=None).sentences()
    assert said == f"No swap helps: with static dispatch, {carries} any placement gets below 1.0000x."
    figures = swapped.to_dict()
    assert (figures["slots_written"], figures["layers_changed"], figures["max_swaps"]) == ([2, 2], 2, 1)
    assert not {"slot", "placement", "ranks", "gpu_load"} & set(figures)
