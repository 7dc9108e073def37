"""What every placement must satisfy, and how good it is: judged from the maps alone, exactly, whoever made them."""

from fractions import Fraction

from reference import logical_to_physical


def gpu_loads(weights, layer, problem):
    """Load of each GPU as an exact Fraction, in the unit of the weights."""
    each = problem.num_slots // problem.num_gpus
    shares = [Fraction(w) / count for w, count in zip(weights, layer.replica_count, strict=False)]
    return [
        sum(shares[e] for e in layer.physical_to_logical[g * each : (g + 1) * each]) for g in range(problem.num_gpus)
    ]


def imbalance(weights, layer, problem):
    """Largest over mean load, exact and rounded once to a double; 1 for a layer without any weight.

    The library sums in double, so it is compared to within a relative 1e-12.
    """
    loads = gpu_loads(weights, layer, problem)
    mean = sum(loads) / len(loads)
    return float(max(loads) / mean) if mean else 1.0


def duplicates(layer, problem):
    """Slots whose expert already sits in a lower slot of the same GPU."""
    each = problem.num_slots // problem.num_gpus
    return problem.num_slots - sum(
        len(set(layer.physical_to_logical[g * each : (g + 1) * each])) for g in range(problem.num_gpus)
    )


def lower_bound(weights, problem, max_replicas=0):
    """No placement has a largest load below this (exact): the mean load, and the largest replica of the best counts.

    The counts that minimise the largest replica give each extra to the expert with the largest weight per replica. No
    expert has more replicas than its node has extras and one more, nor than the cap.
    """
    exact = [Fraction(w) for w in weights]
    count = [1] * len(exact)
    for _ in range(problem.num_slots - len(exact)):
        count[max(range(len(exact)), key=lambda e: exact[e] / count[e])] += 1
    most = (problem.num_slots - len(exact)) // problem.nodes_and_groups[0] + 1
    if max_replicas:
        most = min(most, max_replicas)
    return max(sum(exact) / problem.num_gpus, max(exact) / most, *(w / c for w, c in zip(exact, count, strict=False)))


def check_maps(weights, layer, problem, max_replicas=0):
    """Each expert has a replica, counts sum to S, all maps tell the same, each GPU has K slots, no cap is exceeded."""
    experts, slots = len(weights), problem.num_slots
    assert len(layer.physical_to_logical) == slots and slots % problem.num_gpus == 0
    assert len(layer.replica_count) == experts and len(layer.replica_slots) == slots
    assert all(0 <= e < experts for e in layer.physical_to_logical)
    assert min(layer.replica_count) >= 1 and sum(layer.replica_count) == slots
    assert sorted(layer.replica_slots) == list(range(slots)), "every slot is some replica's"
    assert not max_replicas or max(layer.replica_count) <= max_replicas
    for expert, row in enumerate(logical_to_physical(layer, max_replicas or slots - experts + 1)):
        count = layer.replica_count[expert]
        assert all(layer.physical_to_logical[slot] == expert for slot in row[:count])
        assert all(slot == -1 for slot in row[count:])


def check_nodes(layer, problem, experts):
    """Hierarchical: the replicas of a group stay on one node, and each node has its share of the groups."""
    nodes, groups = problem.nodes_and_groups
    homes = [set() for _ in range(groups)]
    for slot, expert in enumerate(layer.physical_to_logical):
        homes[expert // (experts // groups)].add(slot // (problem.num_slots // nodes))
    assert all(len(home) == 1 for home in homes), "a group is on several nodes"
    per_node = [min(home) for home in homes]
    assert all(per_node.count(node) == groups // nodes for node in range(nodes))


def check(weights, layer, problem, max_replicas=0, claimed=None, bound=None):
    """All invariants of one layer. weights: [E], windows summed.

    claimed: its imbalance as reported; bound: the lower bound on its largest load as reported. Both are optional.
    """
    check_maps(weights, layer, problem, max_replicas)
    check_nodes(layer, problem, len(weights))
    largest = max(gpu_loads(weights, layer, problem))
    assert lower_bound(weights, problem, max_replicas) <= largest
    if bound is not None:
        assert Fraction(bound) <= largest
    if claimed is not None:
        exact = imbalance(weights, layer, problem)
        assert abs(claimed - exact) <= 1e-12 * exact, f"imbalance is {exact}, claimed to be {claimed}"
