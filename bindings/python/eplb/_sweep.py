"""How many redundant experts pay: the balance for many numbers of slots, GPUs, nodes and groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import product
from typing import Any

from ._arrays import weights_to_host
from ._library import integer, invalid_argument
from ._loads import count_windows
from ._many_solves import Progress, count_threads, solve_on_dask, solve_on_threads
from ._report import Report
from ._sweep_result import Sweep, SweepRow

# Without an argument redundant: slots of a GPU beyond the fewest possible.
_MOST_MORE = 4
# Far more than anyone waits for.
_MOST_ROWS = 10_000
_MEBI = 1024


def sweep(
    weights: Any,
    gpus: int | Iterable[int],
    redundant: int | Iterable[int] | None = None,
    *,
    nodes: int | Iterable[int] = 1,
    groups: int | Iterable[int] = 1,
    policy: str = "auto",
    strategy: str | None = None,
    objective: str = "sum",
    off_home_target: float = 1.01,
    effort: str = "normal",
    seed: int = 0,
    max_replicas: int | None = None,
    bound: str = "simple",
    expert_mib: float | None = None,
    threads: int | None = None,
    dask: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Solves every legal combination of sizes, and finds the smallest size that is good enough.

    Args:
        weights: [L,E] or [T,L,E], as for Context.solve, on the host; or what read_loads returns.
        gpus, nodes, groups: numbers of GPUs, of nodes and of groups, one or several.
        redundant: slots of a layer beyond one for each expert, one or several numbers, such as range(0, 65, 8). What
            is no multiple of the GPUs is left out, as is all else that is not legal. None: the fewest slots that a GPU
            can have, and up to four more.
        policy, strategy, objective, off_home_target, effort, seed, max_replicas, bound: as for Context.solve.
        expert_mib: memory of an expert, in MiB, for gib_per_gpu.
        threads: CPU threads; None: all cores that this process may use. The rows are the same for any number.
        dask: address of a Dask scheduler whose workers solve instead, such as "tcp://10.0.0.1:8786"; the rows are the
            same. Workers need this package.
        progress: called after each solve with the number of those that are done and of all, in this thread.

    Raises:
        InvalidArgument: numbers that cannot be, more than 10000 combinations, and if no combination is legal.
        InvalidWeight, Unavailable: as Context.solve; Unavailable if there is no Dask, or nothing answers.
    """
    host, _ = weights_to_host(getattr(weights, "counts", weights))
    layers, experts = host.shape[-2:]
    size = None if expert_mib is None else check_mib(expert_mib)
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
    workers, done = count_threads(threads), progress or (lambda *_: None)
    places = _combined(experts, gpus, nodes, groups, redundant)
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
    in_windows = str(objective).lower() == "windows" and count_windows(host) > 1
    left_out = Counter(refusal for refusal in refusals if refusal is not None)
    return Sweep(rows, layers, "windows_mean" if in_windows else "imbalance_mean", dict(left_out))


def gib_per_gpu(slots_per_gpu: float, num_layers: int, expert_mib: float) -> float:
    """Memory of the experts of all layers on a GPU."""
    return slots_per_gpu * num_layers * expert_mib / _MEBI


def check_mib(value: Any) -> float:
    try:
        size = float(value)
    except (TypeError, ValueError):
        raise invalid_argument(f"expert_mib is {value!r}, must be a number") from None
    if not (size > 0 and math.isfinite(size)):
        raise invalid_argument(f"expert_mib is {size}, must be positive and finite")
    return size


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
    return sorted({integer(argument, number, least, 2**18) for number in several})


def _combined(experts: int, gpus: Any, nodes: Any, groups: Any, redundant: Any) -> list[tuple[int, ...]]:
    """GPUs, nodes, groups and redundant slots, ascending."""
    given = {"gpus": gpus, "nodes": nodes, "groups": groups}
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
    """The rule that a combination breaks, as the library has it."""
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
    rule = Counter(refusals).most_common(1)[0][0]
    gpus, least = first[0], -experts % first[0]
    hint = f": {least} or {least + gpus} redundant would do for {gpus} GPUs" if rule and "GPUs" in rule else ""
    return invalid_argument(f"no combination of sizes is legal for {experts} experts: {rule}{hint}")


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
        gib_per_gpu=None if expert_mib is None else gib_per_gpu(slots // gpus, layers, expert_mib),
        **{name: getattr(report, name) for name in fields},
        policy=report.policy,
    )
