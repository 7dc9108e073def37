"""The commands: arguments in, tables, files and JSON out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from . import _terminal
from ._arrays import Array, Floats
from ._backends import describe_library
from ._context import Context
from ._convert_command import convert
from ._errors import Error, Unavailable
from ._evaluation import Evaluation
from ._files.placement_eplb import take_cluster
from ._library import EFFORTS, STRATEGIES
from ._loads import count_windows, gpu_loads, node_loads, placement_before, relative_loads, sum_windows
from ._options import (
    Bound,
    Device,
    Effort,
    File,
    FirstLayer,
    Format,
    Gpus,
    Groups,
    Json,
    MaxReplicas,
    Nodes,
    Objective,
    OffHomeTarget,
    Output,
    Policy,
    Seed,
    Slots,
    Threads,
    check_picture,
    naming,
    print_json,
)
from ._output_file import check_output, refuse_inputs
from ._plan import Plan
from ._plan_argument import check_plan_output, number_layers, read_plan, write_plan
from ._rebalance_command import rebalance
from ._report import Report
from ._weight_file import FileError, os_error_text, read_weights
from ._windows import MOST_WINDOWS
from .sample import sample_weights

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Places the experts of Mixture-of-Experts models on GPUs so that none is late.",
)

# The other one starts from a placement, which the command rebalance has.
_FROM_NOTHING = [name for name in STRATEGIES if name != "rebalance"]
# Far above any model, far below what fills a machine's memory.
_MOST_SAMPLES = 2**24


def run(arguments: list[str]) -> int:
    """Runs a command line and returns its exit code. Errors are one sentence on stderr."""
    try:
        code = app(arguments or ["--help"], prog_name="eplb", standalone_mode=False)
        if sys.stdout is not None:
            # A full disk shows up here, where it can still be reported, and not when Python exits.
            sys.stdout.flush()
    except (FileError, Error) as error:
        _terminal.complain(str(error))
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader closed the pipe. Python would complain again when it flushes at exit.
        _leave_output()
        return 1
    except OSError as error:
        # Files have their own errors, so this one is about standard output.
        _leave_output()
        _terminal.complain(os_error_text(Path("standard output"), error))
        return 2
    except Exception as error:
        # typer raises this about arguments. Its class has moved between versions; the method has not.
        if not hasattr(error, "format_message"):
            raise
        _terminal.complain(error.format_message())
        return 2
    # typer turns an interrupt into a code that it returns.
    return code if isinstance(code, int) else 0


def _leave_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _before(context: Context, weights: Array, problem: dict[str, Any]) -> tuple[Evaluation, Floats]:
    """Report and loads without a balancer. That placement ignores nodes, so it is evaluated under the global policy."""
    sizes = {**problem, "policy": "global"}
    placement = placement_before(weights.shape[-2], weights.shape[-1], sizes.pop("num_slots"))
    return context.evaluate(placement, **sizes), gpu_loads(sum_windows(weights), placement, sizes["num_gpus"])


def _draw(
    path: Path,
    weights: Array,
    problem: dict[str, Any],
    before: Evaluation,
    before_loads: Floats,
    plan: Plan,
    title: str,
) -> None:
    from .picture import Windows, draw_comparison

    homes = windows = None
    if _terminal.has_homes(problem):
        sizes = (problem[name] for name in ("num_gpus", "num_nodes", "num_groups"))
        homes = node_loads(sum_windows(weights), plan.physical_to_logical, *sizes)
    if plan.report.num_windows > 1:
        mean = weights.sum(axis=2, dtype=np.float64).T / plan.gpu_load.shape[1]
        lowest = np.divide(plan.window_bound, mean, out=np.ones_like(mean), where=mean > 0)
        windows = Windows(before.window_imbalance, plan.window_imbalance, lowest)
    try:
        draw_comparison(path, before_loads, plan.gpu_load, plan.bound, title=title, windows=windows, homes=homes)
    except OSError as error:
        raise FileError(os_error_text(path, error)) from None


def _problem(slots: int, gpus: int, nodes: int, groups: int, policy: str, off_home_target: float) -> dict[str, Any]:
    return {
        "num_slots": slots,
        "num_gpus": gpus,
        "num_nodes": nodes,
        "num_groups": groups,
        "policy": policy,
        "off_home_target": off_home_target,
    }


def _sizes(file: Path, weights: Array, problem: dict[str, Any]) -> dict[str, Any]:
    layers, experts = weights.shape[-2:]
    return {"file": str(file), "num_layers": layers, "num_experts": experts, **problem}


@app.command()
def solve(
    file: File,
    slots: Slots,
    gpus: Gpus,
    nodes: Nodes = 1,
    groups: Groups = 1,
    strategy: Annotated[str | None, typer.Option("--strategy", help=f"{', '.join(_FROM_NOTHING)}.")] = None,
    policy: Policy = "auto",
    off_home_target: OffHomeTarget = 1.01,
    objective: Objective = "sum",
    effort: Effort = "normal",
    seed: Seed = 0,
    max_replicas: MaxReplicas = None,
    bound: Bound = "simple",
    device: Device = "cpu",
    threads: Threads = 1,
    output: Output = None,
    format: Format = None,
    first_layer: FirstLayer = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw before and after, as .png, .svg or .pdf.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Places the experts of FILE and reports how well."""
    check_plan_output(output, format)
    if picture is not None:
        check_picture(picture)
    refuse_inputs([output, picture], [file])
    weights = read_weights(file)
    numbers = number_layers(file, weights.shape[-2], first_layer)
    problem = _problem(slots, gpus, nodes, groups, policy, off_home_target)
    options: dict[str, Any] = {
        "strategy": strategy,
        "objective": objective,
        "effort": effort,
        "seed": seed,
        "max_replicas": max_replicas,
    }
    with naming(file), Context(device, threads) as context, _terminal.progress("solving"):
        plan = context.solve(weights, **problem, **options, bound=bound)
        before, before_loads = _before(context, weights, problem)
    if output is not None:
        settings = {**problem, **options, "strategy": plan.report.strategy, "bound_kind": bound}
        write_plan(output, plan, settings, format, numbers)
    if picture is not None:
        _draw(picture, weights, problem, before, before_loads, plan, file.stem)
    if json_output:
        content = {**_sizes(file, weights, problem), **plan.report.to_dict(), **_homes_of(plan, problem)}
        print_json({**content, "before": before.to_dict()})
        return
    _show_plan(file, weights, problem, objective, plan, before, before_loads)


