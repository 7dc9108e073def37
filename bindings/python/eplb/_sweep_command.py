"""The command that says how many redundant experts pay, and shares a total of slots out over the layers."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from . import _terminal
from ._budget_command import check_budget, memory_counts, share_out_slots
from ._errors import FileError
from ._files.values import counted
from ._given_loads import GivenLoads, read_given
from ._loads import count_windows
from ._options import (
    Bound,
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
    OffHomeTarget,
    Policy,
    Seed,
    check_picture,
    naming,
    parse_range,
    print_json,
)
from ._output_file import check_output, replacing
from ._plan_argument import check_plan_output, number_layers, store_placement
from ._sweep import check_mib, sweep
from ._sweep_result import Sweep, SweepRow, place_name

Gpus = Annotated[str, typer.Option("--gpus", help="GPUs, one number or several, like 16,32 or 8:64:8.")]
Nodes = Annotated[str, typer.Option("--nodes", help="Nodes that the GPUs are on, one number or several.")]
Groups = Annotated[str, typer.Option("--groups", help="Equal groups of consecutive experts, one number or several.")]
Redundant = Annotated[
    str | None,
    typer.Option(
        "--redundant",
        help="Slots of a layer beyond one for each expert, like 0,32,64 or 0:64:8, 64 included. "
        "Default: the fewest slots that a GPU can have, and up to four more.",
    ),
]
TotalSlots = Annotated[
    int | None,
    typer.Option("--total-slots", help="Instead: share this total out over all layers, by what each gains."),
]
SlotStep = Annotated[
    int | None,
    typer.Option(
        "--slot-step", help="With --total-slots: layers have a multiple of it; that of --gpus gives all GPUs as many."
    ),
]
ExpertMib = Annotated[
    float | None, typer.Option("--expert-mib", help="MiB of an expert in one layer, for the memory of a GPU.")
]
Strategy = Annotated[str | None, typer.Option("--strategy", help="best, greedy, ...: see eplb info.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")]
Dask = Annotated[
    str | None, typer.Option("--dask", help="Solve on the workers of this Dask scheduler, like tcp://10.0.0.1:8786.")
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Write the table as .csv; with --total-slots the placement, as solve does."),
]
Picture = Annotated[Path | None, typer.Option("--picture", help="Draw imbalance and slots, as .png, .svg or .pdf.")]

_COLUMNS = ("", "redundant", "slots per GPU", "imbalance: mean", "worst layer", "bound")
_WINDOWS_COLUMNS = ("in a window: mean", "worst")
_MEMORY_COLUMN = "GiB per GPU"


def sweep_command(
    files: Files,
    gpus: Gpus,
    redundant: Redundant = None,
    total_slots: TotalSlots = None,
    slot_step: SlotStep = None,
    nodes: Nodes = "1",
    groups: Groups = "1",
    expert_mib: ExpertMib = None,
    strategy: Strategy = None,
    policy: Policy = "auto",
    off_home_target: OffHomeTarget = 1.01,
    objective: Objective = "sum",
    effort: Effort = "normal",
    seed: Seed = 0,
    max_replicas: MaxReplicas = None,
    bound: Bound = "simple",
    threads: Threads = None,
    dask: Dask = None,
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
    """Says how many redundant experts pay: solves FILE for many sizes, or shares a total of slots out over layers."""
    places = {"gpus": parse_range("--gpus", gpus), "nodes": parse_range("--nodes", nodes)}
    places["groups"] = parse_range("--groups", groups)
    if total_slots is None:
        _check_table(output, {"--slot-step": slot_step, "--format": format, "--first-layer": first_layer})
        wanted = None if redundant is None else parse_range("--redundant", redundant)
    else:
        check_budget(places, {"--redundant": redundant, "--dask": dask})
        check_plan_output(output, format)
    if picture is not None:
        check_picture(picture)
    if expert_mib is not None:
        check_mib(expert_mib)
    outputs = [output, picture]
    given = read_given(files, outputs, json_output, experts=experts, layers=layers, header=header, index=index)
    options: dict[str, Any] = {
        "strategy": strategy,
        "policy": policy,
        "off_home_target": off_home_target,
        "objective": objective,
        "effort": effort,
        "seed": seed,
        "max_replicas": max_replicas,
        "threads": threads,
    }
    if total_slots is None:
        more = {"redundant": wanted, "bound": bound, "expert_mib": expert_mib, "dask": dask}
        _sweep(given, {**places, **options, **more}, output, picture)
        return
    shared = share_out_slots(given, total_slots, {name: each[0] for name, each in places.items()}, options, slot_step)
    if output is not None:
        store_placement(output, shared.budget.number(layers=number_layers(given, first_layer)), format, given)
    if picture is not None:
        shared.draw(picture)
    shared.show(expert_mib)


def _check_table(output: Path | None, others: dict[str, Any]) -> None:
    for option, value in others.items():
        if value is not None:
            raise FileError(f"{option} {value}: is for --total-slots, which is not given")
    if output is not None:
        check_output(output)
        if output.suffix.lower() != ".csv":
            raise FileError(f"{output}: a sweep is written as .csv, and a placement only with --total-slots")


def _sweep(given: GivenLoads, arguments: dict[str, Any], output: Path | None, picture: Path | None) -> None:
    with naming(given.name), _terminal.progress("solving", 1) as move:
        found = sweep(given.weights, **arguments, progress=lambda done, total: move(f"{done} of {total}", 1, total))
    if output is not None:
        _write_csv(output, found)
    if picture is not None:
        from .picture_of_sweep import draw_sweep

        with replacing(picture) as file:
            draw_sweep(file, picture.suffix.lower().lstrip("."), found, given.title)
    if given.quiet:
        print_json({**given.to_dict(), "num_experts": given.weights.shape[-1], **found.to_dict()})
        return
    _show(given, found, arguments["expert_mib"])


def _write_csv(path: Path, found: Sweep) -> None:
    text = io.StringIO()
    rows = found.to_dict()["rows"]
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as file:
        file.write(text.getvalue().encode("ascii"))


def _show(given: GivenLoads, found: Sweep, expert_mib: float | None) -> None:
    experts = given.weights.shape[-1]
    windows = count_windows(given.weights)
    layers = counted(found.num_layers, "layer")
    several = f", {windows} windows" if windows > 1 else ""
    _terminal.say(f"{given.short}: {layers}, {experts} experts{several}; {counted(len(found), 'size')}")
    columns = [*_COLUMNS, *(_WINDOWS_COLUMNS if windows > 1 else ()), *([_MEMORY_COLUMN] if expert_mib else []), ""]
    _terminal.show_table(columns, [_cells(row, windows > 1) for row in found])
    for sentence in found.sentences():
        _terminal.say(sentence)
    if expert_mib:
        _terminal.say(memory_counts(found.num_layers, expert_mib))


def _cells(row: SweepRow, in_windows: bool) -> list[str]:
    cells = [place_name(row.where), str(row.redundant), str(row.slots_per_gpu)]
    figures = [row.imbalance_mean, row.imbalance_worst, row.bound_mean]
    if in_windows:
        figures += [row.windows_mean, row.windows_worst]
    cells += [f"{figure:.4f}" for figure in figures]
    if row.gib_per_gpu is not None:
        cells.append(f"{row.gib_per_gpu:.2f}")
    return [*cells, "<- enough" if row.knee else ""]
