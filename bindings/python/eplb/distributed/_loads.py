"""Loads of all ranks from those that each rank has counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import Deliver, Ints, to_host
from .._errors import InvalidWeight
from .._library import STATUSES, invalid_argument
from ._group import Members

_LIMIT = 2**63
_LOW = 2**32


def all_reduce_loads(local: Any, group: Any = None) -> Any:
    """Sums what ranks have counted: the loads of all from the loads that each rank has seen. Collective.

    Sums are exact: counts become int64 before they are added, not after, and a sum that int64 cannot hold is refused.
    So 16777217 tokens in float32, or 2^31 in int32, are nobody's surprise.

    Args:
        local: counts of this rank, of any shape, such as [L,E] or [T,L,E]: a torch tensor, numpy array, DLPack array or
            nested lists of any integer or float type. Each is whole, finite and at least 0.
        group: of torch.distributed; None is all ranks.

    Returns:
        int64, of the shape and kind of `local`, and where it is; the same on every rank.

    Raises:
        InvalidWeight: a count that is negative, not whole, NaN or infinite, naming rank and place; a sum of 2^63 or
            more. Every rank raises the same error.
        InvalidArgument: no numbers.
        GroupError: shapes that differ from rank to rank; a rank that failed or does not answer.
    """
    members = Members(group)
    fault: Exception | None = None
    counts = np.zeros(0, np.int64)
    deliver: Deliver | None = None
    try:
        counts, deliver = _read_counts(local)
    except Exception as error:
        fault = error
    facts = {"the shape of local": repr(counts.shape).encode()}
    largest = members.agree("all_reduce_loads", facts, fault, int(counts.max(initial=0)))
    assert deliver is not None, "without a fault there is one"
    return deliver(members.sum(counts) if sum(largest) < _LIMIT else _sum_halves(members, counts))


def _read_counts(local: Any) -> tuple[Ints, Deliver]:
    array, deliver = to_host("local", local)
    # numpy does not count the bfloat16 of ml_dtypes among its floats.
    if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
        raise invalid_argument(f"local has dtype {array.dtype.name}, must be integers or floats")
    if array.dtype.kind not in "iu":
        array = array.astype(np.float64)
        with np.errstate(invalid="ignore"):
            good = (array >= 0) & (array < _LIMIT) & (np.floor(array) == array)
    else:
        good = (array >= 0) & (array <= array.dtype.type(min(_LIMIT - 1, np.iinfo(array.dtype).max)))
    bad = np.argwhere(~good)
    if len(bad):
        place = ", ".join(map(str, bad[0]))
        raise _invalid(f"local[{place}] is {array[tuple(bad[0])]}, must be a whole number from 0 to 2^63 - 1")
    return np.ascontiguousarray(array, np.int64).reshape(array.shape), deliver


def _sum_halves(members: Members, counts: Ints) -> Ints:
    """The sum where int64 might overflow: as halves, which cannot."""
    low = members.sum(counts % _LOW)
    high = members.sum(counts // _LOW) + low // _LOW
    above = np.argwhere(high >= _LIMIT // _LOW)
    if len(above):
        place = tuple(above[0])
        total = int(high[place]) * _LOW + int(low[place]) % _LOW
        raise _invalid(f"local[{', '.join(map(str, place))}] has the sum {total} over all ranks, must be below 2^63")
    total_counts: Ints = high * _LOW + low % _LOW
    return total_counts


def _invalid(text: str) -> InvalidWeight:
    return InvalidWeight(text, STATUSES["invalid_weight"], "EPLB_INVALID_WEIGHT")
