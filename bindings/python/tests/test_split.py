"""Splits of tokens: what they take and return, what they leave as it was, and when a placement is prepared again."""

import copy
import pickle

import eplb
import numpy as np
import pytest
from conftest import PAIRS, ROOT
from eplb._library import ffi, lib
from eplb.sample import sample_weights
from html_tables import page_of

SIZES = {"num_slots": 80, "num_gpus": 16}
WEIGHTS, OTHER = sample_weights(4, 64), sample_weights(4, 64, 1)
# Expert 0 is on GPU 0 alone, and expert 1 on both: at best they have 6 each.
SMALL, ON_TWO = [[5, 4, 3]], [[0, 1, 2, 1]]
ARRAYS = ("share", "quota", "gpu_load", "imbalance", "bound", "gap", "tight")


def same(one, two):
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ARRAYS)


def fresh(*arguments, **options):
    """Of a context that knows nothing yet."""
    with eplb.Context() as context:
        return context.split(*arguments, **options)


def test_two_gpus(context):
    found = context.split(SMALL, ON_TWO, 2)
    assert found.quota.tolist() == [[5, 1, 3, 3]]
    assert found.share.tolist() == [[65536, 16384, 65536, 49152]]
    assert found.gpu_load.tolist() == [[6, 6]]
    assert found.tight.tolist() == [[True, True]]
    assert found.bound[0] == pytest.approx(6)
    assert (found.imbalance.tolist(), found.imbalance_mean, found.worst_layer) == ([1], 1, 0)
    assert found.bound_mean == pytest.approx(1)
    # Replicas that share evenly leave 7 on GPU 0.
    assert context.evaluate(ON_TWO, num_gpus=2).imbalance_mean == pytest.approx(7 / 6)


def test_types_and_shapes(context):
    plan = context.solve(WEIGHTS, **SIZES)
    found = context.split(OTHER, plan)
    assert {name: getattr(found, name).dtype.name for name in ARRAYS} == {
        **dict.fromkeys(ARRAYS, "float64"),
        "share": "int64",
        "tight": "bool",
    }
    assert found.share.shape == found.quota.shape == (4, 80)
    assert found.gpu_load.shape == found.tight.shape == (4, 16)
    assert found.imbalance.shape == found.bound.shape == found.gap.shape == (4,)
    mean = OTHER.sum(axis=1) / 16
    np.testing.assert_allclose(found.imbalance, found.gpu_load.max(axis=1) / mean)
    assert found.imbalance_mean == pytest.approx(found.imbalance.mean())
    assert found.imbalance_worst == found.imbalance[found.worst_layer] == found.imbalance.max()
    assert found.bound_mean == pytest.approx((found.bound / mean).mean())
    np.testing.assert_allclose(found.gap, found.imbalance * mean / found.bound - 1, atol=1e-12)
    assert (found.gap_mean, found.gap_worst) == (found.gap.mean(), found.gap.max())
    # The unit of a bound is that of an evaluation.
    assert (found.bound >= mean * (1 - 1e-9)).all()
    assert (found.bound <= context.evaluate(plan, OTHER).imbalance * mean).all()


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
    assert same(context.split(weights, placement, 16), fresh(OTHER, plan))


def test_one_row_is_the_same_in_every_layer(context):
    row = np.arange(80) % 64
    assert same(context.split(WEIGHTS, row, 16), fresh(WEIGHTS, np.tile(row, (4, 1)), 16))


def test_windows_are_summed_and_none_takes_what_was_uploaded(context):
    plan = context.solve(WEIGHTS, **SIZES)
    context.upload(np.stack([WEIGHTS, OTHER]))
    assert same(context.split(None, plan), fresh(WEIGHTS + OTHER, plan))
    assert same(context.split(WEIGHTS, plan), fresh(WEIGHTS, plan))
    # Those of a call stay, as after evaluate.
    assert same(context.split(None, plan), fresh(WEIGHTS, plan))


def test_loads_can_be_given(context):
    loads = eplb.read_loads(ROOT / "examples" / "data" / "olmoe-1b-7b_github_L3xE64.csv")
    plan = context.solve(loads, **SIZES)
    assert context.split(loads, plan).imbalance_mean <= plan.report.imbalance_mean


