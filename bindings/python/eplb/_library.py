"""The loaded library: cffi's two objects, the constants by name, and the check of every status."""

from __future__ import annotations

import math
import operator
from typing import Any

from ._errors import InvalidArgument, InvalidState, error_for
from ._loader import load
from ._wording import in_python

ffi: Any
lib: Any
ffi, lib, _header, path = load()

STRATEGIES = _header.constants["strategy"]
# The other one starts from a placement, which Context.rebalance and the command rebalance have.
FROM_NOTHING = [name for name in STRATEGIES if name != "rebalance"]
EFFORTS = _header.constants["effort"]
POLICIES = _header.constants["policy"]
POLICY_REASONS = _header.constants["policy_reason"]
BOUND_KINDS = _header.constants["bound_kind"]
OBJECTIVES = _header.constants["objective"]
TRANSFER_ORDERS = _header.constants["transfer_order"]
MAPS = _header.constants["map"]
DTYPES = _header.constants["dtype"]
DEVICE_KINDS = _header.constants["device_kind"]
STATUSES = _header.constants["status"]
STATUS_NAMES = _header.full_names["status"]
# Of constants that are arguments in Python: by what C calls them.
_PYTHON_NAMES = {
    _header.full_names[kind][value]: name
    for kind in ("strategy", "effort", "policy", "bound_kind", "objective", "transfer_order", "map", "dtype")
    for name, value in _header.constants[kind].items()
}
# A report may have others.
BOUNDS_TO_ASK_FOR = {name: value for name, value in BOUND_KINDS.items() if name != "node"}


def check(status: int, error: Any) -> None:
    """Raises the error that a call returned, unless it succeeded."""
    if status:
        text: str = ffi.string(error.text).decode("utf-8", "replace")
        raise error_for(status, status_name(status), in_python(text, _PYTHON_NAMES))


def status_name(status: int) -> str:
    text: bytes = ffi.string(lib.eplb_status_name(status))
    return text.decode()


def invalid_argument(text: str) -> InvalidArgument:
    """For mistakes that never reach C: a wrong Python type, an unknown name."""
    return InvalidArgument(text, STATUSES["invalid_argument"], "EPLB_INVALID_ARGUMENT")


def invalid_state(text: str) -> InvalidState:
    """For mistakes that never reach C: a wrong order of calls."""
    return InvalidState(text, STATUSES["invalid_state"], "EPLB_INVALID_STATE")


def integer(argument: str, value: Any, low: int = -(2**63), high: int = 2**63 - 1) -> int:
    """Checks an integer argument: rejects 288.0, "288" and True, accepts numpy's integers."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise invalid_argument(f"{argument} is {value!r}, must be an integer") from None
    if not low <= number <= high:
        raise invalid_argument(f"{argument} is {number}, must be {low} to {high}")
    return number


def positive(argument: str, value: Any) -> float | None:
    """Checks a number above 0 and finite; None stays None."""
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise invalid_argument(f"{argument} is {value!r}, must be a number above 0")
    return number


# No layer has more.
MOST_SLOTS = 2**18


def groups_of(num_groups: Any) -> int:
    """The argument num_groups, of which None and 0 are 1: so engines call models without groups."""
    return 1 if num_groups is None else integer("num_groups", num_groups) or 1


def value_of(constants: dict[str, int], argument: str, name: Any) -> int:
    """The value of a constant by name, in upper or lower case."""
    try:
        return constants[name]
    except (KeyError, TypeError):
        pass
    if isinstance(name, str) and name.lower() in constants:
        return constants[name.lower()]
    raise invalid_argument(f"{argument} is {name!r}, must be one of {', '.join(constants)}")


def name_of(constants: dict[str, int], value: int) -> str:
    """The name of a value; the number itself if a later library has added it."""
    for name, each in constants.items():
        if each == value:
            return name
    return str(value)


def version() -> str:
    text: bytes = ffi.string(lib.eplb_version_string())
    return text.decode()
