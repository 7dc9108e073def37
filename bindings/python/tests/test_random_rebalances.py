"""Random problems with holes, lost GPUs and limits: what holds of every rebalance, recomputed from the maps."""

import sys
from dataclasses import dataclass

import eplb
import numpy as np
import pytest
from conftest import ROOT
from test_rebalance import arrivals

sys.path.append(str(ROOT / "tests" / "golden"))
from transfer_simulator import simulate


@dataclass
class Case:
    weights: np.ndarray
    current: np.ndarray
    gpus: int
    nodes: int
    groups: int
    slots: np.ndarray  # of each GPU
    speed: np.ndarray
    arguments: dict  # of rebalance

    @property
    def places(self):
        return self.current.shape[1] // self.gpus

    @property
    def is_open(self):
        return np.arange(self.current.shape[1]) % self.places < np.repeat(self.slots, self.places)

    @property
    def hierarchical(self):
        return self.arguments["policy"] == "hierarchical"

    def cluster(self):
        return eplb.Cluster(self.gpus, num_nodes=self.nodes, slots=self.slots.tolist(), speed=self.speed.tolist())


def sizes(random):
    """GPUs, places of each, nodes, groups, experts and policy, which fit each other."""
    gpus, places = int(random.integers(2, 20)), int(random.integers(1, 7))
    if random.random() < 0.7:
        return gpus, places, 1, 1, int(random.integers(1, gpus * places + 1)), "global"
    nodes = int(random.choice([count for count in range(1, gpus + 1) if gpus % count == 0]))
    groups = nodes * int(random.integers(1, 3))
    of_group = gpus * places // groups
    if of_group == 0:
        return gpus, places, 1, 1, 1, "hierarchical"
    return gpus, places, nodes, groups, groups * int(random.integers(1, min(4, of_group + 1))), "hierarchical"


def limits(random, layers, slots, experts):
    chosen = {
        "max_moves": int(random.integers(0, slots + 1)),
        "max_moves_total": int(random.integers(0, layers * slots // 2 + 1)),
        "max_arrivals": int(random.integers(1, 7)),
        "target": float(random.choice([0, 1, 1.01, 1.1, 2])),
        "move_price": float(random.choice([1e-4, 1e-2, 0.5])),
        "allow_empty": True,
    }
    return {name: value for name, value in chosen.items() if random.random() < 0.3}


def shrink(random, current, slots, gpus):
    """Some GPUs die or are drained, others lose a few slots."""
    gone = random.choice(gpus, int(random.integers(1, max(2, gpus // 3))), replace=False)
    slots[gone] = 0
    if random.random() < 0.5:
        current.reshape(len(current), gpus, -1)[:, gone] = -1
    if random.random() < 0.3:
        np.minimum(slots, random.integers(0, slots.max() + 1, gpus), out=slots)


def make(seed):
    random = np.random.default_rng(seed)
    gpus, places, nodes, groups, experts, policy = sizes(random)
    layers, num_slots = int(random.integers(1, 4)), gpus * places
    weights, before = (np.rint(random.lognormal(3, spread, (layers, experts))) for spread in (1.2, 0.8))
    current = random.integers(-1, experts, (layers, num_slots))
    if policy == "hierarchical" or random.random() < 0.7:
        with eplb.Context() as context:
            problem = {"num_nodes": nodes, "num_groups": groups, "policy": policy}
            current = context.solve(before, num_slots, gpus, **problem, effort="fast").physical_to_logical
        current[random.random(current.shape) < 0.1] = -1
    slots, speed = np.full(gpus, places), np.ones(gpus)
    if policy == "global" and random.random() < 0.5:
        shrink(random, current, slots, gpus)
    if policy == "global" and random.random() < 0.3:
        speed = random.uniform(0.5, 2, gpus)
    arguments = {
        "policy": policy,
        "num_groups": groups,
        "effort": "fast",
        "transfer_order": str(random.choice(["buffered", "in_place", "exclusive"])),
        **limits(random, layers, num_slots, experts),
    }
    return Case(weights, current, gpus, nodes, groups, slots, speed, arguments)


def check_limits(case, plan):
    moves, given = arrivals(case.current, plan.physical_to_logical, case.gpus), case.arguments
    assert np.array_equal(plan.moves.count, moves.sum(axis=1))
    assert moves.sum(axis=1).max() <= given.get("max_moves", np.inf)
    assert moves.sum() <= given.get("max_moves_total", np.inf)
    assert moves.max() <= given.get("max_arrivals", np.inf)


def check_slots(case, plan):
    """Closed ones are empty; experts that stay on a GPU stay in their slot."""
    placement, is_open = plan.physical_to_logical, case.is_open
    assert (placement[:, ~is_open] == -1).all()
    rows = (each.reshape(-1, case.places) for each in (case.current, placement, np.tile(is_open, len(placement))))
    for now, then, places in zip(*rows, strict=True):
        for slot in np.flatnonzero(places & (now >= 0)):
            left = (then == now[slot]).sum()
            assert then[slot] == now[slot] or left == 0 or (now == now[slot])[places].sum() > left


def check_loads(case, plan):
    experts = case.weights.shape[1]
    for weights, slots, found in zip(case.weights, plan.physical_to_logical, plan.imbalance, strict=True):
        count = np.bincount(slots[slots >= 0], minlength=experts)
        assert count.min() >= 1
        load = np.where(slots >= 0, (weights / count)[slots], 0).reshape(case.gpus, -1).sum(axis=1)
        fair = weights.sum() / case.speed[case.slots > 0].sum()
        assert found == pytest.approx((load / case.speed).max() / fair if fair else 1)
        if case.hierarchical:
            nodes = [
                {expert // (experts // case.groups) for expert in row if expert >= 0}
                for row in slots.reshape(case.nodes, -1)
            ]
            assert all(len(groups) == case.groups // case.nodes for groups in nodes)


def check_transfers(case, plan):
    moves, rounds = plan.moves, 0
    for layer in range(len(case.weights)):
        maps = case.current, plan.physical_to_logical, moves.source, moves.round, moves.group
        rounds += simulate(*(each[layer].tolist() for each in maps), case.gpus, case.arguments["transfer_order"])
    assert rounds == plan.report.rounds


@pytest.mark.parametrize("first", range(0, 400, 40))
def test_random(first):
    answered = 0
    for seed in range(first, first + 40):
        case = make(seed)
        with eplb.Context() as context:
            try:
                plan = context.rebalance(case.weights, case.current, cluster=case.cluster(), **case.arguments)
            except eplb.InvalidArgument as error:
                assert any(word in str(error) for word in ("max_moves", "max_arrivals", "slots")), (seed, error)
                continue
            answered += 1
            for check in (check_limits, check_slots, check_loads, check_transfers):
                try:
                    check(case, plan)
                except AssertionError as fault:
                    raise AssertionError(f"seed {seed}: {case.arguments}") from fault
            evaluated = context.evaluate(plan, case.weights)
            assert np.array_equal(evaluated.imbalance, plan.imbalance)
    assert answered > 20
