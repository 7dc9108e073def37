"""One problem solved in every way that there is, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ._arrays import Array, weights_to_host
from ._by_name import sizes_by_name
from ._context import Context
from ._errors import Error, Unavailable
from ._figures import has_homes, report_table
from ._files.values import counted
from ._library import EFFORTS, FROM_NOTHING, STRATEGIES, groups_of, integer
from ._loads import count_windows
from ._plan import Plan
from ._plan_doubts import doubts_of_plan
from ._problem import before_of, problem_of, rows_before, unbalanced_of
from ._report import Report
from ._shown import Showing, Shown
from ._tables import MOST_WINDOWS
from ._windows import Alone, alone_of, has_load


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Showing):
    """A table with a row for each way to solve a problem. It is printed, and shown in a notebook, as that.

    Attributes:
        rows: the report of each, by its name: a strategy, with its effort or what else sets it apart.
        refused: why others have none, by name.
        options: arguments of Context.solve for each: context.solve(weights, **comparison.options["best max"]).
        before: the report of what was there before, or of each expert once.
        no_balancer: of all slots filled in order.
    """

    rows: dict[str, Report]
    refused: dict[str, str]
    options: dict[str, dict[str, Any]]
    before: Report
    no_balancer: Report
    _num_windows: int
    _alone: dict[str, Alone]

    @property
    def best(self) -> str | None:
        """The row with the lowest imbalance, of equal ones the first; None if all are refused."""
        return lowest(self.rows)

    @property
    def best_as_asked(self) -> str | None:
        """The same without the row of the soft policy, which nobody asked for; of equal ones that of most effort."""
        strict = {name: report for name, report in reversed(self.rows.items()) if report.policy != "soft"}
        return lowest(strict or self.rows)

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain Python numbers, strings and lists, ready for JSON."""
        rows = {name: report.to_dict() for name, report in self.rows.items()}
        refused = {name: {"why": why} for name, why in self.refused.items()}
        without = {"before": self.before.to_dict(), "no_balancer": self.no_balancer.to_dict()}
        return {**without, "strategies": {**rows, **refused}}

    def table(self) -> list[tuple[str, ...]]:
        """The names of the columns, then the rows, as they are shown."""
        more = {"windows": "best windows" in self.options, "homes": has_homes(vars(self.before))}
        rows = {**rows_before(self.before, self.no_balancer), **self.rows}
        return report_table(rows, [kind for kind, shown in more.items() if shown])

    @property
    def warnings(self) -> list[str]:
        """What should be known of the best row before it is believed, as in Plan.warnings; but nothing of the loads."""
        best = self.best_as_asked
        if best is None:
            return []
        summed, whose = self.options[best].get("objective") != "windows", f" with {best}"
        return doubts_of_plan(
            self.rows[best], self._num_windows, alone=self._alone.get(best), summed=summed, whose=whose
        )

    def _refusals(self) -> list[str]:
        """A line for each row without figures."""
        return [f"{name}: {why}" for name, why in self.refused.items()]

    def __repr__(self) -> str:
        return str(self)

    def _show(self) -> Shown:
        columns, *rows = self.table()
        sizes = next(iter(self.options.values()))
        where = f"{sizes['num_slots']} slots of {counted(sizes['num_gpus'], 'GPU')}"
        said = [*self._lowest(), *(f"{line}." for line in self.warnings), *self._refusals()]
        return Shown(f"Comparison: {counted(len(self.before.imbalance), 'layer')} on {where}", columns, rows, said)

    def _lowest(self) -> list[str]:
        best = self.best
        if best is None:
            return []
        known = {name: report for name, report in self.rows.items() if report.num_windows > 1}
        in_windows = min(known, key=lambda name: known[name].windows_mean, default=best)
        more = f", in single windows that of {in_windows}" if in_windows != best else ""
        return [f"The lowest imbalance is that of {best}{more}."]