def _homes_of(figures: Plan | Evaluation, problem: dict[str, Any]) -> dict[str, list[float]]:
    """Layer by layer, for JSON."""
    if not _terminal.has_homes(problem):
        return {}
    return {"off_home": figures.off_home.tolist(), "off_home_bound": figures.off_home_bound.tolist()}


def _show_plan(
    file: Path,
    weights: Array,
    problem: dict[str, Any],
    objective: str,
    plan: Plan,
    before: Report,
    before_loads: Floats,
) -> None:
    report, nodes = plan.report, problem["num_nodes"]
    layers, experts = weights.shape[-2:]
    slots, gpus = plan.physical_to_logical.shape[1], plan.gpu_load.shape[1]
    where = f"{slots} slots of {gpus} GPUs" + (f" on {nodes} nodes, {report.policy}" if nodes > 1 else "")
    _terminal.show_windows(weights, report, objective=objective)
    _terminal.show_homes(report, problem)
    _terminal.say(f"{file.name}: {layers} layer{'s' * (layers > 1)}, {experts} experts on {where}")
    _terminal.show_reports({"before": before, str(report.strategy): report})
    worst = before.worst_layer
    loads = (relative_loads(before_loads)[worst], relative_loads(plan.gpu_load)[worst])
    _terminal.show_bars(worst, *loads)
    _terminal.say(
        f"The busiest GPU carries {report.imbalance_mean:.3f}x the mean, was {before.imbalance_mean:.3f}x; "
        f"no placement gets below {report.bound_mean:.3f}x."
    )


app.command()(rebalance)
app.command()(convert)


def _fastest(solve: Callable[[], Plan]) -> Report:
    """The report of the fastest of several equal solves: the first one also allocates."""
    reports: list[Report] = []
    while len(reports) < 5 and sum(report.microseconds for report in reports) < 200_000:
        reports.append(solve().report)
    return min(reports, key=lambda report: report.microseconds)


@app.command()
def compare(
    file: File,
    slots: Slots,
    gpus: Gpus,
    nodes: Nodes = 1,
    groups: Groups = 1,
    policy: Policy = "auto",
    off_home_target: OffHomeTarget = 1.01,
    seed: Seed = 0,
    max_replicas: MaxReplicas = None,
    bound: Bound = "simple",
    device: Device = "cpu",
    threads: Threads = 1,
    json_output: Json = False,
) -> None:
    """Solves FILE with every strategy and shows them side by side: best at all efforts, for windows, and soft."""
    weights = read_weights(file)
    problem = _problem(slots, gpus, nodes, groups, policy, off_home_target)
    options: dict[str, Any] = {**problem, "seed": seed, "max_replicas": max_replicas, "bound": bound}
    reports: dict[str, Report | str] = {}
    refusal: Error | None = None
    # Only best knows efforts.
    rows_of: dict[str, dict[str, Any]] = {name: {"strategy": name} for name in _FROM_NOTHING if name != "best"}
    rows_of |= {f"best {effort}": {"strategy": "best", "effort": effort} for effort in EFFORTS if "best" in STRATEGIES}
    if 1 < count_windows(weights) <= MOST_WINDOWS:
        rows_of["best windows"] = {"strategy": "best", "objective": "windows"}
    if _terminal.has_homes(problem) and policy != "soft":
        rows_of["best soft"] = {"strategy": "best", "policy": "soft"}
    with naming(file), Context(device, threads) as context, _terminal.progress("", len(rows_of)) as move:
        for name, choice in rows_of.items():
            move(name)
            try:
                reports[name] = _fastest(partial(context.solve, weights, **{**options, **choice}))
            except Unavailable as unavailable:
                reports[name] = str(unavailable)
            except Error as error:
                # One strategy may reject what others accept, such as a cap. What all reject is the caller's mistake.
                reports[name] = str(error)
                refusal = error
            move(name, 1)
        if refusal is not None and not any(isinstance(report, Report) for report in reports.values()):
            raise refusal
        before = _before(context, weights, problem)[0]
    if json_output:
        rows = {name: row.to_dict() if isinstance(row, Report) else {"why": row} for name, row in reports.items()}
        print_json({**_sizes(file, weights, problem), "before": before.to_dict(), "strategies": rows})
        return
    solved = {name: report for name, report in reports.items() if isinstance(report, Report)}
    if solved:
        best = min(solved, key=lambda name: solved[name].imbalance_mean)
        _terminal.show_windows(weights, solved[best], f" of {best}")
    more = {"windows": "best windows" in reports, "homes": _terminal.has_homes(problem)}
    _terminal.show_reports({"before": before, **reports}, [kind for kind, shown in more.items() if shown])


