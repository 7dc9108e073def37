"""The command that plays a series of windows to an engine, under several rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from . import _terminal
from ._arrays import Array
from ._errors import FileError
from ._files.values import counted
from ._given_loads import GivenLoads, read_given
from ._options import (
    ExpertMib,
    Experts,
    Files,
    FirstLayer,
    Header,
    Index,
    Json,
    Layers,
    Picture,
    PlanGpus,
    PlanGroups,
    PlanNodes,
    PlanOffHomeTarget,
    PlanPolicy,
    Redundant,
    Slots,
    Threads,
    check_picture,
    naming,
    slots_of,
)
from ._output_file import check_output, refuse_inputs
from ._plan_argument import number_layers, read_plan
from ._problem import asked_of
from ._replay import DEFAULT_PRICES, DEFAULT_RULES, replay
from ._replay_figures import Replay
from ._rule import KNOWN, Rule
from ._start import read_start

RulesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        help=f"When and how to change: {', '.join(KNOWN)}, with options like pays,memory=8. May be given several "
        f"times. Default: {'; '.join(DEFAULT_RULES)}.",
    ),
]
Current = Annotated[
    Path | None,
    typer.Option("--current", help="Where experts are at first. Default: a placement for the windows of the warm-up."),
]
WarmUp = Annotated[
    int | None,
    typer.Option(
        "--warm-up",
        help="First windows, which are not judged. Default: 16, or the longest memory if that is more; at most half.",
    ),
]
Together = Annotated[int, typer.Option("--together", min=1, help="Windows that are added up to one.")]
Bandwidth = Annotated[
    float | None, typer.Option("--bandwidth", help="GB/s at which a GPU receives: with --expert-mib, shows the stall.")
]
MoveMs = Annotated[
    float | None, typer.Option("--move-ms", help="Stall of one move. Default: of --expert-mib at --bandwidth.")
]
LayerMs = Annotated[
    float | None, typer.Option("--layer-ms", help="Time of one layer in one window, if balanced: compares by cost.")
]
Splits = Annotated[
    bool,
    typer.Option(
        "--split",
        help="Also with the tokens of every expert split over its replicas: by the counts of the window itself, of the "
        "last one, and of those before.",
    ),
]
RunFile = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="JSON lines, a rule and window each. If it is there, the replay goes on."),
]


def replay_command(
    files: Files,
    rules: RulesOption = None,
    slots: Slots = None,
    redundant: Redundant = None,
    gpus: PlanGpus = None,
    nodes: PlanNodes = None,
    groups: PlanGroups = None,
    policy: PlanPolicy = None,
    off_home_target: PlanOffHomeTarget = None,
    current: Current = None,
    warm_up: WarmUp = None,
    together: Together = 1,
    expert_mib: ExpertMib = None,
    bandwidth: Bandwidth = None,
    move_ms: MoveMs = None,
    layer_ms: LayerMs = None,
    splits: Splits = False,
    threads: Threads = 1,
    output: RunFile = None,
    picture: Picture = None,
    experts: Experts = None,
    layers: Layers = None,
    first_layer: FirstLayer = None,
    header: Header = None,
    index: Index = None,
    json_output: Json = False,
) -> None:
    """Plays the windows of FILE to an engine under several rules, and shows which would have served it best.

    A rule changes the placement after a window; what counts is the imbalance in the next one. FILE has several windows,
    or there are several.
    """
    check_output(output)
    check_picture(picture)
    refuse_inputs([output, picture], [] if current is None else [current])
    reading: dict[str, Any] = {"experts": experts, "layers": layers, "header": header, "index": index}
    given = read_given(files, [output, picture], json_output, **reading)
    windows = _added_up(given, together)
    asked = asked_of(gpus, nodes, groups, policy, off_home_target)
    if current is None:
        if gpus is None:
            raise FileError("give --gpus and --slots, or --current with a plan that has them")
        asked["num_slots"] = slots_of(slots, redundant, windows.shape[-1])
        problem = asked
    else:
        _refuse_slots({"--slots": slots, "--redundant": redundant})
        problem = _start_of(current, given, asked, first_layer)
    costs: dict[str, Any] = {"expert_mib": expert_mib, "bandwidth": bandwidth, "move_ms": move_ms, "layer_ms": layer_ms}
    with naming(given.name, current), _terminal.counting("replaying") as progress:
        found = replay(
            replace(given.loads, counts=windows),
            rules or None,
            **problem,
            **costs,
            warm_up=warm_up,
            splits=splits,
            num_threads=threads,
            output=output,
            progress=progress,
        )
    note = _note_of_prices(found)
    if note is not None:
        given.note(note)
    if bandwidth is not None and expert_mib is None:
        given.note("--bandwidth says nothing without --expert-mib")
    given.show(found, picture, **asked)


def _note_of_prices(found: Replay) -> str | None:
    """Which prices rules took for want of given ones."""
    rules = [rule for each in found.outcomes if (rule := Rule.parse(each.rule)).name == "pays"]
    move_ms, layer_ms = DEFAULT_PRICES
    missing = {}
    if found.costs.move_time is None and any(rule.move_ms is None for rule in rules):
        missing[f"{move_ms:g} ms for a move"] = "--move-ms, or --expert-mib with --bandwidth"
    if found.costs.layer_ms is None and any(rule.layer_ms is None for rule in rules):
        missing[f"{layer_ms:g} ms for a layer in a window"] = "--layer-ms"
    return f"pays assumes {' and '.join(missing)}: give {'; and '.join(missing.values())}" if missing else None


def _added_up(given: GivenLoads, together: int) -> Array:
    """The windows [T,L,E], several of them added up to one."""
    counts = given.loads.counts
    whole = len(counts) // together
    if whole < 2:
        added = "" if together == 1 else f", {together} added up to one"
        raise FileError(f"{given.name}: {counted(len(counts), 'window')}{added}: a replay needs 2 or more to compare")
    if together == 1:
        return counts
    left = len(counts) - whole * together
    if left:
        given.note(f"{together} windows are added up to one, and the last {left} of {len(counts)} left out")
    return np.ascontiguousarray(counts[: whole * together].reshape(whole, together, *counts.shape[1:]).sum(axis=1))


def _refuse_slots(options: dict[str, int | None]) -> None:
    for option, value in options.items():
        if value is not None:
            raise FileError(f"{option} {value}: the plan of --current has slots: leave it out")


def _start_of(path: Path, given: GivenLoads, asked: dict[str, Any], first_layer: int | None) -> dict[str, Any]:
    """Arguments of replay, as a plan has them, and what is asked for instead."""
    placement = read_plan(path, given, asked.get("num_gpus"), number_layers(given, first_layer))
    start = read_start(path, asked, placement)
    return {"current": start.current, **start.problem()}
