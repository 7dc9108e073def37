"""What holds for every placement, whatever the strategy: recomputed here in plain numpy."""

import numpy as np


def check_plan(weights, plan, problem):
    """weights [L,E] or [T,L,E]; problem as given to solve."""
    weights = np.asarray(weights, np.float64)
    weights = weights.sum(axis=0) if weights.ndim == 3 else weights
    layers, experts = weights.shape
    slots, gpus = problem["num_slots"], problem["num_gpus"]
    assert plan.physical_to_logical.shape == plan.replica_slots.shape == (layers, slots)
    assert plan.replica_count.shape == (layers, experts)
    assert plan.gpu_load.shape == (layers, gpus)
    for layer in range(layers):
        check_maps(plan, layer, experts)
        if plan.report.policy == "hierarchical":
            check_nodes(plan.physical_to_logical[layer], experts, problem)
        check_loads(weights[layer], plan, layer, gpus)
    check_report(plan.report)


def check_maps(plan, layer, experts):
    placement, count = plan.physical_to_logical[layer], plan.replica_count[layer]
    slots = len(placement)
    assert np.array_equal(np.bincount(placement, minlength=experts), count)
    assert count.min() >= 1
    assert count.sum() == slots
    assert sorted(plan.replica_slots[layer]) == list(range(slots))
    assert np.array_equal(placement[plan.replica_slots[layer]], np.repeat(np.arange(experts), count))
    expanded = plan.logical_to_physical[layer]
    assert expanded.shape == (experts, plan.max_replicas)
    assert np.array_equal(expanded[expanded >= 0], plan.replica_slots[layer])
    assert np.array_equal((expanded >= 0).sum(axis=1), count)
    assert (expanded[expanded < 0] == -1).all()


def check_nodes(placement, experts, problem):
    nodes, groups = problem.get("num_nodes", 1), problem.get("num_groups", 1) or 1
    on = placement.reshape(nodes, -1)
    of_node = [{expert // (experts // groups) for expert in row} for row in on]
    assert all(len(each) == groups // nodes for each in of_node)
    assert len(set().union(*of_node)) == groups


def check_loads(weights, plan, layer, gpus):
    per_slot = (weights / plan.replica_count[layer])[plan.physical_to_logical[layer]]
    loads = per_slot.reshape(gpus, -1).sum(axis=1)
    np.testing.assert_allclose(plan.gpu_load[layer], loads, rtol=1e-12)
    largest, mean = loads.max(), weights.sum() / gpus
    np.testing.assert_allclose(plan.imbalance[layer], largest / mean if mean > 0 else 1, rtol=1e-12)
    assert plan.bound[layer] <= largest
    rows = plan.physical_to_logical[layer].reshape(gpus, -1)
    assert plan.duplicates[layer] == sum(len(row) - len(set(row)) for row in rows.tolist())


def check_report(report):
    # Layers without load are in no mean.
    loaded = report.bound > 0
    assert report.num_empty_layers == (~loaded).sum()
    loaded |= not loaded.any()
    np.testing.assert_allclose(report.imbalance_mean, report.imbalance[loaded].mean(), rtol=1e-12)
    assert report.imbalance_worst == report.imbalance.max() == report.imbalance[report.worst_layer]
    np.testing.assert_allclose(report.gap_mean, report.gap[loaded].mean(), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(report.gap_worst, report.gap.max(), rtol=1e-9, atol=1e-14)
    assert (report.gap >= 0).all()
    assert report.duplicates == report.layer_duplicates.sum() >= report.duplicates_unavoidable >= 0
    # Loads are sums in double: what is perfectly even may come out a rounding below 1.
    assert report.imbalance_mean >= 1 - 1e-12
    assert report.bound_mean <= report.imbalance_mean
    assert report.microseconds >= 0
    assert report.context_bytes > 0
