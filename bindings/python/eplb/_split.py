"""Tokens of every expert over its replicas, for a placement that stays as it is."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Array, Flags, Floats, Ints, current_to_host, weights_to_host
from ._cluster import Cluster, sizes_with
from ._figures import worst_layers
from ._files.values import counted
from ._last_problem import LastProblem
from ._library import invalid_argument
from ._loads import mean_with_load
from ._plan import Plan
from ._session import Session
from ._shown import Showing, Shown
from ._tables import Tables
from ._thread_session import keep_session, take_session

# Up to here, nobody asks why a layer is not level.
_LEVEL = 1.01


@dataclass(frozen=True, eq=False)
class Split(Showing):
    """Which part of an expert's tokens each of its replicas gets, and what that makes of the loads of GPUs.

    "Mean" and "worst" are over layers, means over those that have load. It can be copied and pickled; the arrays belong
    to the caller.

    Attributes:
        imbalance_mean, imbalance_worst: of the model, and of its worst layer, with tokens split like this.
        worst_layer: the lowest layer that has imbalance_worst.
        bound_mean: mean of bound / mean load: over this placement, no split has a lower imbalance_mean.
        gap_mean, gap_worst: of largest load / bound - 1, what tolerance and whole tokens leave.
        num_empty_layers: layers without load, which are left out of all means.
        tolerance: as it was given.
        share: int64 [L,S], an expert's tokens over its slots in 1/65536, which add up to 65536. Of its slots on one GPU
            the lowest has all. An expert without tokens is split evenly, in proportion to speeds.
        quota: float64 [L,S], the same in tokens, the weights' unit; whole numbers if these are integers.
        gpu_load: float64 [L,G], the quotas of each GPU, added up.
        imbalance: float64 [L], largest over mean GPU load; of GPUs of different speeds, time.
        bound: float64 [L], no split over this placement has a largest load (time, if speeds differ) below it, in the
            weights' unit.
        gap: float64 [L].
        tight: bool [L,G], the GPUs that the bound is of: the weight of experts that are on no others, divided by the
            speeds of these, whose mean is 1.
    """

    imbalance_mean: float
    imbalance_worst: float
    worst_layer: int
    bound_mean: float
    gap_mean: float
    gap_worst: float
    num_empty_layers: int
    tolerance: float
    share: Ints = dataclasses.field(repr=False)
    quota: Floats = dataclasses.field(repr=False)
    gpu_load: Floats = dataclasses.field(repr=False)
    imbalance: Floats = dataclasses.field(repr=False)
    bound: Floats = dataclasses.field(repr=False)
    gap: Floats = dataclasses.field(repr=False)
    tight: Flags = dataclasses.field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain Python numbers and lists, ready for JSON; shares, quotas and loads are left out."""
        figures: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[:8]}
        by_layer = {name: getattr(self, name).tolist() for name in ("imbalance", "bound", "gap")}
        return {**figures, **by_layer, "tight": [np.flatnonzero(row).tolist() for row in self.tight]}

    def _about(self) -> str:
        (layers, slots), gpus = self.share.shape, self.gpu_load.shape[1]
        return f"{counted(layers, 'layer')}, {slots} slots of {counted(gpus, 'GPU')}"

    def _show(self) -> Shown:
        columns = "", "imbalance: mean", "worst layer", "bound", "gap: mean", "worst layer"
        figures = [f"{each:.4f}" for each in (self.imbalance_mean, self.imbalance_worst, self.bound_mean)]
        row = "tokens split", *figures, f"{self.gap_mean:.3%}", f"{self.gap_worst:.3%}"
        return Shown(self._title(), columns, [row], self.sentences())

    def sentences(self, layers: Ints | None = None) -> list[str]:
        """What it comes to: the worst layers, what keeps layers from being level, and the busiest GPU.

        Args:
            layers: the number of each; None: 0, 1, 2, ...
        """
        said, numbers = [], np.arange(len(self.imbalance)) if layers is None else layers
        if len(self.imbalance) > 1:
            worst = [f"{numbers[layer]} ({self.imbalance[layer]:.4f})" for layer in worst_layers(self.imbalance)]
            said.append(f"With tokens split, the worst layers are {', '.join(worst)}.")
        alone = int(((self.tight.sum(axis=1) == 1) & (self.imbalance > _LEVEL)).sum())
        if alone:
            where = f"In {alone} of {counted(len(self.imbalance), 'layer')}"
            said.append(f"{where}, one GPU has too much of experts that are on no other: only moves help there.")
        carries = f"With tokens split, the busiest GPU carries {self.imbalance_mean:.3f}x the mean"
        return [*said, f"{carries}; no split over this placement gets below {self.bound_mean:.3f}x."]


