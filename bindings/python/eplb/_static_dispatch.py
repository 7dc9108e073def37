"""Which replica of an expert each source rank uses for all of its tokens."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Array, Floats, Ints, current_to_host, weights_to_host
from ._by_name import sizes_by_name
from ._cluster import Cluster, sizes_with
from ._figures import worst_layers
from ._files.values import counted
from ._last_problem import LastProblem
from ._library import POLICIES, groups_of, integer, value_of
from ._move_limits import count_limit
from ._plan import Plan
from ._session import Session
from ._shown import Showing, Shown
from ._split import balance, read_tolerance
from ._tables import Tables
from ._thread_session import keep_session, take_session


@dataclass(frozen=True, eq=False)
class StaticDispatch(Showing):
    """Which slot each source rank uses of an expert, for all of its tokens, and what that makes of the loads of GPUs.

    "Mean" and "worst" are over layers, means over those that have load. It can be copied and pickled; the arrays belong
    to the caller.

    Attributes:
        imbalance_mean, imbalance_worst: of the model, and of its worst layer, with ranks of equally many tokens.
        worst_layer: the lowest layer that has imbalance_worst.
        bound_mean: mean of bound / mean load: no table has a lower imbalance_mean.
        gap_mean, gap_worst: of largest load / bound - 1. How far it is from the best table is not known: that may be
            above the bound, too, since parts of an expert are whole ranks.
        num_empty_layers: layers without load, which are left out of all means.
        layers_changed: layers in which slots have exchanged their experts.
        num_ranks: source ranks, R. Rank r is on GPU r * G // R.
        max_swaps: pairs of slots that a layer might exchange; None: any number.
        tolerance: as it was given.
        slot: int64 [L,R,E], the slot that a rank uses of an expert.
        placement: int64 [L,S], the expert in each slot, which is what must be loaded; the one that was given unless
            layers_changed.
        ranks: int64 [L,S], how many ranks use the slot: R for each expert.
        slots_written: int64 [L], slots whose expert is another one than in the placement that was given.
        gpu_load: float64 [L,G], of each slot, the tokens of its expert times its part of the ranks, added up.
        imbalance: float64 [L], largest over mean GPU load; of GPUs of different speeds, time.
        bound: float64 [L], no split of tokens over this placement has a largest load (time, if speeds differ) below it,
            in the weights' unit; with swaps, none over any placement.
        gap: float64 [L].
    """

    imbalance_mean: float
    imbalance_worst: float
    worst_layer: int
    bound_mean: float
    gap_mean: float
    gap_worst: float
    num_empty_layers: int
    layers_changed: int
    num_ranks: int
    max_swaps: int | None
    tolerance: float
    slot: Ints = dataclasses.field(repr=False)
    placement: Ints = dataclasses.field(repr=False)
    ranks: Ints = dataclasses.field(repr=False)
    slots_written: Ints = dataclasses.field(repr=False)
    gpu_load: Floats = dataclasses.field(repr=False)
    imbalance: Floats = dataclasses.field(repr=False)
    bound: Floats = dataclasses.field(repr=False)
    gap: Floats = dataclasses.field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain Python numbers and lists, ready for JSON; table, placement and loads are left out."""
        figures: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[:11]}
        by_layer = ("slots_written", "imbalance", "bound", "gap")
        return {**figures, **{name: getattr(self, name).tolist() for name in by_layer}}

    def _about(self) -> str:
        (layers, slots), gpus = self.placement.shape, self.gpu_load.shape[1]
        sizes = f"{slots} slots of {counted(gpus, 'GPU')}, {counted(self.num_ranks, 'rank')}"
        return f"{counted(layers, 'layer')}, {sizes}"

    def _show(self) -> Shown:
        columns = "", "imbalance: mean", "worst layer", "bound", "gap: mean", "worst layer"
        figures = [f"{each:.4f}" for each in (self.imbalance_mean, self.imbalance_worst, self.bound_mean)]
        row = "static dispatch", *figures, f"{self.gap_mean:.3%}", f"{self.gap_worst:.3%}"
        return Shown(self._title(), columns, [row], self.sentences())

    def sentences(self, layers: Ints | None = None) -> list[str]:
        """What it comes to: the worst layers, what has to be loaded, and the busiest GPU.

        Args:
            layers: the number of each; None: 0, 1, 2, ...
        """
        said, numbers = [], np.arange(len(self.imbalance)) if layers is None else layers
        if len(self.imbalance) > 1:
            worst = [f"{numbers[layer]} ({self.imbalance[layer]:.4f})" for layer in worst_layers(self.imbalance)]
            said.append(f"With static dispatch, the worst layers are {', '.join(worst)}.")
        carries = f"the busiest GPU carries {self.imbalance_mean:.4f}x the mean"
        of = "this" if self.max_swaps == 0 else "any"
        return [*said, f"{self._how()}, {carries}; no split over {of} placement gets below {self.bound_mean:.4f}x."]

    def _how(self) -> str:
        if not self.layers_changed:
            return "With static dispatch" if self.max_swaps == 0 else "No swap helps: with static dispatch"
        written = counted(int(self.slots_written.sum()), "slot")
        where = f"{self.layers_changed} of {counted(len(self.imbalance), 'layer')}"
        return f"After swaps, which write {written} in {where} and make another placement"