@app.command()
def evaluate(
    file: File,
    plan: Annotated[
        Path, typer.Argument(help="A plan, an engine's file; or CSV, .npy [layers, slots], the expert in each slot.")
    ],
    gpus: Annotated[int | None, typer.Option("--gpus", help="GPUs, if the plan does not tell.")] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", help="Nodes, if the plan does not tell.")] = None,
    groups: Annotated[int | None, typer.Option("--groups", help="Groups, if the plan does not tell.")] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="auto, hierarchical, global or soft.")] = None,
    off_home_target: Annotated[
        float | None,
        typer.Option("--off-home-target", help="Imbalance that the least load away from home is for."),
    ] = None,
    first_layer: FirstLayer = None,
    bound: Bound = "simple",
    json_output: Json = False,
) -> None:
    """Checks that PLAN is a placement, and evaluates it under the weights of FILE."""
    weights = read_weights(file)
    numbers = number_layers(file, weights.shape[-2], first_layer)
    placement = read_plan(plan, file, weights.shape, gpus, numbers)
    asked = {
        "num_gpus": gpus,
        "num_nodes": nodes,
        "num_groups": groups,
        "policy": policy,
        "off_home_target": off_home_target,
    }
    problem = {"num_gpus": placement.num_gpus, **placement.problem}
    problem.update({name: value for name, value in asked.items() if value is not None})
    if problem["num_gpus"] is None:
        raise FileError(f"{plan}: does not tell the number of GPUs: give --gpus")
    sizes = dict(problem)
    with naming(file, plan), Context() as context:
        report = context.evaluate(placement, weights, cluster=take_cluster(problem), **problem, bound=bound)
    if json_output:
        print_json({"file": str(file), "plan": str(plan), **report.to_dict(), **_homes_of(report, sizes)})
        return
    _terminal.show_windows(weights, report)
    _terminal.show_homes(report, sizes)
    _terminal.show_reports({plan.name: report})


@app.command()
def info(json_output: Json = False) -> None:
    """Shows the version, and which backends, devices and strategies there are, or why not."""
    facts = describe_library()
    if json_output:
        print_json(facts)
        return
    _terminal.say(f"libeplb {facts['version']}, ABI {facts['abi']}: {facts['library']}")
    for name, backend in facts["backends"].items():
        _terminal.say(f"{name}: {'usable' if backend['usable'] else 'not usable'}, {backend['why']}")
        for index, device in enumerate(backend["devices"]):
            _terminal.say(f"  {name}:{index} {device}")
    there = [name for name, has in facts["strategies"].items() if has]
    missing = [name for name, has in facts["strategies"].items() if not has]
    _terminal.say(f"strategies: {', '.join(there)}; the default is {facts['default_strategy']}")
    if missing:
        _terminal.say(f"not in this version: {', '.join(missing)}")


@app.command()
def sample(
    output: Annotated[Path, typer.Option("-o", "--output", help="The CSV to write.")],
    layers: Annotated[int, typer.Option("--layers", min=1, help="Layers.")] = 58,
    experts: Annotated[int, typer.Option("--experts", min=1, help="Experts of a layer.")] = 256,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same file.")] = 0,
) -> None:
    """Makes up weights that look like those of DeepSeek-V3, and writes them as CSV."""
    check_output(output)
    if layers * experts > _MOST_SAMPLES:
        raise FileError(f"--layers {layers} times --experts {experts} is above {_MOST_SAMPLES} values")
    rows = sample_weights(layers, experts, seed).tolist()
    try:
        output.write_text("".join(",".join(map(str, row)) + "\n" for row in rows), encoding="ascii")
    except OSError as error:
        raise FileError(os_error_text(output, error)) from None
    _terminal.say(f"{output}: {layers} layers, {experts} experts, made up")
