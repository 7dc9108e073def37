"""A problem and the options of its solve, as structs of C."""

from __future__ import annotations

from collections.abc import Callable
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
from ._move_limits import NO_LIMITS, MoveLimits, imbalance
from ._uncopyable import Uncopyable

# Of arguments: they cannot change, and two of the same of these types that are equal mean the same.
_PLAIN = frozenset((int, float, str, type(None), MoveLimits))


def made(kind: str, error: Any) -> Any:
    """A struct with the library's defaults, as in "problem"."""
    init = getattr(lib, f"eplb_{kind}_init")
    # Not by name, which cffi would parse.
    pointer = ffi.typeof(init).args[0]
    struct = ffi.new(pointer)
    check(init(struct, ffi.sizeof(pointer.item), error), error)
    return struct


def changed(struct: Any, **fields: Any) -> Any:
    """A copy with other values of some fields."""
    copy = ffi.new(ffi.typeof(struct), struct[0])
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


class Request(Uncopyable):
    """A problem and the options of its solve.

    Attributes:
        problem, options: structs that never change, since others keep them: another request has others.
    """

    def __init__(self) -> None:
        self.error = ffi.new("eplb_error *")
        self.problem = made("problem", self.error)
        self.options = made("solve_options", self.error)
        self._problems = _Latest(_problem_of, self.problem)
        self._options = _Latest(_options_of, self.options)

    def set_problem(self, *arguments: Any) -> None:
        """Takes those of _problem_of."""
        self.problem = self._problems.struct(arguments)

    def set_options(self, *arguments: Any) -> None:
        """Takes those of _options_of."""
        self.options = self._options.struct(arguments)

    def copy_problem(self, problem: bytes) -> None:
        """Takes the bytes of a struct."""
        struct = changed(self.problem)
        ffi.memmove(struct, problem, len(problem))
        self.problem = struct

    def sizes(self) -> tuple[Any, ...]:
        """Everything that memory is sized for except the weights; the seed does not matter."""
        options = self.options
        return bytes(ffi.buffer(self.problem)), options.strategy, options.effort


class _Latest(Uncopyable):
    """The struct that was made last, which the same arguments get again: programs repeat their calls.

    Args:
        make: makes a struct from the defaults and arguments, which it checks.
    """

    def __init__(self, make: Callable[..., Any], defaults: Any) -> None:
        self._make, self._defaults = make, defaults
        self._latest: tuple[Any, Any] = None, defaults

    def struct(self, arguments: tuple[Any, ...]) -> Any:
        # With types, because 4.0 and True are refused where 4 and 1 are allowed.
        asked = tuple(map(type, arguments)), arguments
        known, struct = self._latest
        if asked != known:
            struct = self._make(self._defaults, *arguments)
            if _PLAIN.issuperset(asked[0]):
                # In one step, for a handler of signals may raise between two.
                self._latest = asked, struct
        return struct


def _problem_of(
    defaults: Any,
    num_slots: Any,
    num_gpus: Any,
    num_nodes: Any,
    num_groups: Any,
    policy: Any,
    bound: Any,
    objective: Any = "sum",
    off_home_target: Any = 1.01,
    max_replicas: Any = None,
) -> Any:
    return changed(
        defaults,
        num_slots=integer("num_slots", num_slots),
        num_gpus=integer("num_gpus", num_gpus),
        num_nodes=integer("num_nodes", num_nodes),
        num_groups=groups_of(num_groups),
        policy=value_of(POLICIES, "policy", policy),
        bound_kind=value_of(BOUNDS_TO_ASK_FOR, "bound", bound),
        objective=value_of(OBJECTIVES, "objective", objective),
        off_home_target=imbalance("off_home_target", off_home_target, 1),
        max_replicas=0 if max_replicas is None else integer("max_replicas", max_replicas),
    )


def _options_of(
    defaults: Any,
    strategy: Any,
    effort: Any,
    seed: Any,
    transfer_order: Any = "buffered",
    limits: MoveLimits = NO_LIMITS,
) -> Any:
    return changed(
        defaults,
        strategy=defaults.strategy if strategy is None else value_of(STRATEGIES, "strategy", strategy),
        effort=value_of(EFFORTS, "effort", effort),
        seed=integer("seed", seed, 0, 2**64 - 1),
        transfer_order=value_of(TRANSFER_ORDERS, "transfer_order", transfer_order),
        **{name: value for name, value in limits._asdict().items() if value is not None},
    )