def test_where_the_gpus_come_from(context):
    placement = np.tile(np.arange(80) % 64, (4, 1))
    with pytest.raises(eplb.InvalidArgument, match="^num_gpus is missing: nothing was solved yet that it could be"):
        context.split(WEIGHTS, placement)
    plan = context.solve(WEIGHTS, **SIZES)
    assert context.split(OTHER, placement).gpu_load.shape == (4, 16)
    assert context.split(OTHER, placement, 8).gpu_load.shape == (4, 8)
    assert context.split(OTHER, plan, 8).gpu_load.shape == (4, 8)
    assert context.split(OTHER, eplb.Placement(placement, num_gpus=4)).gpu_load.shape == (4, 4)
    with eplb.Context() as other:  # a plan of another context
        assert same(other.split(OTHER, plan), context.split(OTHER, plan))


def test_the_cluster_of_a_plan_and_of_the_last_solve(context):
    cluster = eplb.Cluster(slots=[5] * 15 + [4], speed=[1] * 15 + [0.5], node=[0, 1] * 8)
    plan = context.solve(WEIGHTS, SIZES["num_slots"], cluster=cluster)
    expected = fresh(OTHER, plan.physical_to_logical, cluster=cluster)
    assert same(context.split(OTHER, plan), expected)
    assert same(context.split(OTHER, plan.physical_to_logical), expected)
    assert same(fresh(OTHER, plan), expected)
    equal = context.solve(WEIGHTS, **SIZES)
    assert same(context.split(OTHER, plan), expected)
    assert not same(context.split(OTHER, equal, cluster=eplb.Cluster(speed=cluster.speed)), fresh(OTHER, equal))
    with pytest.raises(eplb.InvalidArgument, match="^num_gpus is 8, but the cluster has 16"):
        context.split(OTHER, plan, 8, cluster=cluster)


def test_speeds():
    """GPU 1 is three times as fast: its bound is a time."""
    found = fresh([[8.0]], [[0, 0]], cluster=eplb.Cluster(speed=[1, 3]))
    np.testing.assert_allclose(found.gpu_load, [[2, 6]], rtol=1e-4)
    assert found.bound[0] == pytest.approx(4, rel=1e-4)
    assert found.imbalance_mean == pytest.approx(1, rel=1e-4)


def test_tolerance(context):
    """Less is moved: what is within it stays as an even split has it."""
    exact, rough = (context.split(SMALL, ON_TWO, 2, tolerance=tolerance) for tolerance in (0, 1))
    assert (exact.tolerance, rough.tolerance) == (0, 1)
    assert exact.imbalance_mean == 1
    chance, rougher = np.random.default_rng(0), 0
    for _ in range(50):
        weights = chance.lognormal(0, 1, (8, 24))
        placement = chance.permuted(np.tile(np.arange(32) % 24, (8, 1)), axis=1)
        exact, rough = (context.split(weights, placement, 4, tolerance=tolerance) for tolerance in (0, 0.125))
        assert (rough.imbalance <= exact.imbalance * 1.125 * (1 + 1e-6)).all()
        rougher += (rough.gap > 1e-3).sum()
    assert rougher > 20


def test_layers_without_load(context):
    weights = np.array([[0, 0, 0], [5, 4, 3]])
    found = context.split(weights, ON_TWO[0], 2)
    assert found.num_empty_layers == 1
    assert found.imbalance.tolist() == [1, 1]
    assert found.share[0].tolist() == [65536, 32768, 65536, 32768]
    assert (found.imbalance_mean, found.gap.tolist()[0], found.bound[0]) == (1, 0, 0)
    nothing = context.split(np.zeros((2, 3)), ON_TWO[0], 2)
    assert (nothing.imbalance_mean, nothing.bound_mean, nothing.gap_mean, nothing.num_empty_layers) == (1, 1, 0, 2)


