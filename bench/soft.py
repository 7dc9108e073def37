"""Soft groups: balance, load away from home, moves and time, next to the studies whose figures they have to reach.

    PYTHONPATH=bindings/python python bench/soft.py [--table A|B|C|D] [--quick] [--layers N] [--markdown FILE]
                                                    [--commit TEXT] [--data FOLDER]

Needs the measured traces (../shared/data). A: fresh placements. B: rebalances of an older one, homes kept. C: all that
a solve may ask for at once, and what each of these terms costs. D: what tokens cost between nodes, in the model of
eplb.modelled_sends. Off-home shares, their bounds, imbalance and moves are computed here, from the maps alone. Times
are processor time of the thread, next to the heap greedy of eplb_bench on the same loads, by turns. The studies'
figures are typed in, in soft_study.py.
"""

import argparse
import os
import statistics
import sys
from dataclasses import replace

import eplb
import numpy as np
from rebalance import TOLERANCE, cell, time_cell
from soft_measure import HAS_EMPTY, Solver, figures_of, into, lost, plain
from soft_study import (
    COMBINED,
    DRIFTS,
    EFFORTS,
    FRESH,
    GROUPS,
    LATER,
    MARKS,
    NOT_KNOWN,
    SEEN,
    SENDS,
    SENDS_EFFORT,
    TARGET,
    TARGETS,
    TRACES,
)
from transfers import ROOT, processor
from windows import show

# The shares of the studies have two digits, and so have their bounds.
ROUNDED = 0.01
COMBINED_HEAD = "| case | terms | effort | imbalance by window | worst window: mean, worst | within target "
COMBINED_HEAD += "| off-home ≥ bound, % | empty slots | moves | arrivals | time |"

# ------------------------------------------------------------------------------------------------------------- A: fresh


def timed(measured, shape, study):
    """The yardstick of the study depends on slots and GPUs only."""
    return time_cell(measured, shape.heap, study)


def next_to(text, known, worse):
    """A text with the study's in brackets, if there is one."""
    marked = f"**{text}**" if worse else text
    return f"{marked} ({known})" if known else marked


def within_cell(figures, study):
    worst = figures.imbalance.max()
    if study.within is None:
        return f"{figures.within}/{figures.layers}, {worst:.4f}"
    fewer = figures.within / figures.layers < study.within - 1e-9
    higher = study.worst is not None and worst - 1 > (study.worst - 1) * TOLERANCE
    known = f"{100 * study.within:.0f} %" + (f", {study.worst:.4f}" if study.worst else "")
    return next_to(f"{figures.within}/{figures.layers}, {worst:.4f}", known, fewer or higher)


def above_cell(figures, row, study):
    if study.off_home is None:
        return f"{figures.above:.3f}"
    known = study.off_home - row.bound
    worse = figures.above - ROUNDED > known * TOLERANCE
    return next_to(f"{figures.above:.3f}", f"{known:.2f}", worse)


def variants(row):
    """Effort, and whether slots may stay empty, where this library can."""
    for effort in EFFORTS:
        for empty in (False, True) if HAS_EMPTY else (False,):
            yield effort, empty


def fresh_rows(solver, row, counts, found):
    for effort, empty in variants(row):
        terms = plain(row.shape, TARGET, empty=empty)
        figures = solver.once(row.name, counts, terms, effort)
        found[row.shape, row.name, effort, empty] = figures
        study = row.study.get(effort, NOT_KNOWN)
        cells = [
            f"{'held-out: ' if row.held_out else ''}{row.name}, {row.shape} ({figures.layers})",
            effort.upper() + (f", {figures.empty.mean():.1f} empty" if empty else ""),
            f"{figures.share:.2f}" + (f" ({study.off_home:g})" if study.off_home else ""),
            f"{figures.least:.2f} ({row.bound:g})",
            above_cell(figures, row, study),
            within_cell(figures, study),
            timed(figures, row.shape, study.ms),
        ]
        yield f"| {' | '.join(cells)} |"


def fresh(solver):
    """Rows, marks, and the traces that are missing."""
    rows, found, missing = [], {}, []
    for row in FRESH:
        counts = solver.read(row.file, row.stride)
        if counts is None:
            missing.append(row.name)
        else:
            rows += show(fresh_rows(solver, row, counts, found))
    return rows, show(marks(found)), list(dict.fromkeys(missing))


