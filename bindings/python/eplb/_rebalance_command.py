"""The command that changes a placement by few moves."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from . import _terminal
from ._context import Context
from ._costs import note_costs
from ._errors import FileError
from ._given_loads import read_given
from ._library import TRANSFER_ORDERS
from ._options import (
    Bound,
    Device,
    Effort,
    Experts,
    Files,
    FirstLayer,
    Format,
    Header,
    Index,
    Json,
    Layers,
    MaxReplicas,
    Objective,
    Output,
    Picture,
    PlanGroups,
    PlanNodes,
    PlanOffHomeTarget,
    PlanPolicy,
    Seed,
    Threads,
    check_picture,
    naming,
    one_of,
)
from ._output_file import check_output, refuse_inputs
from ._plan_argument import check_plan_output, number_layers, read_plan, write_plan
from ._problem import asked_of
from ._start import read_start
from ._work import Work, write_transfers

Current = Annotated[
    Path,
    typer.Option(
        "--current", help="Where experts are: a plan, an engine's file; or CSV, .npy [layers, slots], -1: nothing."
    ),
]
Gpus = Annotated[
    int | None, typer.Option("--gpus", help="GPUs. Default: those of the plan; more than it has: the last are new.")
]
Dead = Annotated[str | None, typer.Option("--dead", help="GPUs that are lost with their contents, like 3,17 or 8-15.")]
Drain = Annotated[str | None, typer.Option("--drain", help="GPUs to be emptied, whose contents can still be read.")]
GpuSlots = Annotated[Path | None, typer.Option("--gpu-slots", help="CSV: the number of slots of every GPU.")]
Speeds = Annotated[Path | None, typer.Option("--speeds", help="CSV: the speed of every GPU.")]
MaxMoves = Annotated[int | None, typer.Option("--max-moves", help="Most moves of a layer.")]
MaxMovesTotal = Annotated[int | None, typer.Option("--max-moves-total", help="Most moves of all layers together.")]
MaxArrivals = Annotated[int | None, typer.Option("--max-arrivals", help="Most experts that a GPU gets in a layer.")]
Target = Annotated[
    float | None,
    typer.Option("--target", help="Imbalance that is good enough; 0: none. Default: 1.02, none with another limit."),
]
MovePrice = Annotated[float, typer.Option("--move-price", help="Imbalance that every move must gain.")]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="Let slots become empty where this saves moves.")]
TransferOrder = Annotated[
    str,
    typer.Option(
        "--transfer-order", help="How the engine moves: buffered, in_place or exclusive.", **one_of(TRANSFER_ORDERS)
    ),
]
Transfers = Annotated[Path | None, typer.Option("--moves", help="Write the transfers as CSV, one per row.")]


def rebalance(
    files: Files,
    current: Current,
    gpus: Gpus = None,
    nodes: PlanNodes = None,
    groups: PlanGroups = None,
    policy: PlanPolicy = None,
    off_home_target: PlanOffHomeTarget = None,
    dead: Dead = None,
    drain: Drain = None,
    gpu_slots: GpuSlots = None,
    speeds: Speeds = None,
    max_moves: MaxMoves = None,
    max_moves_total: MaxMovesTotal = None,
    max_arrivals: MaxArrivals = None,
    target: Target = None,
    move_price: MovePrice = 0.0,
    allow_empty: AllowEmpty = False,
    transfer_order: TransferOrder = "buffered",
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
    moves: Transfers = None,
    picture: Picture = None,
    experts: Experts = None,
    layers: Layers = None,
    header: Header = None,
    index: Index = None,
    json_output: Json = False,
) -> None:
    """Changes a placement by few moves, so that it serves the weights of FILE."""
    check_plan_output(output, format)
    _check_outputs(moves, picture)
    outputs = [output, moves, picture]
    refuse_inputs(outputs, filter(None, [current, gpu_slots, speeds]))
    given = read_given(files, outputs, json_output, experts=experts, layers=layers, header=header, index=index)
    weights = given.weights
    placement = read_plan(current, given, gpus, number_layers(given, first_layer))
    start = read_start(current, asked_of(gpus, nodes, groups, policy, off_home_target), placement)
    start.change_gpus(dead, drain, gpu_slots, speeds)
    limits: dict[str, Any] = {
        "max_moves": max_moves,
        "max_moves_total": max_moves_total,
        "max_arrivals": max_arrivals,
        "target": target,
        "move_price": move_price,
        "allow_empty": allow_empty,
    }
    options: dict[str, Any] = {
        "objective": objective,
        "effort": effort,
        "seed": seed,
        "max_replicas": max_replicas or None,
        "transfer_order": transfer_order,
    }
    with naming(given.name, current), Context(device, threads) as context, _terminal.progress("rebalancing"):
        rebalance_again = partial(context.rebalance, weights, start.current, **start.problem(), **limits, **options)
        plan = rebalance_again(bound=bound)
        work = Work(weights, start.current, start.cluster, plan)
        judge = partial(context.evaluate, plan)
        given.note_plan(plan.report, judge, objective, moves=True)
        note_costs(given, plan.report, {**start.settings(), **options}, rebalance_again)
    if output is not None:
        settings = {**start.settings(), **limits, **options, "strategy": "rebalance", "bound_kind": bound}
        write_plan(output, plan, settings, format, start.layers, given)
    if moves is not None:
        write_transfers(moves, plan.moves)
    if picture is not None:
        plan.draw(weights, picture, title=given.title)
    if json_output:
        _terminal.print_json({**given.to_dict(), "current": str(current), **start.settings(), **work.to_dict()})
        return
    _terminal.show_windows(weights, work.report, given.layers, objective)
    _terminal.show_homes(work.report, start.settings())
    _terminal.show_work(given.short, work, given.layers)


def _check_outputs(moves: Path | None, picture: Path | None) -> None:
    if moves is not None:
        check_output(moves)
        if moves.suffix.lower() != ".csv":
            raise FileError(f"{moves}: transfers are written as .csv")
    check_picture(picture)