REFUSED = {
    "tolerance is 1.5, must be 0 to 1": {"tolerance": 1.5},
    "tolerance is nan, must be 0 to 1": {"tolerance": float("nan")},
    "tolerance is '0', must be 0 to 1": {"tolerance": "0"},
    "tolerance is True, must be 0 to 1": {"tolerance": True},
    "num_slots is 4, must be a multiple of num_gpus = 3 (3 or 6)": {"num_gpus": 3},
    "num_gpus is 2.0, must be an integer": {"num_gpus": 2.0},
    "cluster is a int, must be an eplb.Cluster or None": {"cluster": 2},
    "plan_or_placement is float64 of 2 dimensions, must be integers [layers, slots]": {
        "plan_or_placement": [[0.0, 1, 2, 1]]
    },
    "placement[layer 0, slot 3] is 1, must be -1: GPU 1 has 1 of 2 slots open": {
        "num_gpus": None,
        "cluster": eplb.Cluster(slots=[2, 1]),
    },
    "weights has dtype bool, must be": {"weights": [[True, False, True]]},
    "weights is the name 'loads.csv', must be an array": {"weights": "loads.csv"},
    "weights[layer 0, expert 1] is NaN": {"weights": [[1, np.nan, 1]]},
    "placement[layer 0, slot 3] is 3": {"plan_or_placement": [[0, 1, 2, 3]]},
    "placement[layer 0] has no replica of expert 1": {"plan_or_placement": [[0, 2, 2, 0]]},
    "placement_length is 8, must be num_layers * num_slots = 1 * 4 = 4": {"plan_or_placement": [ON_TWO[0]] * 2},
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(context, text):
    """In one sentence, and all is as it was."""
    plan = context.solve(PAIRS, 16, 8)
    context.split(None, plan)
    given = {"weights": SMALL, "plan_or_placement": ON_TWO, "num_gpus": 2, **REFUSED[text]}
    with pytest.raises(eplb.Error) as raised:
        context.split(**given)
    assert str(raised.value).startswith(text)
    assert "eplb_" not in str(raised.value)
    assert context.solve(None, 16, 8).fingerprint == plan.fingerprint
    assert same(context.split(None, plan), fresh(PAIRS, plan))
    with pytest.raises(eplb.Error) as raised:
        eplb.split_tokens(**given)
    assert str(raised.value).startswith(text)


def test_without_weights(context):
    with pytest.raises(eplb.InvalidState, match="^there are no weights: give them, or call upload first$"):
        context.split(None, ON_TWO, 2)


def test_plans_stay_as_they_are(context):
    with eplb.Context() as other:
        expected = other.solve(WEIGHTS, **SIZES)
        figures = expected.gpu_load, expected.replica_count, expected.report.imbalance_mean
    plan = context.solve(WEIGHTS, **SIZES)
    context.split(None, plan)  # which leaves it in the library
    context.split(OTHER, plan)
    context.split(SMALL, ON_TWO, 2, cluster=eplb.Cluster(speed=[1, 2]))
    found = plan.gpu_load, plan.replica_count, plan.report.imbalance_mean
    assert all(np.array_equal(*pair) for pair in zip(found, figures, strict=True))


def test_a_split_stays_as_it_is(context):
    plan = context.solve(WEIGHTS, **SIZES)
    found = context.split(OTHER, plan)
    kept = copy.deepcopy(found)
    context.split(WEIGHTS, plan)
    context.close()
    for way in (copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        assert same(way(found), kept)
        assert str(way(found)) == str(kept)


@pytest.fixture
def prepared(library):
    """For each split, whether the library was given a placement."""
    seen = []

    def split(context, problem, *others):
        seen.append(problem != ffi.NULL)
        return lib.eplb_split(context, problem, *others)

    library.eplb_split = split
    return seen


def test_an_equal_placement_is_not_prepared_again(context, prepared):
    plan = context.solve(WEIGHTS, **SIZES)
    placement = plan.physical_to_logical.copy()
    for weights in (OTHER, WEIGHTS, None, OTHER * 2):
        context.split(weights, placement, 16, tolerance=0.002)
        context.split(weights, plan)
    assert prepared == [True] + [False] * 7
    context.evaluate(plan, WEIGHTS)
    context.solve(None, **SIZES)
    assert same(context.split(OTHER, plan), fresh(OTHER, plan))
    assert prepared == [True] + [False] * 8 + [True]  # the last is that of the other context


def changes():
    cluster = eplb.Cluster(speed=[1] * 15 + [2])
    swapped = np.arange(80) % 64
    swapped[[0, 79]] = swapped[[79, 0]]
    return {
        "another placement": lambda context: context.split(OTHER, swapped, 16),
        "another number of gpus": lambda context: context.split(OTHER, np.arange(80) % 64, 8),
        "another cluster": lambda context: context.split(OTHER, np.arange(80) % 64, cluster=cluster),
        "a solve on another cluster": lambda context: context.solve(OTHER, 80, cluster=cluster),
        "prices": lambda context: context.solve(
            OTHER, **SIZES, num_nodes=2, num_groups=2, policy="soft", prices=[[0, 1], [1, 0]]
        ),
        "weights of windows": lambda context: context.solve(
            np.stack([WEIGHTS, OTHER]), **SIZES, objective="windows", window_weights=[1, 2]
        ),
        "reserve": lambda context: context.reserve((4, 64), **SIZES),
        "more layers": lambda context: context.split(np.tile(WEIGHTS, (2, 1)), np.arange(80) % 64, 16),
        "fewer experts": lambda context: context.split(WEIGHTS[:, :63], np.arange(80) % 63, 16),
    }


@pytest.mark.parametrize("name", changes())
def test_what_is_prepared_again(context, prepared, name):
    """Whatever the library discards, the answer is that of a context that knows nothing."""
    row = np.arange(80) % 64
    expected = fresh(WEIGHTS, row, 16)
    for _ in range(2):
        assert same(context.split(WEIGHTS, row, cluster=eplb.Cluster(16)), expected)
        changes()[name](context)
    prepared.clear()
    assert same(context.split(WEIGHTS, row, cluster=eplb.Cluster(16)), expected)
    assert prepared == [True]
    assert same(context.split(WEIGHTS, row, cluster=eplb.Cluster(16)), expected)
    assert prepared == [True, False]


def test_the_callers_array_may_change(context):
    placement = np.tile(np.arange(80) % 64, (4, 1))
    context.split(WEIGHTS, placement, 16)
    placement[:, [0, 79]] = placement[:, [79, 0]]
    assert same(context.split(WEIGHTS, placement, 16), fresh(WEIGHTS, placement, 16))


def test_a_call_that_failed_keeps_what_was_prepared(context, prepared):
    row = np.arange(80) % 64
    context.split(WEIGHTS, row, 16)
    with pytest.raises(eplb.InvalidPlacement):
        context.split(OTHER, np.zeros(80, int), 16)
    assert same(context.split(None, row, 16), fresh(WEIGHTS, row, 16))
    assert prepared == [True, True, False, True]


def test_without_a_context(context):
    plan = context.solve(WEIGHTS, **SIZES)
    for weights in (OTHER, WEIGHTS, OTHER):
        assert same(eplb.split_tokens(weights, plan), fresh(weights, plan))
    cluster = eplb.Cluster(speed=[1] * 15 + [2])
    assert same(eplb.split_tokens(OTHER, plan, cluster=cluster), fresh(OTHER, plan, cluster=cluster))
    assert same(eplb.split_tokens(OTHER, plan), fresh(OTHER, plan))
    with pytest.raises(eplb.InvalidArgument, match="^num_gpus is missing: "):
        eplb.split_tokens(OTHER, plan.physical_to_logical)


def test_it_shows_itself(context):
    found = context.split(SMALL, ON_TWO, 2)
    page = page_of(found)
    assert page.caption == "Split: 1 layer, 4 slots of 2 GPUs"
    assert page.rows[1] == ["tokens split", "1.0000", "1.0000", "1.0000", "0.000%", "0.000%"]
    assert page.sentences == [
        "With tokens split, the busiest GPU carries 1.000x the mean; no split over this placement gets below 1.000x."
    ]
    assert str(found).splitlines()[0] == page.caption
    assert repr(found).startswith("Split(imbalance_mean=1.0, ")
    # Nothing of expert 0 can leave its GPU.
    alone = context.split([[9, 0, 0], [5, 4, 3]], ON_TWO[0], 2)
    assert page_of(alone).sentences[:2] == [
        "With tokens split, the worst layers are 0 (2.0000), 1 (1.0000).",
        "In 1 of 2 layers, one GPU has too much of experts that are on no other: only moves help there.",
    ]
    assert alone.to_dict()["tight"] == [[0], [0, 1]]
    assert alone.to_dict()["imbalance"] == [2, 1]