@sizes_by_name
def compare(
    weights: Any,
    num_slots: int,
    num_gpus: int,
    *,
    num_nodes: int | None = None,
    num_groups: int | None = None,
    policy: str = "auto",
    off_home_target: float = 1.01,
    seed: int = 0,
    max_replicas: int | None = None,
    bound: str = "simple",
    before: Any = None,
    device: Any = "cpu",
    num_threads: int = 1,
) -> Comparison:
    """Solves a problem with every strategy: best at all efforts, for windows if there are several, and soft.

    Each row is solved up to five times, for its time, which is the least of these.

    Args:
        weights: [L,E] or [T,L,E] as for Context.solve, or Loads.
        num_slots, num_gpus, num_nodes, num_groups, policy, off_home_target, seed, max_replicas, bound: as for
            Context.solve.
        before: a plan or integers [L,S], for the row of this name; None: each expert once, in order.
        device, num_threads: as for Context.

    Raises:
        InvalidPlacement: before is no placement.
        InvalidArgument, InvalidWeight, Unavailable: as Context.solve. What one row alone refuses is in `refused`.
    """
    nodes = 1 if num_nodes is None else integer("num_nodes", num_nodes, 1)
    groups = integer("num_groups", groups_of(num_groups), 1)
    problem = problem_of(num_slots, num_gpus, nodes, groups, policy, off_home_target)
    table, _ = weights_to_host(weights)
    with Context(device, num_threads) as context:
        return compare_in(context, table, problem, before, seed=seed, max_replicas=max_replicas, bound=bound)


def compare_in(
    context: Context,
    weights: Array,
    problem: dict[str, Any],
    before: Any = None,
    move: Callable[[str, int], None] = lambda name, done: None,
    **options: Any,
) -> Comparison:
    """The same in a context, for a problem as Context.solve takes it.

    Args:
        before: as for compare.
        move: is called with the name of each row, and 0 before its solve, 1 after it.
        options: of all rows.
    """
    context.upload(weights)
    rows: dict[str, Report] = {}
    alone: dict[str, Alone] = {}
    refused: dict[str, str] = {}
    refusal: Error | None = None
    options_of = {name: {**problem, **options, **choice} for name, choice in choices(weights, problem).items()}
    for name, row in options_of.items():
        move(name, 0)
        try:
            plan = _fastest(partial(context.solve, None, **row))
            rows[name] = plan.report
            if plan.report.num_windows > 1:
                alone[name] = alone_of(plan.window_imbalance, has_load(weights))
        except Unavailable as unavailable:
            refused[name] = str(unavailable)
        except Error as error:
            # One strategy may reject what others accept, such as a cap. What all reject is the caller's mistake.
            refused[name] = str(error)
            refusal = error
        move(name, 1)
    if refusal is not None and not rows:
        raise refusal
    was, unbalanced = before_of(context, weights, problem, before)[0], unbalanced_of(context, weights, problem)
    return Comparison(rows, refused, options_of, was, unbalanced, count_windows(weights), alone)


def choices(weights: Array, problem: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each row of the table, by its name."""
    # Only best knows efforts.
    rows: dict[str, dict[str, Any]] = {name: {"strategy": name} for name in FROM_NOTHING if name != "best"}
    rows |= {f"best {effort}": {"strategy": "best", "effort": effort} for effort in EFFORTS if "best" in STRATEGIES}
    if 1 < count_windows(weights) <= MOST_WINDOWS:
        rows["best windows"] = {"strategy": "best", "objective": "windows"}
    if has_homes(problem) and problem["policy"] != "soft":
        rows["best soft"] = {"strategy": "best", "policy": "soft"}
    return rows


def lowest(rows: dict[str, Report]) -> str | None:
    """The first of the rows with the lowest imbalance, if there is one."""
    return min(rows, key=lambda name: rows[name].imbalance_mean, default=None)


def _fastest(solve: Callable[[], Plan]) -> Plan:
    """The fastest of several equal solves: the first one also allocates."""
    plans: list[Plan] = []
    while len(plans) < 5 and sum(plan.report.microseconds for plan in plans) < 200_000:
        plans.append(solve())
        # Later, it would have another time.
        plans[-1].report  # noqa: B018
    return min(plans, key=lambda plan: plan.report.microseconds)
