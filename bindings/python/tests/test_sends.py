"""The modelled router against an enumeration of all choices, and against what is known of it."""

import itertools
import math

import eplb
import numpy as np
import pytest
from conftest import TRACES
from eplb._sends import _chances
from eplb.sample import sample_weights
from hypothesis import given, settings
from hypothesis import strategies as st


def choices_of(experts, groups, picks, most_groups):
    """[choices,E]: which experts are in each."""
    group = np.arange(experts) * groups // experts
    sets = [
        each
        for each in itertools.combinations(range(experts), picks)
        if len({group[expert] for expert in each}) <= most_groups
    ]
    return np.array([[expert in each for expert in range(experts)] for each in sets], float)


def largest_entropy(choices, wanted):
    """Probabilities of choices: proportional fitting, one expert after the other, which always converges."""
    probability = np.full(len(choices), 1 / len(choices))
    for _ in range(5000):
        for expert, share in enumerate(wanted):
            has = choices[:, expert] > 0
            found = probability[has].sum()
            probability[has] *= share / found
            probability[~has] *= (1 - share) / (1 - found)
        if np.abs(probability @ choices - wanted).max() < 1e-12:
            break
    return probability


def shares_of(row, experts, gpus, nodes):
    """[E,N]: the part of each expert's replicas on each node."""
    node = np.arange(gpus) * nodes // gpus
    count = np.zeros((experts, nodes))
    for slot, expert in enumerate(row):
        if expert >= 0:
            count[expert, node[slot * gpus // len(row)]] += 1
    return count / count.sum(axis=1, keepdims=True)


def a_placement(random, experts, slots):
    return random.permutation(np.concatenate([np.arange(experts), random.integers(0, experts, slots - experts)]))


# Experts, groups, picks, groups of a token. Seven experts make groups that are not equal.
SHAPES = [
    (8, 4, 3, 2),
    (8, 4, 1, 1),
    (8, 2, 4, 1),
    (9, 3, 4, 2),
    (7, 3, 3, 2),
    (8, 1, 3, 4),
    (10, 5, 5, 5),
    (6, 6, 4, 4),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_all_choices_enumerated(shape, seed):
    experts, groups, picks, most_groups = shape
    random = np.random.default_rng(seed)
    choices = choices_of(experts, groups, picks, most_groups)
    # Weights that such a router has: a mixture of all choices.
    weights = np.stack([random.dirichlet(np.full(len(choices), 0.3)) @ choices * 1e6 for _ in range(4)])
    weights[2] = 0
    placement = np.stack([a_placement(random, experts, 12) for _ in range(4)])
    sizes = {"num_gpus": 4, "num_nodes": 2, "num_groups": groups, "picks": picks, "groups_per_token": most_groups}
    found = eplb.modelled_sends(weights, placement, **sizes)
    assert found.error.max() < 1e-7
    for layer in (0, 1, 3):
        probability = largest_entropy(choices, weights[layer] / weights[layer].sum() * picks)
        shares = shares_of(placement[layer], experts, 4, 2)
        missed = np.prod(1 - choices[:, :, np.newaxis] * shares, axis=1)
        np.testing.assert_allclose(found.reached[layer], 1 - probability @ missed, atol=1e-6)
    np.testing.assert_allclose(found.sends, found.reached.sum(axis=1) / 2)
    np.testing.assert_allclose(found.busiest, found.reached.max(axis=1) / 2)
    # No load, no tokens.
    assert found.sends[2] == found.busiest[2] == found.error[2] == 0


def test_exactly_four_groups():
    """One expert per group, so that four picks are four groups of eight; whole groups on four nodes."""
    found = eplb.modelled_sends(
        np.ones((1, 8)), [range(8)], num_gpus=4, num_nodes=4, num_groups=8, picks=4, groups_per_token=4
    )
    assert found.reached == pytest.approx(1 - 15 / 70)
    assert found.sends == pytest.approx(3 * (1 - 15 / 70))
    assert found.busiest == pytest.approx(0.75 * (1 - 15 / 70))


def test_all_experts_equal():
    """As without groups: picks are drawn from all experts, and the chance to miss a node is a ratio of binomials."""
    found = eplb.modelled_sends(np.full((2, 32), 7), np.arange(32), num_gpus=8, num_nodes=4, num_groups=1)
    assert found.reached == pytest.approx(1 - math.comb(24, 8) / math.comb(32, 8))


def test_one_group_at_a_time():
    """A token goes where its only group is: to one node under the hierarchical policy, whatever its load."""
    weights = np.repeat(np.random.default_rng(1).lognormal(0, 1, (3, 8)), 4, axis=1)
    sizes = {"num_gpus": 8, "num_nodes": 4, "num_groups": 8, "picks": 3}
    found = eplb.modelled_sends(weights, np.arange(32), **sizes, groups_per_token=1)
    np.testing.assert_allclose(found.sends, 0.75, rtol=1e-7)
    by_node = weights.reshape(3, 4, 8).sum(axis=2)
    np.testing.assert_allclose(found.reached, by_node / by_node.sum(axis=1, keepdims=True), rtol=1e-6)
    # Spread over all nodes, it does not.
    assert (eplb.modelled_sends(weights, np.arange(32).reshape(8, 4).T.ravel(), **sizes).sends > 1.4).all()


def test_an_expert_on_every_node():
    """Of replicas everywhere, any is drawn: one pick reaches every node equally often."""
    placement = [[0, 1, 0, 2, 0, 3, 0, 1]]
    found = eplb.modelled_sends([[1.0, 0, 0, 0]], placement, num_gpus=4, num_nodes=4, num_groups=1, picks=1)
    np.testing.assert_allclose(found.reached, 0.25, atol=1e-8)


def test_what_is_picked_too_often_is_cut_off():
    chances = _chances(np.array([[90.0, 5, 3, 2], [50, 50, 0, 0], [4, 3, 2, 1], [7, 0, 0, 0]]), 2)
    np.testing.assert_allclose(
        chances, [[1, 0.5, 0.3, 0.2], [1, 1, 0, 0], [0.8, 0.6, 0.4, 0.2], [1, 1 / 3, 1 / 3, 1 / 3]]
    )
    # As if the load had been what is left of it.
    sizes = {"num_gpus": 2, "num_nodes": 2, "num_groups": 1, "picks": 2}
    over, just = (eplb.modelled_sends([weights], [[0, 1, 2, 3]], **sizes) for weights in ([90, 5, 3, 2], [10, 5, 3, 2]))
    np.testing.assert_allclose(over.reached, just.reached, atol=1e-7)
    np.testing.assert_allclose(just.reached, [[1, 0.5]], atol=1e-7)


def test_a_router_that_cannot_be():
    """Three of four groups would have to be in nearly all choices of two."""
    weights = [[9, 0, 9, 0, 9, 0, 1, 0]]
    sizes = {"num_gpus": 4, "num_nodes": 2, "num_groups": 4, "picks": 2}
    assert eplb.modelled_sends(weights, [range(8)], **sizes, groups_per_token=1).error > 0.1
    assert eplb.modelled_sends(weights, [range(8)], **sizes, groups_per_token=2).error < 1e-7


def test_a_search_for_such_a_router_stays_finite():
    """A token that picks all experts of one group picks them equally often: steps grow, and warnings are errors."""
    weights = sample_weights(6, 64, seed=2)
    sizes = {"num_gpus": 16, "num_nodes": 4, "num_groups": 8, "picks": 8, "groups_per_token": 1}
    found = eplb.modelled_sends(weights, np.tile(np.arange(64), (6, 1)), **sizes)
    assert ((found.error > 0.1) & (found.error <= 1)).all()
    assert np.isfinite(found.reached).all()
    sizes = {"num_gpus": 1, "num_nodes": 1, "num_groups": 3, "picks": 2, "groups_per_token": 1}
    assert eplb.modelled_sends([[0, 0, 0, 1]], [[2, 0, 1, 3]], **sizes).error > 0.1


@st.composite
def problems(draw):
    groups = draw(st.integers(1, 5))
    experts = draw(st.integers(groups, 20))
    most_groups = draw(st.integers(1, 6))
    largest = np.sort(np.bincount(np.arange(experts) * groups // experts))[::-1][:most_groups]
    picks = draw(st.integers(1, min(6, largest.sum())))
    nodes, per_node = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    places = draw(st.integers(-(-experts // (nodes * per_node)), 20))
    number = st.one_of(st.just(0), st.integers(0, 2**62), st.floats(0, 1e30, allow_subnormal=False))
    weights = draw(st.lists(st.lists(number, min_size=experts, max_size=experts), min_size=1, max_size=3))
    sizes = {"num_gpus": nodes * per_node, "num_nodes": nodes, "num_groups": groups}
    random = np.random.default_rng(draw(st.integers(0, 99)))
    placement = [a_placement(random, experts, nodes * per_node * places) for _ in weights]
    return np.array(weights, float), placement, {**sizes, "picks": picks, "groups_per_token": most_groups}


@settings(max_examples=60)
@given(problems())
def test_any_weights(problem):
    weights, placement, sizes = problem
    found = eplb.modelled_sends(weights, placement, **sizes)
    nodes, used = sizes["num_nodes"], weights.any(axis=1)
    assert found.reached.shape == (len(weights), nodes)
    for table in (found.reached, found.sends, found.busiest, found.error):
        assert np.isfinite(table).all()
        assert not table[~used].any()
    assert (found.reached >= -1e-9).all()
    assert (found.reached <= 1 + 1e-9).all()
    # A token has picks, and reaches no more nodes than that.
    assert (found.reached.sum(axis=1)[used] >= 1 - 1e-6).all()
    assert (found.reached.sum(axis=1) <= min(nodes, sizes["picks"]) + 1e-6).all()
    np.testing.assert_allclose(found.sends, found.reached.sum(axis=1) * (nodes - 1) / nodes)
    # What is at most 1 / picks can be in every router without a limit on groups.
    if sizes["groups_per_token"] >= sizes["num_groups"]:
        assert (found.error < 1e-6).all()


def test_scale_windows_and_kinds_of_placements(context):
    random = np.random.default_rng(3)
    weights = random.integers(1, 1000, (3, 2, 32))
    sizes = {"num_nodes": 4, "num_groups": 8, "picks": 4}
    plan = context.solve(weights, 40, 8, num_nodes=4, num_groups=8, policy="global")
    found = eplb.modelled_sends(weights, plan, **sizes)
    others = [
        eplb.modelled_sends(weights.sum(axis=0), plan.physical_to_logical, num_gpus=8, **sizes),
        eplb.modelled_sends(weights * 2.0**-80, plan, **sizes),
        eplb.modelled_sends(weights, plan, cluster=eplb.Cluster(8, num_nodes=4), num_groups=8, picks=4),
    ]
    for other in others:
        np.testing.assert_allclose(other.reached, found.reached, rtol=1e-6)
        np.testing.assert_allclose(other.sends, found.sends, rtol=1e-6)
    # Layers do not depend on each other.
    alone = eplb.modelled_sends(weights[:, 1:], plan.physical_to_logical[1:], num_gpus=8, **sizes)
    np.testing.assert_allclose(alone.reached[0], found.reached[1], rtol=1e-6)


def test_nodes_that_differ():
    """Tokens come from GPUs that are there, so a node with more of them sends more and receives less."""
    weights, placement = np.full((1, 6), 5.0), [[0, 1, 2, 3, 4, 5, -1, -1]]
    cluster = eplb.Cluster(slots=[2, 2, 2, 0], node=[0, 0, 1, 1])
    sizes = {"num_groups": 1, "picks": 2, "groups_per_token": 1}
    found = eplb.modelled_sends(weights, placement, cluster=cluster, **sizes)
    np.testing.assert_allclose(found.reached, [[1 - 1 / 15, 1 - 6 / 15]], rtol=1e-7)
    np.testing.assert_allclose(found.sends, (1 - 1 / 15) / 3 + (1 - 6 / 15) * 2 / 3, rtol=1e-7)
    np.testing.assert_allclose(found.busiest, (1 - 6 / 15) * 2 / 3, rtol=1e-7)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_gpus": 3}, "placement has 8 slots, must be a multiple of num_gpus = 3"),
        ({"num_gpus": None}, "num_gpus is missing"),
        ({"num_nodes": 0}, "num_nodes is 0, must be 1 to "),
        ({"num_groups": 9}, "num_groups is 9, must be 1 to 8"),
        ({"picks": 9}, "picks is 9, must be 1 to 8"),
        ({"picks": 5, "groups_per_token": 2}, "picks is 5, but the 2 largest groups have 4 experts"),
        ({"groups_per_token": 0}, "groups_per_token is 0, must be 1 to "),
        ({"placement": [range(8)] * 2}, "placement has 2 layers, but weights has 1"),
        ({"placement": [[0.5] * 8]}, "placement is float64 of 2 dimensions"),
        ({"weights": np.ones(8)}, "weights has 1 dimension"),
    ],
)
def test_refused(changes, sentence):
    sizes = {"weights": np.ones((1, 8)), "placement": [range(8)], "num_gpus": 4, "num_nodes": 2, "num_groups": 4}
    sizes = {**sizes, "picks": 4, **changes}
    with pytest.raises(eplb.InvalidArgument, match=sentence):
        eplb.modelled_sends(sizes.pop("weights"), sizes.pop("placement"), **sizes)


def test_refused_values():
    sizes = {"num_gpus": 4, "num_nodes": 2, "num_groups": 4, "picks": 2}
    for bad, kind in ((np.nan, "nan"), (np.inf, "inf"), (-1.0, "-1.0")):
        weights = np.ones((2, 8))
        weights[1, 3] = bad
        with pytest.raises(eplb.InvalidWeight, match=rf"weights\[layer 1, expert 3\] is {kind}"):
            eplb.modelled_sends(weights, range(8), **sizes)
    with pytest.raises(eplb.InvalidPlacement, match=r"placement\[layer 0, slot 2\] is 8, must be -1 to 7"):
        eplb.modelled_sends(np.ones((1, 8)), [[0, 1, 8, 3, 4, 5, 6, 7]], **sizes)
    with pytest.raises(eplb.InvalidPlacement, match="expert 2 has no replica in layer 0"):
        eplb.modelled_sends(np.ones((1, 8)), [[0, 1, -1, 3, 4, 5, 6, 7]], **sizes)


@pytest.mark.skipif(not TRACES.exists(), reason="no traces next to the checkout")
@pytest.mark.parametrize(
    ("trace", "hierarchical", "everywhere"),
    [("decode-in1000out1000", (2.337, 0.651), (2.717, 0.680)), ("prefill-in512", (2.333, 0.613), (2.715, 0.680))],
)
def test_measured_loads(context, trace, hierarchical, everywhere):
    """Figures of a study with a program of its own, whose placements differ a little."""
    weights = np.loadtxt(TRACES / f"deepseek-v3_{trace}_L58xE256.csv", delimiter=",")
    for policy, strategy, expected in (("hierarchical", "best", hierarchical), ("global", "greedy", everywhere)):
        plan = context.solve(weights, 288, 32, num_nodes=4, num_groups=8, policy=policy, strategy=strategy)
        found = eplb.modelled_sends(weights, plan, num_nodes=4, num_groups=8)
        assert found.error.max() < 1e-7
        assert (found.sends.mean(), found.busiest.mean()) == pytest.approx(expected, abs=0.002)
