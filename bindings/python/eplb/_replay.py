"""An engine's life over the windows of a series, under each of several rules."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from ._arrays import Array, Floats, placement_to_host, weights_to_host
from ._cluster import Cluster, cluster_for
from ._context import Context
from ._errors import Error, FileError
from ._evaluation import Evaluation
from ._figures import has_homes
from ._fingerprint import placement_fingerprint
from ._library import groups_of, integer, invalid_argument, positive, version
from ._many_solves import Progress
from ._output_file import path_of
from ._plan import Plan
from ._rebalancer import Rebalancer
from ._replay_figures import Costs, Replay, summarise
from ._replay_log import ReplayLog, apply_change, encode_change
from ._replay_splits import SPLITS, imbalance_with_splits
from ._rule import Rule
from ._tables import MOST_WINDOWS
from ._uncopyable import Uncopyable
from ._windows import has_load, mean_of_windows

# What engines do today, and what they could do.
DEFAULT_RULES = (
    "never",
    "fresh,memory=1,objective=sum",
    "rebalance,memory=1,objective=sum",
    "rebalance,max_moves=2",
    "pays",
)
# Milliseconds of a move, such as of 24 MiB at 25 GB/s; and of a layer in a window, such as 100 steps of half a one.
DEFAULT_PRICES = 1.0, 50.0

_WARM_UP = 16


@dataclass(frozen=True)
class _Series:
    """What all rules share: windows [T,L,E], the first of which only fill the memories; where experts are at first."""

    windows: Array
    warm_up: int
    start: Array
    sizes: dict[str, Any]  # cluster and num_groups
    splits: bool  # are tokens split, too?

    @property
    def has_homes(self) -> bool:
        """Are there several groups on several nodes?"""
        return has_homes({"num_groups": self.sizes["num_groups"], "num_nodes": self.sizes["cluster"].num_nodes})

    def judge(self, context: Context, placement: Array, first: int, end: int) -> Evaluation:
        """Of a placement in some windows; of groups, on which imbalance does not depend, any is valid."""
        windows = self.windows[first] if end == first + 1 else self.windows[first:end]
        return context.evaluate(placement, windows, **self.sizes, policy="global")


class _Life(Uncopyable):
    """The windows of a series under one rule."""

    def __init__(self, text: str, rule: Rule, series: _Series, context: Context) -> None:
        self._text, self._rule, self._series, self._context = text, rule, series, context
        self._rebalancer = Rebalancer(rule, series.start, **series.sizes, context=context)
        for window in series.windows[: series.warm_up]:
            self._rebalancer.observe(window)

    def skip(self, row: dict[str, Any]) -> None:
        """Goes on to the state after a window whose row is known."""
        rebalancer = self._rebalancer
        rebalancer.observe(self._series.windows[row["window"]])
        if "change" in row:
            rebalancer.set_current(apply_change(rebalancer.physical_to_logical, row["change"]))

    def live(self, number: int) -> dict[str, Any]:
        """Judges the placement by the next window, which it does not know, then decides with it."""
        series, rebalancer = self._series, self._rebalancer
        window, placement = series.windows[number], rebalancer.physical_to_logical
        found = series.judge(self._context, placement, number, number + 1)
        loaded = has_load(window)[:, 0]
        row: dict[str, Any] = {
            "rule": self._text,
            "window": number,
            "imbalance": _listed(found.imbalance, loaded),
            "off_home": _listed(found.off_home if series.has_homes else np.zeros(len(loaded)), loaded),
            "predicted": _listed(self._expected(), loaded),
        }
        if series.splits:
            cluster = series.sizes["cluster"]
            figures = imbalance_with_splits(self._context, series.windows, number, placement, cluster)
            row |= {name: _listed(each, loaded) for name, each in figures.items()}
        row |= dict.fromkeys(("moves", "moves_between_nodes", "layers_changed", "received"), 0)
        row |= dict.fromkeys(("gain_predicted", "gain_came"), 0.0)
        rebalancer.observe(window)
        # What follows the last window serves none.
        plan = rebalancer.propose() if number + 1 < len(series.windows) else None
        if plan is not None:
            row |= self._change(plan, placement, number)
        return row

    def _change(self, plan: Plan, before: Array, number: int) -> dict[str, Any]:
        after, report = plan.physical_to_logical, plan.report
        predicted = self._rebalancer.expected(before) - self._rebalancer.expected(after)
        figures = {
            "moves": report.moves,
            "moves_between_nodes": report.moves_between_nodes,
            "layers_changed": report.layers_changed,
            "received": _busiest_receivers(plan),
            "gain_predicted": float(predicted.mean()),
            "gain_came": self._saved(before, after, number + 1),
            "change": encode_change(before, after),
        }
        self._rebalancer.commit(plan)
        return figures

    def _expected(self) -> Floats:
        # Nothing is expected of windows without any load.
        return self._rebalancer.expected() if len(self._rebalancer.memory) else np.ones(len(self._series.start))

    def _saved(self, before: Array, after: Array, first: int) -> float:
        """What the next windows save by a change, as many as the rule remembers."""
        series = self._series
        end = min(first + self._rule.memory, len(series.windows))
        was, now = (series.judge(self._context, each, first, end).window_imbalance for each in (before, after))
        loaded = has_load(series.windows[first:end])
        # Of a layer without load both are 1.
        return float((mean_of_windows(was, loaded) - mean_of_windows(now, loaded)).mean())


def replay(
    windows: Any,
    rules: Iterable[Rule | str] | None = None,
    *,
    num_slots: int | None = None,
    num_gpus: int | None = None,
    num_nodes: int | None = None,
    num_groups: int | None = 1,
    cluster: Cluster | None = None,
    policy: str = "auto",
    off_home_target: float = 1.01,
    current: Any = None,
    warm_up: int | None = None,
    expert_mib: float | None = None,
    bandwidth: float | None = None,
    move_ms: float | None = None,
    layer_ms: float | None = None,
    splits: bool = False,
    num_threads: int = 1,
    output: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Replay:
    """Plays the windows of a series to an engine under each of several rules, and says what each would have done.

    A Rebalancer decides after every window. What counts is the imbalance in the next one, of the placement that was
    chosen before it. All rules begin with the same placement and memory, and are judged in the same windows.

    Args:
        windows: [T,L,E], the tokens routed to each expert, oldest first; or Loads of read_loads.
        rules: Rules, or their texts. None: those of eplb replay --help.
        num_slots: as for Context.solve; not needed with current.
        num_gpus, num_nodes, num_groups, cluster: as for Context.solve.
        policy, off_home_target: of groups, for the first placement, and for rules whose own policy is "auto".
        current: where experts are at first, as for Rebalancer. None: a placement for the first windows, each balanced.
        warm_up: the first windows, which fill the memories and are not judged, 1 to 64. None: 16, or the longest
            memory of a rule if that is more, but at most half of the windows.
        expert_mib, bandwidth: the weights of an expert of one layer in MiB, and GB/s at which a GPU receives: for bytes
            and stalls, and for move_ms, if that is not given.
        move_ms, layer_ms: prices of the rule "pays" for those that have none, and of what rules are compared by: the
            mean imbalance plus move_ms / layer_ms for each move per layer and window. Without them, "pays" takes
            1 ms and 50 ms, and imbalance alone is compared.
        splits: whether to judge each placement with tokens split over its replicas, too (Context.split): by the counts
            of the window itself, which an engine has that splits in every step; by those of the window before, which
            may be worse than even shares; and by those of all windows before, each 15/16 as much as the next one.
        num_threads: CPU threads of a solve.
        output: a file of JSON lines, one for each rule and window. If it is there, the same replay goes on where it
            stopped.
        progress: called with the windows of all rules that are done, and that there are.

    Raises:
        InvalidArgument: sizes that do not fit each other, a rule that is not allowed, fewer than 2 windows.
        InvalidWeight, InvalidPlacement: as Context.solve and Context.evaluate.
        FileError: output is the file of another replay, or cannot be written.
    """
    series = _windows_of(windows)
    given: dict[str, Any] = {"expert_mib": expert_mib, "bandwidth": bandwidth, "move_ms": move_ms, "layer_ms": layer_ms}
    costs = Costs(**{name: positive(name, value) for name, value in given.items()})
    played = _rules_of(DEFAULT_RULES if rules is None else rules, costs, policy, off_home_target)
    first = _warm_up_of(warm_up, len(series), list(played.values()))
    sizes: dict[str, Any] = {
        "cluster": cluster_for(current, num_gpus, num_nodes, cluster),
        "num_groups": integer("num_groups", groups_of(num_groups), 1),
    }
    with Context(num_threads=num_threads) as context:
        context.upload(series)  # refuses what is no load, by its window
        if current is None:
            if num_slots is None:
                raise invalid_argument("num_slots is missing: give it, or current")
            options: dict[str, Any] = {"policy": policy, "off_home_target": off_home_target, "objective": "windows"}
            current = context.solve(series[:first], num_slots, **sizes, **options)
        elif num_slots not in (None, slots := placement_to_host(current, "current").shape[-1]):
            raise invalid_argument(f"num_slots is {num_slots}, but current has {slots} slots: leave num_slots out")
        start = Rebalancer("never", current, **sizes, context=context).physical_to_logical
        shared = _Series(series, first, start, sizes, bool(splits))
        log = ReplayLog(None if output is None else path_of(output), _settings(shared, played), list(played), first)
        _play(shared, played, log, context, progress)
    return summarise(log.rows, costs, np.asarray(getattr(windows, "layers", np.arange(series.shape[1]))))


def _play(
    series: _Series, rules: Mapping[str, Rule], log: ReplayLog, context: Context, progress: Progress | None
) -> None:
    """Window by window, so that a file of half a replay compares all rules."""
    windows = range(series.warm_up, len(series.windows))
    if all(len(rows) == len(windows) for rows in log.rows.values()):
        return
    lives = {text: _Life(text, rule, series, context) for text, rule in rules.items()}
    for text, life in lives.items():
        for row in log.rows[text]:
            try:
                life.skip(row)
            except (ValueError, Error) as error:
                raise FileError(f"{log.path}: window {row['window']} of {text} cannot be resumed: {error}") from None
    total = len(rules) * len(windows)
    for number in windows:
        for text, life in lives.items():
            rows = log.rows[text]
            if len(rows) == number - series.warm_up:
                log.add(life.live(number))
            if progress is not None:
                progress(sum(map(len, log.rows.values())), total)


def _windows_of(windows: Any) -> Array:
    array, _ = weights_to_host(windows)
    if array.ndim != 3 or len(array) < 2:
        raise invalid_argument(f"windows is {list(array.shape)}, must be [windows, layers, experts], 2 windows or more")
    return array


def _rules_of(rules: Iterable[Rule | str], costs: Costs, policy: str, off_home_target: float) -> dict[str, Rule]:
    """By their texts, which stand for them everywhere; with the prices and the policy of the replay."""
    known = costs.move_time, costs.layer_ms
    prices = [default if price is None else price for price, default in zip(known, DEFAULT_PRICES, strict=True)]
    found: dict[str, Rule] = {}
    for each in rules:
        rule = each if isinstance(each, Rule) else Rule.parse(each)
        if str(rule) in found:
            raise invalid_argument(f"the rule {str(rule)!r} is given twice")
        full = rule.with_prices(*prices)
        if rule.policy == "auto" and rule.name != "never":
            full = dataclasses.replace(full, policy=policy, off_home_target=off_home_target)
        found[str(rule)] = full
    if not found:
        raise invalid_argument("rules is empty, must have a rule at least")
    return found


def _warm_up_of(warm_up: Any, windows: int, rules: Sequence[Rule]) -> int:
    most = min(MOST_WINDOWS, windows - 1)
    if warm_up is not None:
        return integer("warm_up", warm_up, 1, most)
    # As many whichever rules are compared, unless one remembers more: the first placement is made for them.
    return max(1, min(max(_WARM_UP, *(rule.memory for rule in rules)), windows // 2, most))


def _settings(series: _Series, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """What every row depends on."""
    windows, cluster = series.windows, series.sizes["cluster"]
    content = repr((windows.shape, windows.dtype.str)).encode() + windows.tobytes()
    return {
        "library": version(),
        "layers": windows.shape[1],
        "loads": hashlib.blake2b(content, digest_size=8).hexdigest(),
        "rules": {text: str(rule) for text, rule in rules.items()},
        "warm_up": series.warm_up,
        "num_groups": series.sizes["num_groups"],
        "cluster": repr(cluster),
        "start": f"{placement_fingerprint(series.start):016x}",
        **({"splits": list(SPLITS)} if series.splits else {}),
    }


def _listed(values: Floats, loaded: Array) -> list[float | None]:
    """None for layers without load."""
    return [value if there else None for value, there in zip(values.tolist(), loaded.tolist(), strict=True)]


def _busiest_receivers(plan: Plan) -> int:
    """Experts that arrive at the GPU which gets most of them, summed over layers."""
    table = plan.moves.table()
    arriving = table[table["source_gpu"] != table["gpu"]]
    layers, gpus = len(plan.moves.count), plan.num_gpus
    counts = np.bincount(arriving["layer"].astype(np.int64) * gpus + arriving["gpu"], minlength=layers * gpus)
    return int(counts.reshape(layers, gpus).max(axis=1).sum())