def marks(found):
    """Over the five traces: all layers, the trace that is farthest above its bound, the median of the ratios."""
    for shape, effort, most, times in MARKS:
        for empty in (False, True) if HAS_EMPTY else (False,):
            each = [found[shape, name, effort, empty] for name in TRACES]
            layers, within = sum(e.layers for e in each), sum(e.within for e in each)
            above, ratio = max(e.above for e in each), statistics.median(e.ratio for e in each)
            mean = np.mean(np.concatenate([100 * (e.off_home - e.bound) for e in each]))
            met = ratio <= times and (most is None or (above <= most and within == layers))
            cells = [
                f"{shape}{', slots may stay empty' if empty else ''}",
                effort.upper(),
                f"{within}/{layers}",
                "" if most is None else "all",
                f"{above:.3f} (all: {mean:.3f})",
                "" if most is None else f"{most:g}",
                f"{ratio:.0f}x",
                f"{times}x",
                "yes" if met else "**no**",
            ]
            yield f"| {' | '.join(cells)} |"


# --------------------------------------------------------------------------------------------------------- B: rebalance


def moves_cell(figures, study):
    moves, share, bound, _ = study or (None,) * 4
    text = f"{cell(f'{figures.moves.mean():.1f}', figures.moves.mean(), moves)} moves, "
    text += f"{figures.share:.2f} ≥ {figures.least:.2f}"
    return text + (f" ({share:g} ≥ {bound:g})" if study else "")


def reached_cell(figures, study):
    part = figures.within / figures.layers
    text = f"{figures.within}/{figures.layers}"
    return text if study is None else next_to(text, f"{100 * study[3]:.0f} %", part < study[3] - 1e-9)


def drift_rows(solver, drift):
    before, after = (solver.windows([name], drift.stride) for name in drift.names)
    current = solver.solve(before, plain(drift.shape, TARGET), "normal").physical_to_logical
    for effort in ("fast", "normal"):
        head, cells = "", []
        for target, study in zip(TARGETS, drift.study, strict=True):
            figures = solver.rebalance(after, current, plain(drift.shape, target), effort)
            known = study if effort == "normal" else None
            head = f"{drift.name}, {drift.shape} ({figures.layers})"
            cells.append(
                f"{moves_cell(figures, known)}; {reached_cell(figures, known)}; {figures.ms:.2f} ms, "
                f"{figures.ratio:.0f}x"
            )
        yield f"| {head} | {stale(after, current, drift)} | {effort.upper()} | {' | '.join(cells)} |"


def stale(after, current, drift):
    """The mean imbalance if nothing moves."""
    kept = figures_of(current, after, plain(drift.shape, TARGET)).imbalance.mean()
    return f"{kept:.3f} ({drift.kept:g})"


# ---------------------------------------------------------------------------------------------------------- C: combined


def methods(case):
    """Names of terms, the terms, and an effort."""
    for effort in EFFORTS:
        yield "all", case.terms, effort
    for name, change in case.without.items():
        # Without allow_empty, no fresh placement has empty slots.
        if case.before or HAS_EMPTY or "empty" not in change:
            yield name, replace(case.terms, **change), "normal"


def combined_figures(solver, case, terms, effort):
    """Figures, and the moves that are forced; None for a fresh placement."""
    seen = solver.windows(SEEN, case.stride)
    if case.before is None:
        return solver.fresh(seen, terms, effort), None
    # Made by the same terms, as far as there were any before the failure.
    before = replace(terms, shape=case.before, target=TARGET, arrivals=None, dead=None, empty=False)
    placement = solver.solve(seen, before, "normal").physical_to_logical
    current = into(case.before, placement, terms)
    later = solver.windows(LATER, case.stride)
    return solver.rebalance(later, current, terms, effort), lost(current, later.shape[2])