class Asked:
    """What a call asks for, checked as far as it can be without the library, but for the GPUs.

    Args:
        sizes: num_gpus, num_nodes, num_groups and policy.
    """

    def __init__(
        self,
        plan_or_placement: Any,
        sizes: tuple[Any, ...],
        cluster: Any,
        num_ranks: Any,
        max_swaps: Any,
        tolerance: Any,
    ) -> None:
        self._given, self._sizes, self._cluster = plan_or_placement, sizes, cluster
        self.num_ranks = 0 if num_ranks is None else integer("num_ranks", num_ranks)
        self.max_swaps = count_limit("max_swaps", max_swaps, "0")
        self.tolerance = read_tolerance(tolerance)
        if sizes[3] is not None:
            value_of(POLICIES, "policy", sizes[3])
        if sizes[2] is not None:
            groups_of(sizes[2])

    def set_problem(self, session: Session, placement: Array, last: LastProblem) -> Cluster | None:
        """The cluster is still to be set. last: what was solved last, for a placement that does not know its GPUs."""
        (gpus, nodes, groups, policy), cluster = self._problem(last)
        # Only swaps have to keep groups whole, and under one policy only: otherwise, any placement will do.
        keeps_groups = policy.lower() == "hierarchical" or (policy.lower() == "auto" and groups_of(groups) > 1)
        if self.max_swaps == 0 or not keeps_groups:
            groups, policy = 1, "global"
        session.set_problem(placement.shape[1], gpus, nodes, groups, policy, "simple")
        return cluster

    def _problem(self, last: LastProblem) -> tuple[list[Any], Cluster | None]:
        plan, num_gpus = self._given, self._sizes[0]
        if isinstance(plan, Plan) and num_gpus in (None, plan.num_gpus):
            known = None, plan.num_gpus, *plan._answer("grouping"), *last.values[5:]
            last = LastProblem(known, plan._answer("cluster"))
        elif num_gpus is None and self._cluster is None:
            num_gpus = getattr(plan, "num_gpus", None)
        others = [None] * (len(last.values) - 5)
        values, cluster, _ = last.with_given(self._cluster, None, 0, num_gpus, *self._sizes[1:], *others)
        if cluster is not None:
            sizes_with(cluster, num_gpus, self._sizes[1])
        return values[1:5], cluster


def static_dispatch_of(session: Session, placement: Array, asked: Asked) -> StaticDispatch:
    """The weights that a session has over a placement [L,S], for the session's problem."""
    swaps = -1 if asked.max_swaps is None else asked.max_swaps
    session.dispatch(placement, asked.num_ranks, swaps, asked.tolerance)
    (layers, slots), ranks = placement.shape, asked.num_ranks or session.problem.num_gpus
    after = session.ints("dispatch_placement", (layers, slots))
    written = (after != placement).sum(axis=1)
    return StaticDispatch(
        **balance(session, "dispatch", layers, session.problem.num_gpus),
        layers_changed=int((written > 0).sum()),
        num_ranks=ranks,
        max_swaps=asked.max_swaps,
        tolerance=asked.tolerance,
        slot=session.ints("dispatch_slot"),
        placement=after,
        ranks=session.ints("dispatch_ranks", (layers, slots)),
        slots_written=written,
    )


@sizes_by_name
def static_dispatch(
    weights: Any,
    plan_or_placement: Any,
    num_gpus: int | None = None,
    *,
    num_ranks: int | None = None,
    num_nodes: int | None = None,
    num_groups: int | None = None,
    policy: str | None = None,
    cluster: Cluster | None = None,
    max_swaps: int | None = 0,
    tolerance: float = 0.0,
) -> StaticDispatch:
    """Context.static_dispatch without a context: chooses the slot that each source rank uses of an expert.

    Each thread keeps what follows from the placement of its last call, and a call with an equal one begins there.

    Args:
        weights: [L,E], the tokens routed to each expert, or [T,L,E], of which the sum counts.
        plan_or_placement, num_ranks, cluster, max_swaps, tolerance: as for Context.static_dispatch.
        num_gpus, num_nodes, num_groups, policy: None takes those of the cluster, or else of the plan; without either,
            one node, one group and "auto".

    Raises:
        InvalidArgument, InvalidPlacement, InvalidWeight: as Context.static_dispatch.
    """
    array = weights_to_host(weights)[0]
    placement = current_to_host(plan_or_placement, array.shape[-2], "plan_or_placement")
    sizes = num_gpus, num_nodes, num_groups, policy
    asked = Asked(plan_or_placement, sizes, cluster, num_ranks, max_swaps, tolerance)
    session = take_session()
    try:
        session.set_tables(Tables(asked.set_problem(session, placement, LastProblem())))
        session.upload(array)
        return static_dispatch_of(session, placement, asked)
    finally:
        keep_session(session)
