"""vllm-ascend: a policy of its older control plane, which counts loads by slot. See docs/engines.md for the patch."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import placement_to_host, to_host
from .._library import invalid_argument
from .._maps import loads_of
from ._kinds import delivery
from ._options import Options
from ._planner import Question, answer, sum_of_windows
from ._start import announce, options_or_default


def plan(
    current_expert_table: Any,
    expert_workload: Any,
    *,
    num_npus: int | None = None,
    options: Options | None = None,
) -> tuple[int, list[int], Any]:
    """The next table: rebalance_experts of vllm-ascend's policies, with its names and order.

    What its worker checks holds by construction, else it undoes the layer: no expert vanishes, none is twice on an
    NPU, and what stays on an NPU stays in its slot.

    Args:
        current_expert_table: integers [layers, NPUs, slots], the expert in each slot.
        expert_workload: numbers of the same shape, the tokens of each slot; or [stages, ...], which are summed.
        num_npus: of the new table; None: as many as now. Otherwise the last ones leave, or ones without experts join.
        options: how; None is what EPLB_ENGINE says.

    Returns:
        1 or 0, whether any layer changes; the layers that do; and the table [layers, num_npus, slots], of the kind and
        integer type of current_expert_table.

    Raises:
        InvalidArgument: the strategy greedy, which puts experts twice on an NPU; shapes that do not fit each other.
        InvalidWeight: only where NPUs join or leave; otherwise the table is kept, and the error is logged.
    """
    chosen = _checked(options_or_default(options))
    table, _ = to_host("current_expert_table", current_expert_table)
    if table.ndim != 3 or table.dtype.kind not in "iu":
        found = f"{table.dtype.name} of {table.ndim} dimensions"
        raise invalid_argument(f"current_expert_table is {found}, must be integers [layers, NPUs, slots]")
    layers, npus, places = table.shape
    current = placement_to_host(table.reshape(layers, -1), "current_expert_table")
    loads = _loads(expert_workload, current, table.shape)
    after = npus if num_npus is None else num_npus
    placement = answer(loads, Question("vllm_ascend", after * places, 1, 1, after, current), chosen)
    is_changed = (placement != current).any(axis=1) if after == npus else np.ones(layers, bool)
    new = placement.reshape(layers, after, places).astype(table.dtype)
    return int(is_changed.any()), np.flatnonzero(is_changed).tolist(), delivery(current_expert_table)(new)


class Policy:
    """What PolicyFactory.generate_policy returns; it can be pickled, for the process that plans.

    Raises:
        InvalidArgument: EPLB_ENGINE has an unknown word, a value that is not allowed, or the strategy greedy.
    """

    def __init__(self, *_: Any) -> None:
        self._options = _checked(options_or_default(None))
        self._num_npus: int | None = None
        announce("vllm_ascend", self._options)

    def set_new_ep_size(self, new_ep_size: int) -> None:
        """The next plan is for that number of NPUs."""
        self._num_npus = int(new_ep_size)

    def rebalance_experts(self, current_expert_table: Any, expert_workload: Any) -> tuple[int, list[int], Any]:
        """See plan."""
        after, self._num_npus = self._num_npus, None
        return plan(current_expert_table, expert_workload, num_npus=after, options=self._options)


def _checked(options: Options) -> Options:
    if options.strategy == "greedy":
        text = "the strategy is greedy, which puts experts twice on an NPU, and vllm-ascend refuses such layers"
        raise invalid_argument(f"{text}: must be rebalance or best")
    return options


def _loads(expert_workload: Any, current: Any, shape: tuple[int, ...]) -> Any:
    loads, _ = to_host("expert_workload", expert_workload)
    if loads.ndim not in (3, 4) or loads.shape[-3:] != shape:
        sizes = f"expert_workload is {list(loads.shape)} and current_expert_table {list(shape)}"
        raise invalid_argument(f"{sizes}: they must be the same, but for stages in front")
    by_slot = loads.reshape(*loads.shape[:-2], -1)
    return loads_of(sum_of_windows(by_slot), current, int(current.max(initial=0)) + 1)
