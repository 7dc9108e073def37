"""What solve and compare have in common: the problem that options describe, and the placement without a balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._arrays import Array, Floats
from ._context import Context
from ._evaluation import Evaluation
from ._loads import gpu_loads, placement_before, sum_windows

if TYPE_CHECKING:
    from ._given_loads import GivenLoads


def problem_of(slots: int, gpus: int, nodes: int, groups: int, policy: str, off_home_target: float) -> dict[str, Any]:
    """Arguments of Context.solve."""
    return {
        "num_slots": slots,
        "num_gpus": gpus,
        "num_nodes": nodes,
        "num_groups": groups,
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
        "num_groups": groups,
        "policy": policy,
        "off_home_target": off_home_target,
        "max_replicas": max_replicas,
    }
    return {name: value for name, value in asked.items() if value is not None}


def sizes_of(given: GivenLoads, problem: dict[str, Any]) -> dict[str, Any]:
    """For JSON: what was read, and what is placed where."""
    layers, experts = given.weights.shape[-2:]
    return {**given.to_dict(), "num_layers": layers, "num_experts": experts, **problem}


def before_of(context: Context, weights: Array, problem: dict[str, Any]) -> tuple[Evaluation, Floats]:
    """Report and loads without a balancer. That placement ignores nodes, so it is evaluated under the global policy."""
    sizes = {**problem, "policy": "global"}
    placement = placement_before(weights.shape[-2], weights.shape[-1], sizes.pop("num_slots"))
    return context.evaluate(placement, **sizes), gpu_loads(sum_windows(weights), placement, sizes["num_gpus"])
