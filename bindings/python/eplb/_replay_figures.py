"""What came of each rule in a replay: figures over its windows, and the best rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Floats, Ints

# Rules whose imbalance is within this of the lowest are as good; then moves decide.
_AS_GOOD = 1.01
# Differences below this are not shown.
_SHOWN = 5e-5


@dataclass(frozen=True)
class Costs:
    """What turns moves into bytes, time and imbalance; None: not known.

    Attributes:
        expert_mib: the weights of one expert of one layer, in MiB.
        bandwidth: at which a GPU receives, in GB/s, 10^9 bytes.
        move_ms, layer_ms: as of the rule "pays".
    """

    expert_mib: float | None = None
    bandwidth: float | None = None
    move_ms: float | None = None
    layer_ms: float | None = None

    @property
    def move_time(self) -> float | None:
        """Milliseconds of a move: as given, else those of an expert at the bandwidth."""
        if self.move_ms is not None or self.expert_mib is None or self.bandwidth is None:
            return self.move_ms
        return self.expert_mib * 2**20 / (self.bandwidth * 1e6)

    @property
    def price(self) -> float | None:
        """What a move costs, in imbalance times windows."""
        move_ms = self.move_time
        return None if move_ms is None or self.layer_ms is None else move_ms / self.layer_ms

    def bytes_of(self, moves: int) -> int | None:
        return None if self.expert_mib is None else round(moves * self.expert_mib * 2**20)

    def stall_ms(self, received: int) -> float | None:
        """Layers follow each other, and each takes as long as the GPU that receives most experts in it."""
        if self.expert_mib is None or self.bandwidth is None:
            return None
        return received * self.expert_mib * 2**20 / (self.bandwidth * 1e6)


@dataclass(frozen=True)
class Outcome:
    """What came of a rule. An imbalance is that of a layer in a window, of the placement that was chosen before it.

    Attributes:
        rule: its text.
        windows: that were scored.
        imbalance_mean, imbalance_p95, imbalance_worst: over layers and windows where there is load.
        worst_window, worst_layer: where the last one was; the layer is its row.
        layers_without_load: of all windows together, left out of the figures.
        changes: windows after which the placement changed.
        layers_changed: of all changes together.
        moves, moves_between_nodes: of all changes together.
        moves_per_layer: of a layer in a window.
        bytes: moves times the bytes of an expert; None if these are not known.
        stall_ms: of all changes together, where the layers of a change follow each other and each takes as long as the
            GPU that receives most experts in it; None without expert_mib and bandwidth.
        predicted_mean: what was expected before each window, from the windows that were remembered; the mean as above.
        gain_predicted, gain_came: the imbalance that changes were expected to save, and what they saved in the windows
            that followed, as many as the rule remembers; means over all layers, summed over changes.
        off_home_mean: the load that was served away from its group's home over all load; 0 on one
            node, or without groups.
        cost: imbalance_mean plus the price of the moves of a layer in a window; None without prices.
    """

    rule: str
    windows: int
    imbalance_mean: float
    imbalance_p95: float
    imbalance_worst: float
    worst_window: int
    worst_layer: int
    layers_without_load: int
    changes: int
    layers_changed: int
    moves: int
    moves_between_nodes: int
    moves_per_layer: float
    bytes: int | None
    stall_ms: float | None
    predicted_mean: float
    gain_predicted: float
    gain_came: float
    off_home_mean: float
    cost: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, eq=False)
class Replay:
    """What a series of windows would have done under each rule.

    Attributes:
        outcomes: one for each rule, in the order given.
        best: that with the lowest cost; without prices, that with the fewest moves of those whose mean imbalance is
            within 1 % of the lowest. Of equal ones, the one with fewer moves, then the first.
        windows: int64 [T], the numbers of the windows that were scored.
        imbalance: by rule, float64 [T], mean over the layers that have load; NaN where none has.
        moves: by rule, int64 [T], moves after each window.
        num_layers: L.
        costs: the prices.
    """

    outcomes: tuple[Outcome, ...]
    best: Outcome
    windows: Ints
    imbalance: Mapping[str, Floats] = dataclasses.field(repr=False)
    moves: Mapping[str, Ints] = dataclasses.field(repr=False)
    num_layers: int
    costs: Costs

    def verdict(self) -> str:
        """A sentence that names the best rule, and by how much it is better."""
        best, others = self.best, [each for each in self.outcomes if each is not self.best]
        what, moves = "imbalance" if best.cost is None else "cost", f"{best.moves_per_layer:.3f} moves"
        text = f"Best: {best.rule}, {what} {_value(best):.4f} with {moves} per layer and window"
        if others:
            next_best = min(others, key=_order)
            text += f"; {_compared(best, next_best)}"
            never = next((each for each in others if each.rule == "never" and each is not next_best), None)
            text += "" if never is None else f", {_compared(best, never)}"
        return f"{text}."

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return {
            "windows": self.windows.tolist(),
            "costs": {**dataclasses.asdict(self.costs), "price": self.costs.price},
            "rules": [each.to_dict() for each in self.outcomes],
            "best": self.best.rule,
            "verdict": self.verdict(),
        }


def _value(outcome: Outcome) -> float:
    return outcome.imbalance_mean if outcome.cost is None else outcome.cost


def _order(outcome: Outcome) -> tuple[float, int]:
    return _value(outcome), outcome.moves


def _compared(best: Outcome, other: Outcome) -> str:
    difference = _value(other) - _value(best)
    if abs(difference) < _SHOWN:
        return f"as good as {other.rule}"
    if difference > 0:
        return f"{difference:.4f} below {other.rule}"
    return f"{-difference:.4f} above {other.rule}, which is within 1 % and takes {other.moves_per_layer:.3f} moves"


def summarise(runs: Mapping[str, Sequence[dict[str, Any]]], costs: Costs) -> Replay:
    """Figures of the rows of each rule, which are of the same windows."""
    outcomes = tuple(_outcome(rule, rows, costs) for rule, rows in runs.items())
    if costs.price is None:
        lowest = min(each.imbalance_mean for each in outcomes)
        best = min(
            (each for each in outcomes if each.imbalance_mean <= lowest * _AS_GOOD),
            key=lambda each: (each.moves, each.imbalance_mean),
        )
    else:
        best = min(outcomes, key=_order)
    imbalance = {rule: np.array([_mean(_numbers(row["imbalance"])) for row in rows]) for rule, rows in runs.items()}
    moves = {rule: np.array([row["moves"] for row in rows], np.int64) for rule, rows in runs.items()}
    windows = np.array([row["window"] for row in next(iter(runs.values()))], np.int64)
    layers = len(next(iter(runs.values()))[0]["imbalance"])
    return Replay(outcomes, best, windows, imbalance, moves, layers, costs)


def _outcome(rule: str, rows: Sequence[dict[str, Any]], costs: Costs) -> Outcome:
    imbalance = np.stack([_numbers(row["imbalance"]) for row in rows])
    has_load = ~np.isnan(imbalance)
    known = imbalance[has_load] if has_load.any() else np.ones(1)
    worst = int(np.argmax(np.where(has_load, imbalance, 0)))
    window, layer = divmod(worst, imbalance.shape[1])
    total = {name: sum(row[name] for row in rows) for name in ("moves", "moves_between_nodes", "received")}
    per_layer = total["moves"] / imbalance.size
    mean, price = float(known.mean()), costs.price
    predicted = np.stack([_numbers(row["predicted"]) for row in rows])[has_load]
    return Outcome(
        rule=rule,
        windows=len(rows),
        imbalance_mean=mean,
        imbalance_p95=float(np.percentile(known, 95)),
        imbalance_worst=float(known.max()),
        worst_window=rows[window]["window"],
        worst_layer=layer,
        layers_without_load=int((~has_load).sum()),
        changes=sum("change" in row for row in rows),
        layers_changed=sum(row["layers_changed"] for row in rows),
        moves=total["moves"],
        moves_between_nodes=total["moves_between_nodes"],
        moves_per_layer=per_layer,
        bytes=costs.bytes_of(total["moves"]),
        stall_ms=costs.stall_ms(total["received"]),
        predicted_mean=_mean(predicted) if len(predicted) else 1.0,
        gain_predicted=sum(row["gain_predicted"] for row in rows),
        gain_came=sum(row["gain_came"] for row in rows),
        off_home_mean=float(np.mean([row["off_home"] for row in rows])),
        cost=None if price is None else mean + price * per_layer,
    )


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array(values, np.float64)  # None is NaN


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
