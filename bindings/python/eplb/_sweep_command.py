"""The command that says how many redundant experts pay, and shares a total of slots out over the layers."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from . import _terminal
from ._budget import plan_budget
from ._errors import FileError
from ._given_loads import read_given
from ._library import positive
from ._options import (
    Bound,
    Effort,
    ExpertMib,
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
    Picture,
    Policy,
    Seed,
    Strategy,
    check_picture,
    naming,
    parse_numbers,
)
from ._output_file import check_output, write_file
from ._plan_argument import check_plan_output, number_layers, store_placement
from ._sweep import sweep
from ._sweep_result import Sweep

Gpus = Annotated[str, typer.Option("--gpus", help="GPUs, one number or several, like 16,32 or 8:64:8.")]
Nodes = Annotated[str, typer.Option("--nodes", help="Nodes that the GPUs are on, one number or several.")]
Groups = Annotated[str, typer.Option("--groups", help="Equal groups of consecutive experts, one number or several.")]
Redundant = Annotated[
    str | None,
    typer.Option(
        "--redundant",
        help="Slots beyond one for each expert, one number or several, like 0,32,64 or 0:64:8. "
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
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads; the answer is the same for any number. Default: all cores."),
]
Dask = Annotated[
    str | None, typer.Option("--dask", help="Solve on the workers of this Dask scheduler, like tcp://10.0.0.1:8786.")
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Write the table as .csv; with --total-slots the placement, as solve does."),
]


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
    places: dict[str, Any] = {
        f"num_{name}": parse_numbers(f"--{name}", text, "numbers")
        for name, text in {"gpus": gpus, "nodes": nodes, "groups": groups}.items()
    }
    wanted = None if redundant is None else parse_numbers("--redundant", redundant, "numbers")
    if total_slots is None:
        _check_table(output, {"--slot-step": slot_step, "--format": format, "--first-layer": first_layer})
    else:
        _check_budget(places, {"--redundant": redundant, "--dask": dask})
        check_plan_output(output, format)
    check_picture(picture)
    positive("expert_mib", expert_mib)
    given = read_given(
        files, [output, picture], json_output, experts=experts, layers=layers, header=header, index=index
    )
    options: dict[str, Any] = {
        "strategy": strategy,
        "policy": policy,
        "off_home_target": off_home_target,
        "objective": objective,
        "effort": effort,
        "seed": seed,
        "max_replicas": max_replicas,
        "expert_mib": expert_mib,
        "num_threads": threads,
    }
    with naming(given.name), _terminal.counting("solving") as progress:
        found: Any
        if total_slots is None:
            more: dict[str, Any] = {"redundant": wanted, "bound": bound, "dask": dask}
            found = sweep(given.weights, **places, **options, **more, progress=progress)
        else:
            sizes = {name: several[0] for name, several in places.items()}
            found = plan_budget(given.loads, total_slots, **sizes, **options, slot_step=slot_step, progress=progress)
    if output is not None and total_slots is None:
        _write_csv(output, found)
    elif output is not None:
        store_placement(output, found.number(layers=number_layers(given, first_layer)), format, given)
    given.show(found, picture)


def _check_table(output: Path | None, others: dict[str, Any]) -> None:
    for option, value in others.items():
        if value is not None:
            raise FileError(f"{option} {value}: is for --total-slots, which is not given")
    if output is not None:
        check_output(output)
        if output.suffix.lower() != ".csv":
            raise FileError(f"{output}: a sweep is written as .csv, and a placement only with --total-slots")


def _check_budget(places: dict[str, list[int]], others: dict[str, Any]) -> None:
    """One number of GPUs, of nodes and of groups, and no option that is for a sweep."""
    for name, numbers in places.items():
        if len(numbers) > 1:
            option = name.replace("num_", "--")
            raise FileError(f"{option}: must be one number with --total-slots, is {', '.join(map(str, numbers))}")
    for option, value in others.items():
        if value is not None:
            raise FileError(f"{option} {value}: is not for --total-slots: leave out one of them")


def _write_csv(path: Path, found: Sweep) -> None:
    text = io.StringIO()
    rows = found.to_dict()["rows"]
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path, text.getvalue().encode("ascii"))