def combined_rows(solver, case):
    for name, terms, effort in methods(case):
        figures, forced = combined_figures(solver, case, terms, effort)
        imbalance = figures.imbalance
        moves = "" if forced is None else f"{figures.moves.mean():.1f} ({forced.mean():.1f})"
        cap = "" if terms.arrivals is None else f" (≤ {terms.arrivals})"
        cells = [
            f"{case.name}; {case.terms.shape}, target {terms.target:g} ({figures.layers})",
            name,
            effort.upper(),
            " / ".join(f"{each:.4f}" for each in imbalance.mean(axis=1)),
            f"{imbalance.max(axis=0).mean():.4f}, {imbalance.max():.4f}",
            f"{figures.within}/{figures.layers}",
            f"{figures.share:.2f} ≥ {figures.least:.2f}",
            f"{figures.empty.mean():.1f}",
            moves,
            "" if forced is None else f"{figures.arrivals.max()}{cap}",
            timed(figures, terms.shape, None),
        ]
        yield f"| {' | '.join(cells)} |"


# ------------------------------------------------------------------------------------------------------------- D: sends


def triple(figures, study, digits=3):
    own, known = (" / ".join(f"{each:.{digits}f}" for each in values) for values in (figures, study))
    return f"{own} ({known})"


def kept(sends):
    """How much of what the hierarchical policy saves soft groups save, in percent."""
    hierarchical, soft, anywhere = sends
    return 100 * (anywhere - soft) / (anywhere - hierarchical)


def sends_rows(solver):
    for (shape, name), (study, busiest, worst) in SENDS.items():
        counts = solver.read(f"deepseek-v3_{name}", 1)
        efforts = {"hierarchical": "normal", "soft": SENDS_EFFORT[shape], "global": "normal"}
        found = {
            policy: solver.once(name, counts, plain(shape, TARGET, policy), effort)
            for policy, effort in efforts.items()
        }
        sends = [
            eplb.modelled_sends(counts, each.placement, num_gpus=shape.gpus, num_nodes=shape.nodes, num_groups=GROUPS)
            for each in found.values()
        ]
        means = [each.sends.mean() for each in sends]
        imbalance = [each.imbalance.mean() for each in found.values()]
        cells = [
            f"{name}, {shape} ({len(counts)})",
            " / ".join(f"{each:.4f}" for each in imbalance) + f" ({worst:.3f})",
            triple(means, study),
            next_to(f"{kept(means):.0f} %", f"{kept(study):.0f} %", kept(means) < kept(study) / TOLERANCE),
            triple([each.busiest.mean() for each in sends], busiest),
            f"{max(each.error.max() for each in sends):.0e}",
        ]
        yield f"| {' | '.join(cells)} |"


# ------------------------------------------------------------------------------------------------------------- document


def table_a(solver):
    rows, met, missing = fresh(solver)
    if missing:
        print("traces are missing:", ", ".join(missing), file=sys.stderr)
    left_out = f"\n\nNot in the data folder, so left out: {', '.join(missing)}." if missing else ""
    return f"""## Marks

Five traces. Above the bound: the trace where it is most, and the mean over all layers; time: the median of the traces.

| nodes, slots/GPUs | effort | within 1.0102 | mark | points above the bound | mark | time / heap greedy | mark | met |
|---|---|---|---|---|---|---|---|---|
{lines(met)}

## Fresh placements

BEST, target {TARGET:g}. In brackets after the shape: layers. Empty: slots that stay empty where they may, of a layer;
the study's plans were of that kind. Of 9 nodes, 8 are homes: a group each.{left_out}

| trace, nodes, slots/GPUs | effort | off-home share, % | bound | above, points | within 1.0102, worst | time |
|---|---|---|---|---|---|---|
{lines(rows)}
"""


def lines(rows):
    return "\n".join(rows)


def table_b(solver):
    rows = [row for drift in DRIFTS for row in show(drift_rows(solver, drift))]
    return f"""## From an older placement

That of BEST, NORMAL, for the loads before, target {TARGET:g}; homes are kept. REBALANCE, off_home_target the same as
the target. By target: moves, off-home share ≥ bound in percent, layers that reach it, time. Kept: the imbalance if
nothing moves.

| loads, nodes, slots/GPUs | kept | effort | to 1.05 | to 1.02 | to 1.01 |
|---|---|---|---|---|---|
{lines(rows)}
"""


