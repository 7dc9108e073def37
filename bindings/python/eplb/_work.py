"""What a rebalance did: loads before and after, and the transfers, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._arrays import Array, Floats
from ._cluster import Cluster
from ._loads import gone_gpus, gpu_loads, mean_with_load, relative_times, speeds_of, sum_windows
from ._moves import Moves, TransferFigures
from ._output_file import write_file
from ._plan import Plan

_KINDS = ("within_gpu", "within_node", "between_nodes", "reload")


class Work(TransferFigures):
    """Figures of a rebalance, and of its transfers.

    Attributes:
        report: of the plan.
        before, after: float64 [L,G], times of the GPUs over the mean; before, an expert that nobody holds is no load.
        imbalance_before, imbalance: float64 [L].
        mean_before: of imbalance_before, over layers that have load, as the report's mean is.
        gone: bool [G], GPUs without slots.
    """

    def __init__(self, weights: Array, current: Array, cluster: Cluster, plan: Plan) -> None:
        super().__init__(plan.moves)
        self.report, self.gone, speed = plan.report, gone_gpus(cluster), speeds_of(cluster)
        total = sum_windows(weights)
        self.before = relative_times(gpu_loads(total, current, plan.num_gpus), total.sum(axis=1), speed)
        self.after = relative_times(plan.gpu_load, total.sum(axis=1), speed)
        self.imbalance_before, self.imbalance = self.before.max(axis=1), plan.imbalance
        self.mean_before = mean_with_load(self.imbalance_before, total.sum(axis=1) > 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists: the report, what was before, and the figures of every layer."""
        before: Floats = self.imbalance_before
        return {
            **self.report.to_dict(),
            "before": {
                "imbalance_mean": self.mean_before,
                "imbalance_worst": float(before.max()),
                "imbalance": before.tolist(),
            },
            "layer_moves": self.moves.tolist(),
            "layer_moves_between_nodes": self.between_nodes.tolist(),
            "layer_reloads": self.reloads.tolist(),
            "layer_rounds": self.rounds.tolist(),
        }


def write_transfers(path: Path, moves: Moves) -> None:
    """As CSV: a line of names, then one for each transfer in the order in which they can be carried out."""
    table = moves.table()
    names = table.dtype.names or ()
    kind = names.index("kind")
    lines = [names, *((*row[:kind], _KINDS[row[kind]], *row[kind + 1 :]) for row in table.tolist())]
    write_file(path, "".join(",".join(map(str, line)) + "\n" for line in lines).encode())
