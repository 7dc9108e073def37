"""What came of each rule in a replay: figures over its windows, and the best rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ._arrays import Floats, Ints
from ._files.values import counted
from ._loads import mean_with_load
from ._replay_splits import SPLITS
from ._shown import Drawing, Shown

# Rules whose imbalance is within this of the lowest are as good; then moves decide.
_AS_GOOD = 1.01
# Differences below this are not shown.
_SHOWN = 5e-5


@dataclass(frozen=True)
class Costs:
    """What turns moves into bytes, time and imbalance; None: not known.

    Attributes:
        expert_mib: memory of an expert in one layer, in MiB.
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
        return self._transfer_ms if self.move_ms is None else self.move_ms

    @property
    def price(self) -> float | None:
        """What a move costs, in imbalance times windows."""
        move_ms = self.move_time
        return None if move_ms is None or self.layer_ms is None else move_ms / self.layer_ms

    def bytes_of(self, moves: int) -> int | None:
        return None if self.expert_mib is None else round(moves * self.expert_mib * 2**20)

    def stall_ms(self, received: int) -> float | None:
        """Layers follow each other, and each takes as long as the GPU that receives most experts in it."""
        return None if self._transfer_ms is None else received * self._transfer_ms

    @property
    def _transfer_ms(self) -> float | None:
        if self.expert_mib is None or self.bandwidth is None:
            return None
        return self.expert_mib * 2**20 / (self.bandwidth * 1e6)


