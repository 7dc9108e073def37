"""What a plan is made of whose layers were solved in several processes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import Array, Floats, Ints
from ._fingerprint import plan_fingerprint
from ._session import Session
from ._solution import Solution, place_replicas, restore_slots, smallest_ints
from ._windows import KeptWeights

# Of a report: what the solve alone knows of layers, or what is cheaper to add than to work out again.
SUMS_OF_LAYERS = (
    "layers_changed",
    "moves",
    "moves_between_nodes",
    "reloads",
    "rounds",
    "moves_forced",
    "moves_bound",
    "layers_missed",
)
LARGEST_OF_LAYERS = ("most_sent", "most_received")
# Of a layer, if a plan may have empty slots.
BOUNDS_OF_LAYERS = ("bound", "bound_share", "gap")


class GatheredSolution(Solution):
    """Answers follow from the integers by an evaluation, as those of any plan whose context went on; same bits.

    Args:
        session: with the problem of all layers; it has solved nothing.
        weights: of all layers.
        microseconds: that the solve took, with waiting for other processes.
        slots, count: replica_slots [L,S] and replica_count [L,E].
        moves: what a report says of moves, by name; empty without a current placement.
        bounds: BOUNDS_OF_LAYERS [L] and window_bound [L,T], by name; empty if all slots are filled.
    """

    def __init__(
        self,
        session: Session,
        weights: KeptWeights,
        microseconds: float,
        slots: Array,
        count: Array,
        moves: dict[str, int],
        bounds: dict[str, Floats],
    ) -> None:
        super().__init__(session, None, weights, microseconds)
        _, experts, num_slots, num_gpus = self.terms.sizes
        compact = slots.astype(smallest_ints(num_slots - 1)), count.astype(smallest_ints(num_slots - experts + 1))
        placement = place_replicas(*compact)
        self._replicas = compact
        self._answers["physical_to_logical"] = placement
        self._fingerprint = plan_fingerprint(placement, restore_slots(*compact), experts, num_gpus)
        self._of_moves = moves
        self._bounds = bounds
        if "window_bound" in bounds:
            self._answers["window_bound"] = bounds["window_bound"]

    def _can_evaluate(self) -> bool:
        return True

    def _evaluate(self, weights: KeptWeights, placement: Ints) -> tuple[Any, Floats, Floats, Ints]:
        c_report, imbalance, bound, duplicates = super()._evaluate(weights, placement)
        for name, value in self._of_moves.items():
            setattr(c_report, name, value)
        if self._bounds:
            bound = self._bounds["bound"]
            loaded = weights.sums.any(axis=1)
            for name, of_layer in (("bound_mean", "bound_share"), ("gap_mean", "gap")):
                # In the library's order, for its bits.
                sums = np.add.accumulate(self._bounds[of_layer][loaded])
                if len(sums):
                    setattr(c_report, name, float(sums[-1]) / len(sums))
            c_report.gap_worst = float(self._bounds["gap"].max())
        return c_report, imbalance, bound, duplicates