def read_tolerance(tolerance: Any) -> float:
    """A tolerance as callers give it."""
    try:
        number = math.nan if isinstance(tolerance, (str, bytes, bool)) else float(tolerance)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise invalid_argument(f"tolerance is {tolerance!r}, must be 0 to 1")
    return number


def gpus_to_split_on(
    plan_or_placement: Any, num_gpus: Any, cluster: Cluster | None, last: LastProblem
) -> tuple[Any, Cluster | None]:
    """The number of GPUs of a call, and their cluster, which a plan may know, or the last solve."""
    if cluster is not None:
        return sizes_with(cluster, num_gpus, None)[0], cluster
    if isinstance(plan_or_placement, Plan) and num_gpus in (None, plan_or_placement.num_gpus):
        return plan_or_placement.num_gpus, plan_or_placement._answer("cluster")
    if num_gpus is None:
        num_gpus = getattr(plan_or_placement, "num_gpus", None)
    others = [None] * (len(last.values) - 2)
    values, cluster, _ = last.with_given(None, None, 0, num_gpus, *others)
    return values[1], cluster


def set_split_problem(session: Session, placement: Any, num_gpus: Any, cluster: Cluster | None) -> None:
    """Any placement of a shape [L,S] is one to split tokens over, whatever its groups."""
    nodes = 1 if cluster is None else cluster.num_nodes
    session.set_problem(placement.shape[1], num_gpus, nodes, 1, "global", "simple")


def split(session: Session, placement: Array, tolerance: float) -> Split:
    """Splits the weights that a session has over a placement [L,S], for the session's problem."""
    session.split(placement, tolerance)
    return split_of(session, (*placement.shape, session.problem.num_gpus), tolerance)


def split_of(session: Session, sizes: tuple[int, ...], tolerance: float) -> Split:
    """The last split of a session; sizes: its layers, slots and GPUs."""
    layers, slots, gpus = sizes
    return Split(
        **balance(session, "split", layers, gpus),
        tolerance=tolerance,
        share=session.ints("share", (layers, slots)),
        quota=session.floats("quota", (layers, slots)),
        tight=session.ints("split_tight", (layers, gpus)) != 0,
    )


def balance(session: Session, kind: str, layers: int, gpus: int) -> dict[str, Any]:
    """What loads come to, by the fields of a result: those of a "split" or a "dispatch", as maps are called."""
    load = session.floats(f"{kind}_load", (layers, gpus))
    imbalance, bound = (session.floats(f"{kind}_{name}", (layers,)) for name in ("imbalance", "bound"))
    mean_load = load.sum(axis=1) / (gpus if session.cluster is None else session.cluster.num_open_gpus)
    loaded = mean_load > 0
    relative_bound = np.divide(bound, mean_load, out=np.ones(layers), where=loaded)
    gap = np.divide(imbalance, relative_bound, out=np.ones(layers), where=loaded) - 1
    worst = int(np.argmax(imbalance))
    return {
        "imbalance_mean": mean_with_load(imbalance, loaded),
        "imbalance_worst": float(imbalance[worst]),
        "worst_layer": worst,
        "bound_mean": mean_with_load(relative_bound, loaded),
        "gap_mean": float(gap[loaded].mean()) if loaded.any() else 0.0,
        "gap_worst": float(gap.max()),
        "num_empty_layers": int((~loaded).sum()),
        "gpu_load": load,
        "imbalance": imbalance,
        "bound": bound,
        "gap": gap,
    }


def split_tokens(
    weights: Any,
    plan_or_placement: Any,
    num_gpus: int | None = None,
    *,
    cluster: Cluster | None = None,
    tolerance: float = 0.0,
) -> Split:
    """Context.split without a context: splits the tokens of every expert over its replicas.

    Each thread keeps what follows from the placement of its last call, and a call with an equal one begins there.

    Args:
        weights: [L,E], the tokens routed to each expert, or [T,L,E], of which the sum counts.
        plan_or_placement, cluster, tolerance: as for Context.split.
        num_gpus: GPUs that the slots are on; None takes those of the cluster, or else of the plan.

    Raises:
        InvalidArgument, InvalidPlacement, InvalidWeight: as Context.split.
    """
    array = weights_to_host(weights)[0]
    placement = current_to_host(plan_or_placement, array.shape[-2], "plan_or_placement")
    tolerated = read_tolerance(tolerance)
    session = take_session()
    try:
        on = gpus_to_split_on(plan_or_placement, num_gpus, cluster, LastProblem())
        set_split_problem(session, placement, *on)
        session.set_tables(Tables(on[1]))
        session.upload(array)
        return split(session, placement, tolerated)
    finally:
        keep_session(session)