@dataclass(frozen=True)
class Outcome:
    """What came of a rule. An imbalance is that of a layer in a window, of the placement that was chosen before it.

    Attributes:
        rule: its text.
        windows: how many were judged.
        imbalance_mean, imbalance_p95, imbalance_worst: over layers and windows where there is load.
        worst_window, worst_layer: where the last one was; the layer has its number of Loads, else that of its row.
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
        off_home_mean: the part of a layer's load in a window that was served away from its group's home, the mean as
            above; 0 on one node, or without groups.
        cost: imbalance_mean plus the price of the moves of a layer in a window; None without prices.
        split_in_step, split_last_window, split_decayed: imbalance_mean with tokens split over the replicas as is best
            for the window itself, for the one before, and for a fading sum of those before; None unless asked for.
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
    split_in_step: float | None = None
    split_last_window: float | None = None
    split_decayed: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, eq=False)
class Replay(Drawing):
    """What a series of windows would have done under each rule. It is printed, and shown in a notebook, as a
    table; its picture has imbalance and moves over time.

    Attributes:
        outcomes: one for each rule, in the order given.
        best: that with the lowest cost; without prices, that with the fewest moves of those whose mean imbalance is
            within 1 % of the lowest. Of equal ones, the one with fewer moves, then the first.
        windows: int64 [T], the numbers of the windows that were judged.
        num_windows: how many there are, with those of the warm-up.
        imbalance: by rule, float64 [T], mean over the layers that have load; NaN where none has.
        moves: by rule, int64 [T], moves after each window.
        layers: int64 [L], the number of each layer: those of Loads, else 0, 1, 2, ...
        costs: the prices.
    """

    outcomes: tuple[Outcome, ...]
    best: Outcome
    windows: Ints
    imbalance: Mapping[str, Floats] = dataclasses.field(repr=False)
    moves: Mapping[str, Ints] = dataclasses.field(repr=False)
    layers: Ints
    costs: Costs

    @property
    def num_windows(self) -> int:
        # Those that are judged are the last ones.
        return int(self.windows[-1]) + 1

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

    def table(self) -> list[tuple[str, ...]]:
        """The names of the columns, then a row for each rule, as they are shown."""
        columns = _columns(self.outcomes)
        return [tuple(columns), *(tuple(cell(each) for cell in columns.values()) for each in self.outcomes)]

    def sentences(self) -> list[str]:
        """What it comes to, and what is left out."""
        best, empty = self.best, self.outcomes[0].layers_without_load
        left_out = [f"Layers without load in a window, left out of the means: {empty}."] if empty else []
        where = f"window {best.worst_window}, layer {best.worst_layer}"
        worst = f"{self.verdict()} Its worst is {best.imbalance_worst:.3f} ({where})."
        return [*left_out, worst, *_of_splits(best)]

    def _about(self) -> str:
        first, last = int(self.windows[0]), int(self.windows[-1])
        judged = f"windows {first} to {last}" if first != last else f"window {first}"
        price = self.costs.price
        priced = "" if price is None else f"; a move costs {price:.4g} of imbalance in one window"
        return f"{judged} of {self.num_windows} judged, {counted(len(self.layers), 'layer')}{priced}"

    def _show(self) -> Shown:
        columns, *rows = self.table()
        return Shown(self._title(), columns, rows, self.sentences())


def _columns(outcomes: Sequence[Outcome]) -> dict[str, Callable[[Outcome], str]]:
    """What a table shows of each rule; what there is nothing to say of has no column."""
    columns: dict[str, Callable[[Outcome], str]] = {
        "": lambda each: each.rule,
        "imbalance": lambda each: f"{each.imbalance_mean:.4f}",
        "p95": lambda each: f"{each.imbalance_p95:.3f}",
        "worst": lambda each: f"{each.imbalance_worst:.3f}",
    }
    if outcomes[0].split_in_step is not None:
        columns |= {title: partial(_figure, name) for name, title in SPLITS.items()}
    columns |= {
        "predicted": lambda each: f"{each.predicted_mean:.4f}",
        "gain kept": lambda each: f"{each.gain_came / each.gain_predicted:.0%}" if each.gain_predicted > 0 else "-",
        "moves/layer": lambda each: f"{each.moves_per_layer:.3f}",
        "changes": lambda each: str(each.changes),
    }
    if any(each.moves_between_nodes for each in outcomes):
        columns["between nodes"] = lambda each: str(each.moves_between_nodes)
    if any(each.off_home_mean for each in outcomes):
        columns["away from home"] = lambda each: f"{each.off_home_mean:.2%}"
    if outcomes[0].bytes is not None:
        columns["GiB"] = lambda each: f"{(each.bytes or 0) / 2**30:.1f}"
    if outcomes[0].stall_ms is not None:
        columns["stall"] = lambda each: f"{(each.stall_ms or 0) / 1000:.2f} s"
    if outcomes[0].cost is not None:
        columns["cost"] = lambda each: f"{each.cost:.4f}"
    return columns


def _figure(name: str, outcome: Outcome) -> str:
    return f"{getattr(outcome, name):.4f}"


def _of_splits(best: Outcome) -> list[str]:
    """What became of the best rule with tokens split."""
    in_step, last, decayed = best.split_in_step, best.split_last_window, best.split_decayed
    if in_step is None or last is None or decayed is None:
        return []
    even = best.imbalance_mean
    past = (f"{each:.4f}{' (worse than evenly)' if each > even + _SHOWN else ''}" for each in (last, decayed))
    becomes = f"With tokens split, {even:.4f} becomes {in_step:.4f} in step"
    return ["{}; by the last window {}, by decayed windows {}.".format(becomes, *past)]


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


def summarise(runs: Mapping[str, Sequence[dict[str, Any]]], costs: Costs, layers: Ints) -> Replay:
    """Figures of the rows of each rule, which are of the same windows. layers: the number of each."""
    outcomes = tuple(_outcome(rule, rows, costs, layers) for rule, rows in runs.items())
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
    return Replay(outcomes, best, windows, imbalance, moves, layers, costs)


def _outcome(rule: str, rows: Sequence[dict[str, Any]], costs: Costs, layers: Ints) -> Outcome:
    imbalance = np.stack([_numbers(row["imbalance"]) for row in rows])
    has_load = ~np.isnan(imbalance)
    known = imbalance[has_load] if has_load.any() else np.ones(1)
    worst = int(np.argmax(np.where(has_load, imbalance, 0)))
    window, layer = divmod(worst, imbalance.shape[1])
    total = {name: sum(row[name] for row in rows) for name in ("moves", "moves_between_nodes", "received")}
    per_layer = total["moves"] / imbalance.size
    mean, price = mean_with_load(imbalance, has_load), costs.price
    splits = [name for name in SPLITS if name in rows[0]]
    predicted, off_home = (np.stack([_numbers(row[name]) for row in rows]) for name in ("predicted", "off_home"))
    return Outcome(
        rule=rule,
        windows=len(rows),
        imbalance_mean=mean,
        imbalance_p95=float(np.percentile(known, 95)),
        imbalance_worst=float(known.max()),
        worst_window=rows[window]["window"],
        worst_layer=int(layers[layer]),
        layers_without_load=int((~has_load).sum()),
        changes=sum("change" in row for row in rows),
        layers_changed=sum(row["layers_changed"] for row in rows),
        moves=total["moves"],
        moves_between_nodes=total["moves_between_nodes"],
        moves_per_layer=per_layer,
        bytes=costs.bytes_of(total["moves"]),
        stall_ms=costs.stall_ms(total["received"]),
        predicted_mean=mean_with_load(predicted, has_load),
        gain_predicted=sum(row["gain_predicted"] for row in rows),
        gain_came=sum(row["gain_came"] for row in rows),
        off_home_mean=float(off_home[has_load].mean()) if has_load.any() else 0.0,
        cost=None if price is None else mean + price * per_layer,
        **{name: mean_with_load(np.stack([_numbers(row[name]) for row in rows]), has_load) for name in splits},
    )


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array(values, np.float64)  # None is NaN


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
