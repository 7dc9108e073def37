"""How many redundant experts pay: the balance for many numbers of slots, GPUs, nodes and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import product
from typing import Any

from ._arrays import weights_to_host
from ._library import MOST_SLOTS, integer, invalid_argument, positive
from ._loads import count_windows
from ._many_solves import Progress, count_threads, solve_on_dask, solve_on_threads
from ._memory import gib_of
from ._report import Report
from ._sweep_result import Sweep, SweepRow
from ._windows import balances_windows

# Without an argument redundant: slots of a GPU beyond the fewest possible.
_MOST_MORE = 4
# Far more than anyone waits for.
_MOST_ROWS = 10_000


def sweep(
    weights: Any,
    num_gpus: int | Iterable[int],
    redundant: int | Iterable[int] | None = None,
    *,
    num_nodes: int | Iterable[int] = 1,
    num_groups: int | Iterable[int] = 1,
    policy: str = "auto",
    strategy: str | None = None,
    objective: str = "sum",
    off_home_target: float = 1.01,
    effort: str = "normal",
    seed: int = 0,
    max_replicas: int | None = None,
    bound: str = "simple",
    expert_mib: float | None = None,
    num_threads: int | None = None,
    dask: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Solves every legal combination of sizes, and finds the smallest size that is enough.

    Args:
        weights: [L,E] or [T,L,E], as for Context.solve, on the host; or what read_loads returns.
        num_gpus, num_nodes, num_groups: as for Context.solve, one number or several.
        redundant: slots of a layer beyond one for each expert, one or several numbers, such as range(0, 65, 8). What
            is no multiple of the GPUs is left out, as is all else that is not legal. None: the fewest slots that a GPU
            can have, and up to four more.
        policy, strategy, objective, off_home_target, effort, seed, max_replicas, bound: as for Context.solve.
        expert_mib: memory of an expert in one layer, in MiB, for gib_per_gpu.
        num_threads: CPU threads; None: all cores that this process may use. The rows are the same for any number.
        dask: address of a Dask scheduler whose workers solve instead, such as "tcp://10.0.0.1:8786"; the rows are the
            same. Workers need this package.
        progress: called after each solve with the number of those that are done and of all, in this thread.

    Raises:
        InvalidArgument: numbers that cannot be, more than 10000 combinations, and if no combination is legal.
        InvalidWeight, Unavailable: as Context.solve; Unavailable if there is no Dask, or nothing answers.
    """
    host, _ = weights_to_host(weights)
    layers, experts = host.shape[-2:]
    size = positive("expert_mib", expert_mib)
    cap = None if max_replicas is None else integer("max_replicas", max_replicas, 0)
    options = {
        "policy": policy,
        "strategy": strategy,
        "objective": objective,
        "off_home_target": off_home_target,
        "effort": effort,
        "seed": seed,
        "max_replicas": cap,
        "bound": bound,
    }
    workers, done = count_threads(num_threads), progress or (lambda *_: None)
    places = _combined(experts, num_gpus, num_nodes, num_groups, redundant)
    refusals = [_why_illegal(experts, place, policy, cap) for place in places]
    legal = [place for place, refusal in zip(places, refusals, strict=True) if refusal is None]
    if not legal:
        raise _nothing_legal(experts, places[0], refusals)
    problems = [{**_sizes(experts, place), **options} for place in legal]
    if dask is None:
        reports = solve_on_threads(host, problems, workers, done)
    else:
        reports = solve_on_dask(host, problems, dask, done)
    rows = [_row(*each, experts, layers, size) for each in zip(legal, reports, strict=True)]
    windows = count_windows(host)
    return Sweep(
        rows,
        num_layers=layers,
        num_experts=experts,
        num_windows=windows,
        figure="windows_mean" if balances_windows(objective, windows) else "imbalance_mean",
        expert_mib=size,
        left_out=dict(Counter(refusal for refusal in refusals if refusal is not None)),
    )


def _numbers(argument: str, given: Any, least: int = 1) -> list[int]:
    """One number or several, ascending, each once."""
    if isinstance(given, str):
        raise invalid_argument(f"{argument} is {given!r}, must be a number, or several")
    try:
        several = list(given)
    except TypeError:
        several = [given]
    if not several:
        raise invalid_argument(f"{argument} is empty, must have a number at least")
    return sorted({integer(argument, number, least, MOST_SLOTS) for number in several})


def _combined(experts: int, gpus: Any, nodes: Any, groups: Any, redundant: Any) -> list[tuple[int, ...]]:
    """GPUs, nodes, groups and redundant slots, ascending."""
    given = {"num_gpus": gpus, "num_nodes": nodes, "num_groups": groups}
    counts = [_numbers(name, each) for name, each in given.items()]
    wanted = None if redundant is None else _numbers("redundant", redundant, 0)
    places = [(*place, number) for place in product(*counts) for number in wanted or _usual(experts, place[0])]
    if len(places) > _MOST_ROWS:
        raise invalid_argument(f"{len(places)} combinations of sizes are too many: at most {_MOST_ROWS}")
    # Groups are of no account on one node.
    return [place for place in places if place[1] > 1 or place[2] == counts[2][0]]


def _usual(experts: int, gpus: int) -> list[int]:
    fewest = -(-experts // gpus)
    return [(fewest + more) * gpus - experts for more in range(_MOST_MORE + 1)]


def _sizes(experts: int, place: tuple[int, ...]) -> dict[str, int]:
    gpus, nodes, groups, redundant = place
    return {"num_slots": experts + redundant, "num_gpus": gpus, "num_nodes": nodes, "num_groups": groups}


def _why_illegal(experts: int, place: tuple[int, ...], policy: str, cap: int | None) -> str | None:
    """Why a combination is not legal, as the library has it."""
    gpus, nodes, groups, redundant = place
    if (experts + redundant) % gpus:
        return "slots must be a multiple of the GPUs"
    if cap and experts + redundant > cap * experts:
        return "max_replicas must leave no slot empty"
    name = str(policy).lower()
    if name == "hierarchical" and groups % nodes:
        return "groups must be a multiple of the nodes"
    if name == "hierarchical" or (name == "auto" and groups % nodes == 0):
        if experts % groups:
            return "experts must be a multiple of the groups"
        if gpus % nodes:
            return "GPUs must be a multiple of the nodes"
    return None


def _nothing_legal(experts: int, first: tuple[int, ...], refusals: list[str | None]) -> Exception:
    why = Counter(refusals).most_common(1)[0][0]
    gpus, least = first[0], -experts % first[0]
    hint = f": {least} or {least + gpus} redundant would do for {gpus} GPUs" if why and "GPUs" in why else ""
    return invalid_argument(f"no combination of sizes is legal for {experts} experts: {why}{hint}")


def _row(place: tuple[int, ...], report: Report, experts: int, layers: int, expert_mib: float | None) -> SweepRow:
    gpus, nodes, groups, redundant = place
    slots = experts + redundant
    fields = ("imbalance_mean", "imbalance_worst", "worst_layer", "bound_mean", "windows_mean", "windows_worst")
    return SweepRow(
        num_gpus=gpus,
        num_nodes=nodes,
        num_groups=groups,
        redundant=redundant,
        num_slots=slots,
        slots_per_gpu=slots // gpus,
        gib_per_gpu=None if expert_mib is None else gib_of(slots // gpus * layers, expert_mib),
        **{name: getattr(report, name) for name in fields},
        policy=report.policy,
    )
