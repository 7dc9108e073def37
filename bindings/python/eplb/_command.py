"""The commands: arguments in, tables, files and JSON out."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from . import _terminal
from ._arrays import Floats
from ._backends import describe_library
from ._compare_command import compare
from ._context import Context
from ._convert_command import convert
from ._costs import note_costs
from ._errors import Error, FileError, os_error_text
from ._evaluation import Evaluation
from ._figures import bound_clause, has_homes
from ._files.placement_eplb import take_cluster
from ._files.values import MOST_VALUES
from ._given_loads import GivenLoads, read_given
from ._library import version
from ._loads import relative_loads
from ._options import (
    Before,
    Bound,
    Device,
    Effort,
    Experts,
    Files,
    FirstLayer,
    Format,
    Gpus,
    Groups,
    Header,
    Index,
    Json,
    Layers,
    MaxReplicas,
    Nodes,
    Objective,
    OffHomeTarget,
    Output,
    Picture,
    PlanGpus,
    PlanGroups,
    PlanNodes,
    PlanOffHomeTarget,
    PlanPolicy,
    Policy,
    Redundant,
    Seed,
    Slots,
    Strategy,
    Threads,
    check_picture,
    naming,
    slots_of,
)
from ._output_file import check_output, refuse_inputs, write_file
from ._plan import Plan
from ._plan_argument import check_plan_output, number_layers, read_before, read_plan, write_plan
from ._problem import asked_of, before_of, problem_of, rows_before, sizes_of, unbalanced_of
from ._rebalance_command import rebalance
from ._replay_command import replay_command
from ._report import Report
from ._sweep_command import sweep_command
from ._tokens_command import (
    DispatchesStatically,
    Ranks,
    SplitsTokens,
    check_ranks,
    sentences_on_tokens,
    ways_of_tokens,
)
from ._wording import in_options, options_of, options_only
from .sample import sample_weights

app = typer.Typer(
    rich_markup_mode=None,
    help="Places the experts of Mixture-of-Experts models on GPUs so that none is late.",
)


def run(arguments: list[str]) -> int:
    """Runs a command line and returns its exit code. Errors are one sentence on stderr."""
    try:
        code = app(arguments or ["--help"], prog_name="eplb", standalone_mode=False)
        if sys.stdout is not None:
            # A full disk shows up here, where it can still be reported, and not when Python exits.
            sys.stdout.flush()
    except FileError as error:
        _terminal.complain(options_only(str(error)))
        return 2
    except Error as error:
        _terminal.complain(in_options(str(error), _options(arguments[0])))
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has seen enough.
        _terminal.leave(sys.stdout)
        return 1
    except OSError as error:
        # Files have their own errors, so this one is about standard output.
        _terminal.leave(sys.stdout)
        _terminal.complain(os_error_text(Path("standard output"), error))
        return 1
    except MemoryError:
        _terminal.complain("there is not enough memory for this")
        return 2
    except Exception as error:
        # Some versions of typer turn an interrupt into this, others into a code that they return.
        if isinstance(error.__cause__, KeyboardInterrupt):
            return 130
        # typer raises this about arguments. Its class has moved between versions; the method has not.
        if not hasattr(error, "format_message"):
            raise
        _terminal.complain(error.format_message())
        return 2
    return code if isinstance(code, int) else 0


def _options(name: str) -> set[str]:
    """Of the command of that name."""
    commands = {each.name or each.callback.__name__: each.callback for each in app.registered_commands if each.callback}
    return options_of(commands[name]) if name in commands else set()


def _print_version(wanted: bool) -> None:
    if wanted:
        _terminal.say(f"eplb {version()}")
        raise typer.Exit


@app.callback()
def _all_commands(
    shows_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def solve(
    files: Files,
    gpus: Gpus,
    slots: Slots = None,
    redundant: Redundant = None,
    nodes: Nodes = 1,
    groups: Groups = 1,
    strategy: Strategy = None,
    policy: Policy = "auto",
    off_home_target: OffHomeTarget = 1.01,
    objective: Objective = "sum",
    effort: Effort = "normal",
    seed: Seed = 0,
    max_replicas: MaxReplicas = None,
    bound: Bound = "simple",
    device: Device = "cpu",
    threads: Threads = 1,
    before: Before = None,
    output: Output = None,
    format: Format = None,
    first_layer: FirstLayer = None,
    picture: Picture = None,
    experts: Experts = None,
    layers: Layers = None,
    header: Header = None,
    index: Index = None,
    json_output: Json = False,
) -> None:
    """Places the experts of FILE and reports how well."""
    if strategy is not None and strategy.lower() == "rebalance":
        raise FileError("--strategy rebalance: starts from a placement, as eplb rebalance --current PLAN does")
    check_plan_output(output, format)
    check_picture(picture)
    outputs = [output, picture]
    refuse_inputs(outputs, filter(None, [before]))
    given = read_given(files, outputs, json_output, experts=experts, layers=layers, header=header, index=index)
    weights = given.weights
    numbers = number_layers(given, first_layer)
    former = read_before(before, given, gpus, numbers)
    problem = problem_of(slots_of(slots, redundant, weights.shape[-1]), gpus, nodes, groups, policy, off_home_target)
    options: dict[str, Any] = {
        "strategy": strategy,
        "objective": objective,
        "effort": effort,
        "seed": seed,
        "max_replicas": max_replicas or None,
    }
    with naming(given.name, before), Context(device, threads) as context, _terminal.progress("solving"):
        solve_again = partial(context.solve, weights, **problem, **options, bound=bound)
        plan = solve_again()
        given.note_plan(plan.report, partial(context.evaluate, plan), objective)
        was, loads = before_of(context, weights, problem, former)
        unbalanced = unbalanced_of(context, weights, problem)
        note_costs(given, plan.report, {**problem, **options}, solve_again, unbalanced)
    if output is not None:
        settings = {**problem, **options, "strategy": plan.report.strategy, "bound_kind": bound}
        write_plan(output, plan, settings, format, numbers, given)
    if picture is not None:
        plan.draw(weights, picture, before=former, title=given.title)
    if json_output:
        content = {**sizes_of(given, problem), **plan.report.to_dict(), **_homes_of(plan, problem)}
        _terminal.print_json({**content, "before": was.to_dict(), "no_balancer": unbalanced.to_dict()})
        return
    _show_plan(given, problem, objective, plan, rows_before(was, unbalanced), loads)


def _homes_of(figures: Plan | Evaluation, problem: dict[str, Any]) -> dict[str, list[float]]:
    """Layer by layer, for JSON."""
    if not has_homes(problem):
        return {}
    return {"off_home": figures.off_home.tolist(), "off_home_bound": figures.off_home_bound.tolist()}


def _show_plan(
    given: GivenLoads,
    problem: dict[str, Any],
    objective: str,
    plan: Plan,
    rows: dict[str, Report],
    before_loads: Floats,
) -> None:
    report, before, nodes = plan.report, rows["before"], problem["num_nodes"]
    layers, experts = given.weights.shape[-2:]
    slots, gpus = plan.physical_to_logical.shape[1], plan.gpu_load.shape[1]
    where = f"{slots} slots of {gpus} GPUs" + (f" on {nodes} nodes, {report.policy}" if nodes > 1 else "")
    _terminal.show_windows(given.weights, report, given.layers, objective)
    _terminal.show_homes(report, problem)
    _terminal.say(f"{given.short}: {layers} layer{'s' * (layers > 1)}, {experts} experts on {where}")
    _terminal.show_reports({**rows, str(report.strategy): report})
    worst = before.worst_layer
    loads = (relative_loads(before_loads)[worst], relative_loads(plan.gpu_load)[worst])
    _terminal.show_bars(int(given.layers[worst]), *loads)
    _terminal.say(
        f"The busiest GPU carries {report.imbalance_mean:.3f}x the mean, was {before.imbalance_mean:.3f}x; "
        f"{bound_clause(report)}."
    )


app.command()(rebalance)
app.command()(convert)
app.command()(compare)
app.command("sweep")(sweep_command)
app.command("replay")(replay_command)


@app.command()
def evaluate(
    files: Files,
    plan: Annotated[
        Path,
        typer.Argument(
            metavar="PLAN", help="A plan, an engine's file; or CSV, .npy [layers, slots], the expert in each slot."
        ),
    ],
    gpus: PlanGpus = None,
    nodes: PlanNodes = None,
    groups: PlanGroups = None,
    policy: PlanPolicy = None,
    off_home_target: PlanOffHomeTarget = None,
    max_replicas: MaxReplicas = None,
    first_layer: FirstLayer = None,
    bound: Bound = "simple",
    experts: Experts = None,
    layers: Layers = None,
    header: Header = None,
    index: Index = None,
    splits_tokens: SplitsTokens = False,
    static_dispatch: DispatchesStatically = False,
    ranks: Ranks = None,
    json_output: Json = False,
) -> None:
    """Checks that PLAN is a placement, and evaluates it under the weights of FILE."""
    check_ranks(ranks, static_dispatch)
    given = read_given(files, [], json_output, experts=experts, layers=layers, header=header, index=index)
    weights = given.weights
    numbers = number_layers(given, first_layer)
    placement = read_plan(plan, given, gpus, numbers)
    asked = asked_of(gpus, nodes, groups, policy, off_home_target, max_replicas)
    problem = {"num_gpus": placement.num_gpus, **placement.problem, **asked}
    if problem["num_gpus"] is None:
        raise FileError(f"{plan}: does not tell the number of GPUs: give --gpus")
    sizes = dict(problem)
    with naming(given.name, plan), Context() as context:
        options: dict[str, Any] = {"cluster": take_cluster(problem), **problem, "bound": bound}
        report = context.evaluate(placement, weights, **options)
        ways = ways_of_tokens(context, placement, options, splits_tokens, static_dispatch, ranks)
        given.note_plan(report, lambda windows: context.evaluate(placement, windows, **options))
    if json_output:
        tokens = {name: way.to_dict() for name, way in ways.items()}
        figures = {**report.to_dict(), **_homes_of(report, sizes), **tokens}
        _terminal.print_json({**given.to_dict(), "plan": str(plan), **figures})
        return
    _terminal.show_homes(report, sizes)
    _terminal.show_reports({plan.name: report}, tokens={name: {plan.name: way} for name, way in ways.items()})
    for sentence in sentences_on_tokens(ways, given.layers):
        _terminal.say(sentence)


@app.command()
def info(json_output: Json = False) -> None:
    """Shows the version, and which backends, devices and strategies there are, or why not."""
    facts = describe_library()
    if json_output:
        _terminal.print_json(facts)
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
    if layers * experts > MOST_VALUES:
        raise FileError(f"--layers {layers} times --experts {experts} is above {MOST_VALUES} values")
    rows = sample_weights(layers, experts, seed).tolist()
    write_file(output, "".join(",".join(map(str, row)) + "\n" for row in rows).encode())
    _terminal.say(f"{output}: {layers} layers, {experts} experts, made up")
