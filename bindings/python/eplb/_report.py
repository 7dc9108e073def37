"""How good a placement is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Floats, Ints
from ._figures import report_table, sentences_of
from ._files.values import counted
from ._library import BOUND_KINDS, POLICIES, POLICY_REASONS, STRATEGIES, name_of
from ._shown import Showing, Shown


@dataclass(frozen=True, eq=False)
class Report(Showing):
    """How good a placement is under the weights it was solved for, or evaluated with.

    The imbalance of a layer is the largest GPU load over the mean GPU load: 1 is perfect. A bound is a proven lower
    bound on the largest GPU load of a layer, the same for every strategy; the gap is largest load / bound - 1, so the
    placement is at most that far from the optimum. "Mean" and "worst" are over layers, means over those that
    have load.

    Attributes:
        imbalance_mean, imbalance_worst: of the model, and of its worst layer.
        worst_layer: the lowest layer that has imbalance_worst.
        bound_mean: mean of bound / mean load: no placement has a lower imbalance_mean.
        gap_mean, gap_worst: see above; 0.01 is one percent.
        duplicates: slots whose expert already sits in a lower slot of the same GPU, over all layers.
        duplicates_unavoidable: those that every placement with the same replica counts has.
        microseconds: time of the solve, or of the evaluation, inside the library; Plan says what it is when read late.
        context_bytes: memory that the context holds, weights and plan included; the same applies.
        layers_changed: layers that differ from the current placement of the solve; this and what follows up to
            layers_missed is over all layers, and 0 without one.
        moves: GPUs and experts that they get.
        moves_between_nodes, reloads: slots that get their contents from another node; whose expert no slot holds.
        rounds: of transfers; layers follow each other.
        most_sent, most_received: by one GPU in one layer.
        experts_on_one_gpu: experts all of whose replicas are on one GPU, and lost with it: of the layer and GPU where
            they are most.
        moves_forced: moves of experts that can stay on no GPU. No plan has fewer moves.
        moves_bound: the same, and for a rebalance with a target what reaching it takes at least.
        layers_missed: layers above the target of a rebalance.
        num_empty_layers: layers without load, which are left out of all means.
        num_windows: windows of the weights; 0 if they were not kept, as of more than 64, and of weights on a device for
            which less was reserved: what follows is then 0, too.
        num_empty_windows: windows in which no layer has load.
        windows_mean, windows_worst: of the imbalance in each window, over layers and windows where there is load.
        worst_window, worst_window_layer: the lowest window that has windows_worst, and the lowest layer there.
        off_home_mean, off_home_worst: the off-home share, which is the load that is served away from its group's home
            node over all load; a group's home is the node that serves most of it.
        off_home_bound_mean: with these homes, no placement whose imbalance is at most off_home_target has a smaller
            off_home_mean.
        num_nodes, num_groups, off_home_target: what these are for, as the solve or the evaluation was given them.
        strategy: what solved it; None for a placement that was evaluated.
        policy, policy_reason: what was used, never "auto", and why: "asked", "groups_divide" or "groups_do_not".
        bound_kind: which bound the gaps are over.
        imbalance, bound, gap: float64 [L]; bounds are in the weights' unit.
        layer_duplicates: int64 [L].
    """

    imbalance_mean: float
    imbalance_worst: float
    worst_layer: int
    bound_mean: float
    gap_mean: float
    gap_worst: float
    duplicates: int
    duplicates_unavoidable: int
    microseconds: float
    context_bytes: int
    layers_changed: int
    moves: int
    moves_between_nodes: int
    reloads: int
    rounds: int
    most_sent: int
    most_received: int
    experts_on_one_gpu: int
    moves_forced: int
    moves_bound: int
    layers_missed: int
    num_empty_layers: int
    num_windows: int
    num_empty_windows: int
    windows_mean: float
    windows_worst: float
    worst_window: int
    worst_window_layer: int
    off_home_mean: float
    off_home_worst: float
    off_home_bound_mean: float
    num_nodes: int
    num_groups: int
    off_home_target: float
    strategy: str | None
    policy: str
    policy_reason: str
    bound_kind: str
    imbalance: Floats = dataclasses.field(repr=False)
    bound: Floats = dataclasses.field(repr=False)
    gap: Floats = dataclasses.field(repr=False)
    layer_duplicates: Ints = dataclasses.field(repr=False)

    def summary(self) -> dict[str, Any]:
        """The figures over all layers as plain Python numbers and strings, ready for JSON."""
        return {name: value for name, value in self.to_dict().items() if not isinstance(value, list)}

    def _show(self) -> Shown:
        return show_report(self, f"{type(self).__name__} of {counted(len(self.imbalance), 'layer')}")

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain Python numbers, strings and lists, ready for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(Report)}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}


def show_report(report: Report, title: str, warnings: Sequence[str] = ()) -> Shown:
    """What there is to say of a placement, under a title that names it. warnings: those of a plan."""
    where = f" on {report.num_nodes} nodes, policy {report.policy}" if report.num_nodes > 1 else ""
    columns, *rows = report_table({report.strategy or "placement": report})
    return Shown(title + where, columns, rows, sentences_of(report, warnings))


class Grouping(NamedTuple):
    """What of a problem says where groups are at home, and how much may be away. Fields of a report."""

    num_nodes: int
    num_groups: int
    off_home_target: float


def grouping_of(problem: Any) -> Grouping:
    """That of the C struct."""
    return Grouping(problem.num_nodes, problem.num_groups, problem.off_home_target)


# Fields copied from the C struct without conversion.
_SCALARS = [
    field.name
    for field in dataclasses.fields(Report)
    if field.type in ("float", "int") and field.name not in Grouping._fields
]


def make_report(
    c_report: Any, imbalance: Floats, bound: Floats, duplicates: Ints, mean_load: Floats, grouping: Grouping
) -> Report:
    """A Report from the C struct and the figures of layers; mean_load is the mean load of their GPUs, float64 [L]."""
    bounded = bound > 0
    # A layer without weight has no gap.
    gap = np.divide(imbalance * mean_load, bound, out=np.zeros(len(bound)), where=bounded) - bounded
    evaluated = c_report.strategy < 0
    return Report(
        **{name: getattr(c_report, name) for name in _SCALARS},
        **grouping._asdict(),
        strategy=None if evaluated else name_of(STRATEGIES, c_report.strategy),
        policy=name_of(POLICIES, c_report.policy),
        policy_reason=name_of(POLICY_REASONS, c_report.policy_reason),
        bound_kind=name_of(BOUND_KINDS, c_report.bound_kind),
        imbalance=imbalance,
        bound=bound,
        gap=gap,
        layer_duplicates=duplicates,
    )
