"""A problem and the options of its solve, as structs of C."""

from __future__ import annotations

from typing import Any

from ._library import (
    BOUNDS_TO_ASK_FOR,
    EFFORTS,
    OBJECTIVES,
    POLICIES,
    STRATEGIES,
    TRANSFER_ORDERS,
    check,
    ffi,
    groups_of,
    integer,
    lib,
    value_of,
)
from ._move_limits import MoveLimits, imbalance
from ._uncopyable import Uncopyable

_NO_LIMITS = MoveLimits()


def made(kind: str, error: Any) -> Any:
    """A struct with the library's defaults, as in "problem"."""
    init = getattr(lib, f"eplb_{kind}_init")
    # Not by name, which cffi would parse.
    pointer = ffi.typeof(init).args[0]
    struct = ffi.new(pointer)
    check(init(struct, ffi.sizeof(pointer.item), error), error)
    return struct


class Request(Uncopyable):
    """A problem and the options of its solve."""

    def __init__(self) -> None:
        self.error = ffi.new("eplb_error *")
        self.problem = made("problem", self.error)
        self.options = made("solve_options", self.error)
        self.defaults = made("solve_options", self.error)
        self._limits = _NO_LIMITS

    def set_problem(
        self,
        num_slots: Any,
        num_gpus: Any,
        num_nodes: Any,
        num_groups: Any,
        policy: Any,
        bound: Any,
        objective: Any = "sum",
        off_home_target: Any = 1.01,
        max_replicas: Any = None,
    ) -> None:
        problem = self.problem
        problem.num_slots = integer("num_slots", num_slots)
        problem.num_gpus = integer("num_gpus", num_gpus)
        problem.num_nodes = integer("num_nodes", num_nodes)
        problem.num_groups = groups_of(num_groups)
        problem.policy = value_of(POLICIES, "policy", policy)
        problem.bound_kind = value_of(BOUNDS_TO_ASK_FOR, "bound", bound)
        problem.objective = value_of(OBJECTIVES, "objective", objective)
        problem.off_home_target = imbalance("off_home_target", off_home_target, 1)
        problem.max_replicas = 0 if max_replicas is None else integer("max_replicas", max_replicas)

    def set_options(
        self,
        strategy: Any,
        effort: Any,
        seed: Any,
        transfer_order: Any = "buffered",
        limits: MoveLimits = _NO_LIMITS,
    ) -> None:
        options = self.options
        options.strategy = self.defaults.strategy if strategy is None else value_of(STRATEGIES, "strategy", strategy)
        options.effort = value_of(EFFORTS, "effort", effort)
        options.seed = integer("seed", seed, 0, 2**64 - 1)
        options.transfer_order = value_of(TRANSFER_ORDERS, "transfer_order", transfer_order)
        if limits != self._limits:
            self._limits = limits
            for name, value in limits._asdict().items():
                setattr(options, name, getattr(self.defaults, name) if value is None else value)

    def sizes(self) -> tuple[Any, ...]:
        """Everything that memory is sized for except the weights; the seed does not matter."""
        options = self.options
        return bytes(ffi.buffer(self.problem)), options.strategy, options.effort
