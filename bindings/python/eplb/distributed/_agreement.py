"""Whether all ranks have the same plan."""

from __future__ import annotations

from typing import Any

from .._arrays import placement_to_host
from .._fingerprint import placement_fingerprint
from .._plan import Plan
from ._group import Members, refuse_difference

_WORD = 2**64


def check_agreement(plan: Any, group: Any = None) -> None:
    """Raises on every rank, naming the ranks that differ, unless all have the same plan. Collective.

    For engines in which every rank plans alone: ranks that differ in one bit of their loads, or in their version of the
    library, would serve different experts in the same slot, without an error. Costs 8 bytes for each rank; call it
    before anything is moved.

    Args:
        plan: what this rank is about to use: a Plan, of which the fingerprint is compared, with sizes and the order of
            replicas; or a placement, integers [L,S], of which the experts are.
        group: of torch.distributed; None is all ranks.

    Raises:
        GroupError: plans that differ, with the fingerprint of each; `ranks` are those that differ from most. A rank
            that failed or does not answer.
        InvalidArgument: neither a plan nor integers [L,S].
    """
    members = Members(group)
    fault: Exception | None = None
    value = 0
    try:
        value = _fingerprint(plan)
    except Exception as error:
        fault = error
    kind = b"plan" if isinstance(plan, Plan) else b"placement"
    # In int64, which a fingerprint may exceed.
    numbers = members.agree("check_agreement", {"the kind of plan": kind}, fault, value - _WORD // 2)
    values = [number + _WORD // 2 for number in numbers]
    refuse_difference("the plan", values, lambda value: f"{value:016x}")


def _fingerprint(plan: Any) -> int:
    if isinstance(plan, Plan):
        return plan.fingerprint
    return placement_fingerprint(placement_to_host(plan, "plan"))
