"""When to change a placement: an engine's life over measured series, under rules that act never, always, or if it pays.

    PYTHONPATH=bindings/python python bench/replay.py [--series NAME] [--memory 8] [--markdown FILE] [--commit TEXT]
                                                      [--data FOLDER]

Needs the measured traces (../shared/data). Each rule is played by eplb.replay: the placement for the first windows is
the same for all, and the next window judges. Figures of the study are typed in, from its section "When to rebalance".
"""

import argparse
import os
import sys
from dataclasses import dataclass
from time import process_time

import eplb
import numpy as np
from windows import ROOT, processor, read

# What a move costs, in imbalance times windows.
MOVE_MS, LAYER_MS = 1, 50
PRICE = MOVE_MS / LAYER_MS


@dataclass(frozen=True)
class Series:
    """Traces one after the other.

    Attributes:
        shape: slots and GPUs.
        together: windows that are added up to one.
        study: by memory and row, imbalance and moves per layer and window; of the best interval, its cost alone.
    """

    key: str
    name: str
    traces: tuple[str, ...]
    shape: tuple[int, int]
    together: int
    study: dict


NEVER, FRESH, ALL_MOVES, INTERVAL = "never", "fresh each window", "rebalance, target=0", "best interval"
SERIES = (
    Series(
        "v2-lite",
        "V2-Lite intent, law, translation in sequence",
        tuple(f"deepseek-v2-lite_{task}-requests" for task in ("intent", "law", "translation")),
        (72, 8),
        1,
        {
            8: {
                NEVER: (1.294, 0),
                ALL_MOVES: (1.182, 48.3),
                1: (1.2015, None),
                2: (1.1461, 1.37),
                4: (1.1489, 0.487),
                8: (1.1608, 0.173),
                INTERVAL: (1.1730, None),
            },
            16: {
                NEVER: (1.285, 0),
                ALL_MOVES: (1.194, 48.0),
                2: (1.1395, 1.27),
                4: (1.1446, 0.534),
                8: (1.1521, 0.184),
            },
        },
    ),
    Series(
        "gpt-oss",
        "gpt-oss mmlu then gpqa, 4 decode steps",
        ("gpt-oss-20b_mmlu-test-decode-steps", "gpt-oss-20b_gpqa-decode-steps"),
        (40, 8),
        4,
        {
            8: {
                NEVER: (1.416, 0),
                ALL_MOVES: (1.125, 23.4),
                1: (1.1474, None),
                2: (1.1189, 0.80),
                4: (1.1257, 0.344),
                8: (1.1342, 0.146),
                INTERVAL: (1.1389, None),
            },
            16: {
                NEVER: (1.430, 0),
                ALL_MOVES: (1.135, 23.4),
                2: (1.1198, 0.80),
                4: (1.1250, 0.379),
                8: (1.1344, 0.171),
            },
        },
    ),
    Series(
        "subjects",
        "gpt-oss MMLU subjects",
        ("gpt-oss-20b_mmlu-test-subjects",),
        (40, 8),
        1,
        {
            8: {
                NEVER: (1.304, 0),
                ALL_MOVES: (1.382, 23.1),
                1: (1.2853, None),
                2: (1.2398, 1.49),
                4: (1.2464, 0.79),
                8: (1.2589, 0.344),
                INTERVAL: (1.2666, None),
            },
            16: {
                NEVER: (1.325, 0),
                ALL_MOVES: (1.379, 23.1),
                2: (1.2250, 1.21),
                4: (1.2303, 0.70),
                8: (1.2436, 0.331),
            },
        },
    ),
)
# Budgets and periods of which the best one is taken in hindsight.
INTERVALS = [(moves, every) for moves in (1, 2, 4) for every in (1, 2, 4, 8)]


def windows_of(series, folder):
    """[T,L,E]; None if a trace is missing."""
    parts = [read(folder, name) for name in series.traces]
    if any(part is None for part in parts):
        return None
    added = []
    for part in parts:
        whole = len(part) // series.together
        shape = whole, series.together, *part.shape[1:]
        added.append(part[: whole * series.together].reshape(shape).sum(axis=1))
    return np.concatenate(added)


def rules_of(memory):
    """By row: the rules, of which the best one counts."""
    yield NEVER, "", ["never"]
    yield FRESH, "NORMAL", [f"fresh,memory={memory},objective=sum"]
    yield ALL_MOVES, "NORMAL", [f"rebalance,memory={memory},objective=sum,target=0"]
    intervals = [f"rebalance,every={every},memory={memory},max_moves={moves}" for moves, every in INTERVALS]
    yield INTERVAL, "FAST", [f"{rule},effort=fast" for rule in intervals]
    for factor in (1, 2, 4, 8):
        yield factor, "FAST", [pays(memory, factor, "fast")]
    yield 4, "NORMAL", [pays(memory, 4, "normal")]


def pays(memory, factor, effort):
    return f"pays,memory={memory},move_ms={MOVE_MS},layer_ms={LAYER_MS},horizon={memory / factor:g},effort={effort}"


