"""What solve and compare have in common: the problem that options describe, and the placement without a balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import Array, Floats, placement_to_host
from ._context import Context
from ._evaluation import Evaluation
from ._library import groups_of
from ._loads import gpu_loads, placement_in_order, placement_without_redundancy, sum_windows
from ._report import Report

if TYPE_CHECKING:
    from ._given_loads import GivenLoads


def problem_of(slots: int, gpus: int, nodes: int, groups: int, policy: str, off_home_target: float) -> dict[str, Any]:
    """Arguments of Context.solve. No groups are one, also where a file says it."""
    return {
        "num_slots": slots,
        "num_gpus": gpus,
        "num_nodes": nodes,
        "num_groups": groups_of(groups),
        "policy": policy,
        "off_home_target": off_home_target,
    }


def asked_of(
    gpus: int | None,
    nodes: int | None,
    groups: int | None,
    policy: str | None,
    off_home_target: float | None,
    max_replicas: int | None = None,
) -> dict[str, Any]:
    """The same, of options that may be None: that which is asked for, whatever a plan says."""
    asked = {
        "num_gpus": gpus,
        "num_nodes": nodes,
        "num_groups": None if groups is None else groups_of(groups),
        "policy": policy,
        "off_home_target": off_home_target,
        "max_replicas": max_replicas,
    }
    return {name: value for name, value in asked.items() if value is not None}


def sizes_of(given: GivenLoads, problem: dict[str, Any]) -> dict[str, Any]:
    """For JSON: what was read, and what is placed where."""
    layers, experts = given.weights.shape[-2:]
    return {**given.to_dict(), "num_layers": layers, "num_experts": experts, **problem}


def before_of(
    context: Context, weights: Array, problem: dict[str, Any], before: Any = None
) -> tuple[Evaluation, Floats]:
    """Report and loads of a placement before a solve; None: of each expert once, in order, whatever the slots."""
    layers, experts = weights.shape[-2:]
    gpus = problem["num_gpus"]
    if before is None:
        placement = placement_without_redundancy(layers, experts, gpus)
    else:
        placement = placement_to_host(before, "before")
    return _evaluate(context, placement, weights, problem), gpu_loads(sum_windows(weights), placement, gpus)


def unbalanced_of(context: Context, weights: Array, problem: dict[str, Any]) -> Evaluation:
    """The report without a balancer, of the slots that the problem has."""
    layers, experts = weights.shape[-2:]
    return _evaluate(context, placement_in_order(layers, experts, problem["num_slots"]), weights, problem)


def _evaluate(context: Context, placement: Any, weights: Array, problem: dict[str, Any]) -> Evaluation:
    """Such placements ignore nodes, so the policy is global."""
    sizes = {name: value for name, value in problem.items() if name != "num_slots"}
    return context.evaluate(placement, weights, **{**sizes, "policy": "global"})


def rows_before(before: Report, unbalanced: Report) -> dict[str, Report]:
    """Rows of a table, by name; one where both are the same."""
    same = np.array_equal(before.imbalance, unbalanced.imbalance)
    return {"before": before} if same else {"before": before, "no balancer": unbalanced}
