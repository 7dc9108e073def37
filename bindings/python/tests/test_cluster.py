"""Clusters: what they are made from, what is refused, and that a call keeps to them."""

import pickle

import eplb
import numpy as np
import pytest


def test_equal_gpus_need_no_arrays():
    cluster = eplb.Cluster(num_gpus=32, num_nodes=4)
    assert (cluster.num_gpus, cluster.num_nodes, cluster.num_open_gpus) == (32, 4, 32)
    assert cluster.slots is None and cluster.speed is None and cluster.node is None
    assert repr(cluster) == "Cluster(num_gpus=32, num_nodes=4)"


def test_arrays_say_how_many_gpus_and_nodes_there_are():
    cluster = eplb.Cluster(slots=[9] * 31 + [0], speed=None, node=[0] * 8 + [3] * 24)
    assert (cluster.num_gpus, cluster.num_nodes, cluster.num_open_gpus) == (32, 4, 31)
    assert eplb.Cluster(4, slots=np.array([2, 2, 2, 0]), speed=np.float32([1, 1, 0.5, 1])).speed == (1, 1, 0.5, 1)


def test_it_is_a_value():
    cluster = eplb.Cluster(slots=[2, 0], speed=[1, 0.5], node=[0, 1])
    assert cluster == eplb.Cluster(2, num_nodes=2, slots=(2, 0), speed=(1, 0.5), node=(0, 1))
    assert cluster != eplb.Cluster(slots=[2, 0])
    assert len({cluster, pickle.loads(pickle.dumps(cluster))}) == 1
    assert eval(repr(cluster), {"Cluster": eplb.Cluster}) == cluster
    with pytest.raises(AttributeError):
        cluster.slots = (1, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, ["num_gpus"]),
        ({"num_gpus": 0}, ["num_gpus", "0"]),
        ({"num_gpus": 2.0}, ["num_gpus", "2.0"]),
        ({"slots": []}, ["slots", "empty"]),
        ({"slots": 9}, ["slots", "9"]),
        ({"slots": [9, -1]}, ["slots[1]", "-1", "0 to"]),
        ({"slots": [9, 8.5]}, ["slots[1]", "8.5"]),
        ({"speed": [1, 0]}, ["speed[1]", "0"]),
        ({"speed": [1, float("nan")]}, ["speed[1]", "nan"]),
        ({"speed": [1, float("inf")]}, ["speed[1]", "inf"]),
        ({"speed": [1, "fast"]}, ["speed[1]", "fast"]),
        ({"node": [0, -1]}, ["node[1]", "-1"]),
        ({"slots": [1, 1], "speed": [1, 1, 1]}, ["speed", "3", "2"]),
        ({"num_gpus": 3, "slots": [1, 1]}, ["slots", "2", "3"]),
        ({"num_nodes": 2, "node": [0, 2]}, ["num_nodes", "2", "3"]),
    ],
)
def test_what_is_refused(arguments, words):
    with pytest.raises(eplb.InvalidArgument) as refusal:
        eplb.Cluster(**arguments)
    for word in words:
        assert word in str(refusal.value)


def test_sizes_may_be_left_out_or_must_agree():
    cluster, weights = eplb.Cluster(num_gpus=4, num_nodes=2), np.arange(1, 9).reshape(1, 8)
    with eplb.Context() as context:
        plan = context.solve(weights, num_slots=8, cluster=cluster)
        same = context.solve(weights, 8, 4, num_nodes=2)
        np.testing.assert_array_equal(plan.physical_to_logical, same.physical_to_logical)
        for name, value in (("num_gpus", 8), ("num_nodes", 1)):
            with pytest.raises(eplb.InvalidArgument, match=f"{name} is {value}, but the cluster has"):
                context.solve(weights, 8, cluster=cluster, **{name: value})
        with pytest.raises(eplb.InvalidArgument, match="num_gpus is missing"):
            context.solve(weights, 8)
        with pytest.raises(eplb.InvalidArgument, match="cluster is a list"):
            context.solve(weights, 8, cluster=[2, 2])


def test_what_does_not_fit_is_refused_and_nothing_is_lost():
    weights = np.arange(1, 9).reshape(1, 8)
    with eplb.Context() as context:
        plan = context.solve(weights, 8, 4)
        with pytest.raises(eplb.InvalidArgument, match=r"slots\[GPU 1\] is 3, must be at most .* = 2"):
            context.solve(None, 8, cluster=eplb.Cluster(slots=[2, 3, 2, 2]))
        with pytest.raises(eplb.InvalidArgument, match="6 open slots, 2 fewer than the 8 experts"):
            context.solve(None, 8, cluster=eplb.Cluster(slots=[2, 0, 2, 2]))
        again = context.solve(None, 8, 4)
        assert again.fingerprint == plan.fingerprint