@dataclass
class Row:
    """What came of a row, the study's figures of it, and the processor time of one rule."""

    series: Series
    memory: int
    name: str | int
    effort: str
    outcome: eplb.Outcome
    seconds: float

    @property
    def study_cost(self):
        """The study's imbalance plus price; where it has no moves, it printed the cost."""
        found = self.series.study[self.memory].get(self.name)
        if found is None:
            return None
        imbalance, moves = found
        return imbalance if moves is None else imbalance + PRICE * moves

    def show(self, baseline):
        known = self.series.study[self.memory].get(self.name, (None, None))
        study = known if known[1] is not None else (None, None)
        outcome = self.outcome
        cost = cell(outcome.cost, self.study_cost)
        if self.study_cost is not None and outcome.cost > self.study_cost + 0.01 * (self.study_cost - 1):
            cost = f"**{cost}**"
        came = f"{outcome.gain_came / outcome.gain_predicted:.2f}" if outcome.gain_predicted else ""
        what = f"pays, k = {self.name}" if isinstance(self.name, int) else self.name
        if self.name == INTERVAL:
            rule = eplb.Rule.parse(outcome.rule)
            what += f": {rule.max_moves} every {rule.every}"
        size = "{}/{}".format(*self.series.shape)
        return (
            f"| {self.series.name}, {size}, T = {self.memory} | {what} | {self.effort} "
            f"| {cell(outcome.imbalance_mean, study[0])} | {cell(outcome.moves_per_layer, study[1], 3)} | {cost} "
            f"| {came} | {self.seconds / baseline:.1f}x |"
        )


def cell(own, study, digits=4):
    return f"{own:.{digits}f}" + ("" if study is None else f" ({study:.{digits}g})")


def play(series, windows, memory):
    slots, gpus = series.shape
    for name, effort, rules in rules_of(memory):
        start = process_time()
        options = {"num_slots": slots, "num_gpus": gpus, "warm_up": memory, "move_ms": MOVE_MS, "layer_ms": LAYER_MS}
        found = eplb.replay(windows, rules, **options)
        yield Row(series, memory, name, effort, found.best, (process_time() - start) / len(rules))


def document(rows, missing, commit, command):
    table = "\n".join(rows)
    left_out = f"\n- not in the data folder, so left out: {', '.join(missing)}" if missing else ""
    return f"""# Replay

- machine: {processor()}, shared with other work while this ran; one thread; {eplb.backends()["cpu"].text}
- library: libeplb {eplb.__version__}, commit {commit}, Release (-O3)
- command: {command}
- eplb.replay: T windows of memory, which also give the first placement; the next window judges.
  Rules but "fresh" and "rebalance, target=0" balance each window (objective="windows"); policy global, seed 0
- moves: per layer and window. One costs {PRICE:g} of imbalance in one window, so cost: imbalance + {PRICE:g} * moves.
  pays, k: a change has to pay for itself in T / k windows
- rebalance, target=0: of the sum, as good as can be, whatever has to move; in the study a fresh solve whose GPUs were
  numbered for the fewest moves. Best interval: in hindsight, of budgets of 1, 2 and 4 moves every 1, 2, 4 and 8 windows
- in brackets: the study, whose first placement and search were others. **Bold**: a cost that is worse than the study's
  by more than 1 % of what it is above 1
- gain that came: what changes saved in the next T windows, over what they saved in those that were remembered
- time: processor time of the whole replay of a rule, over that of fresh each window{left_out}

| series, slots/GPUs | rule | effort | next window | moves | cost | gain that came | time |
|---|---|---|---|---|---|---|---|
{table}
"""


def main():
    keys = [series.key for series in SERIES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", choices=keys, metavar="NAME", help=f"one of {', '.join(keys)}")
    parser.add_argument("--memory", type=int, choices=(8, 16), help="windows; without it, both")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(ROOT), "shared", "data"))
    arguments = parser.parse_args()
    rows, missing = [], []
    for series in SERIES:
        if arguments.series not in (None, series.key):
            continue
        windows = windows_of(series, arguments.data)
        if windows is None:
            missing.append(series.name)
            continue
        for memory in (8, 16) if arguments.memory is None else (arguments.memory,):
            played = []
            for row in play(series, windows, memory):
                played.append(row)
                print(f"{row.name} {row.effort}: {row.outcome}", file=sys.stderr)
            baseline = next(row.seconds for row in played if row.name == FRESH)
            rows += [row.show(baseline) for row in played]
            print(*rows[-len(played) :], sep="\n", flush=True)
    if not rows:
        sys.exit(f"no measured traces in {arguments.data}")
    if arguments.markdown:
        given = [
            f" --{name} {value}" for name, value in vars(arguments).items() if name in ("series", "memory") and value
        ]
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write(document(rows, missing, arguments.commit, "python bench/replay.py" + "".join(given)))


if __name__ == "__main__":
    main()