def table_c(solver):
    # A call takes up to a minute, and nothing is compared by percents.
    solver.repetitions = 1
    rows = [row for case in COMBINED for row in show(combined_rows(solver, case))]
    note = "" if HAS_EMPTY else "This version fills all slots of fresh placements.\n"
    return f"""## All at once

Windows kept apart, soft groups, unequal GPUs, slots that may be empty; then, at NORMAL, without one of these terms.
Nobody has studied this. Windows, in their order: {", ".join(SEEN)};
for a rebalance {LATER[-1]} instead of the last. It begins with a placement that was made by the same terms.
Imbalance: mean of each window; the worst window of a layer, as mean over layers and at most. A layer is within the
target if all its windows are. The bound is that of every window at the target (of their sum, where this is balanced);
it is weak, as what leaves home for one window has left it in all. Moves: in brackets those of experts that are left
without a slot. Arrivals: the most of a GPU in a layer. Times are of one run.
{note}
{COMBINED_HEAD}
{"|---" * COMBINED_HEAD.count(" | ")}|---|
{lines(rows)}
"""


def table_d(solver):
    rows = show(sends_rows(solver))
    efforts = ", ".join(f"{effort.upper()} on {shape.nodes} nodes" for shape, effort in SENDS_EFFORT.items())
    return f"""## Sends between nodes

Copies of a token that leave its node, and those that come into the node that gets most, per token, in the model of
eplb.modelled_sends: 8 experts of at most 4 groups. Hierarchical / soft / global, NORMAL; soft groups {efforts}.
Kept: how much of what the hierarchical policy saves soft groups save. Instead of the imbalance of the hierarchical
policy, the study had its bound. Error: by how much the model misses the counts at most.

| trace, nodes, slots/GPUs | imbalance | sends | kept | into the busiest node | error |
|---|---|---|---|---|---|
{lines(rows)}
"""


TABLES = {"A": table_a, "B": table_b, "C": table_c, "D": table_d}


def document(tables, commit, command, layers):
    some = (
        f"\n- every {layers}th of the layers of each row, so the studies' figures are of others" if layers > 1 else ""
    )
    return f"""# Soft groups

- machine: {processor()}, shared with other work while this ran; one thread; {eplb.backends()["cpu"].text}
- library: libeplb {eplb.__version__}, commit {commit}, Release (-O3)
- command: {command}
- DeepSeek-V3, {GROUPS} groups, policy soft, seed 0
- in brackets: the studies, on AVX2. **Bold**: worse than the study by more than 3 % (points above the bound, what an
  imbalance is above 1, moves; time as a multiple of the heap greedy), or fewer layers that reach the target
- off-home share: load that is served on another node than the one that serves most of its group, over all load. Bound:
  water-filling with these homes. These, imbalance and moves are computed from the maps, by code of the benchmark alone;
  means over layers
- a layer reaches a target if its imbalance is at most 0.0002 above it
- time: processor time of the thread per layer, from arrays in to a plan in Python; x: over the heap greedy of
  eplb_bench on the same loads, by turns, median of the ratios. The study's multiples are its ms over what its heap
  greedy took: 21.5-24.5 us at 288/32, 22-30 at other shapes{some}

{chr(10).join(tables)}"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=list(TABLES), help="this one alone")
    parser.add_argument("--quick", action="store_true", help="every eighth of the layers, one repetition")
    parser.add_argument("--layers", type=int, metavar="N", help="every Nth of the layers; 1, with --quick 8")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--data", default=os.path.join(os.path.dirname(ROOT), "shared", "data"))
    arguments = parser.parse_args()
    layers = arguments.layers or (8 if arguments.quick else 1)
    solver = Solver(arguments.data, arguments.quick, layers)
    if any(solver.read(f"deepseek-v3_{name}", 1) is None for name in TRACES):
        sys.exit(f"no measured traces in {arguments.data}")
    tables = [TABLES[name](solver) for name in ([arguments.table] if arguments.table else TABLES)]
    if arguments.markdown:
        options = {"--table": arguments.table, "--layers": arguments.layers}
        command = "python bench/soft.py" + (" --quick" if arguments.quick else "")
        command += "".join(f" {name} {value}" for name, value in options.items() if value)
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write(document(tables, arguments.commit, command, layers))


if __name__ == "__main__":
    main()
