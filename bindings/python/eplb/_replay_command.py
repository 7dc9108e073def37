"""The command that plays a series of windows to an engine, under several rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from . import _terminal
from ._arrays import Array
from ._errors import FileError
from ._given_loads import GivenLoads, read_given
from ._options import (
    Experts,
    Files,
    FirstLayer,
    Header,
    Index,
    Json,
    Layers,
    Threads,
    check_picture,
    naming,
    print_json,
)
from ._output_file import check_output, refuse_inputs, replacing
from ._plan_argument import number_layers, read_plan
from ._problem import asked_of
from ._replay import DEFAULT_PRICES, DEFAULT_RULES, replay
from ._replay_figures import Outcome, Replay
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
Slots = Annotated[int | None, typer.Option("--slots", help="Slots of a layer over all GPUs; not with --current.")]
Gpus = Annotated[int | None, typer.Option("--gpus", help="GPUs, if there is no plan that tells.")]
Nodes = Annotated[int | None, typer.Option("--nodes", help="Nodes that the GPUs are on.")]
Groups = Annotated[int | None, typer.Option("--groups", help="Equal groups of consecutive experts.")]
Policy = Annotated[
    str | None, typer.Option("--policy", help="auto, hierarchical, global or soft, for rules that do not say it.")
]
OffHomeTarget = Annotated[
    float | None,
    typer.Option("--off-home-target", help="Imbalance up to which replicas leave home under the policy soft."),
]
Current = Annotated[
    Path | None,
    typer.Option("--current", help="Where experts are at first. Default: a placement for the windows of the warm-up."),
]
WarmUp = Annotated[
    int | None,
    typer.Option("--warm-up", help="First windows, which are not judged. Default: 16, at most half of all."),
]
Together = Annotated[int, typer.Option("--together", min=1, help="Windows that are added up to one.")]
ExpertMib = Annotated[
    float | None, typer.Option("--expert-mib", help="MiB of one expert of one layer: shows what is moved.")
]
Bandwidth = Annotated[
    float | None, typer.Option("--bandwidth", help="GB/s at which a GPU receives: with --expert-mib, shows the stall.")
]
MoveMs = Annotated[
    float | None, typer.Option("--move-ms", help="Stall of one move. Default: of --expert-mib at --bandwidth.")
]
LayerMs = Annotated[
    float | None, typer.Option("--layer-ms", help="Time of one layer in one window, if balanced: compares by cost.")
]
RunFile = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="JSON lines, a rule and window each. If it is there, the replay goes on."),
]
Picture = Annotated[Path | None, typer.Option("--picture", "--plot", help="Draw it over time, as .png, .svg or .pdf.")]

Cell = Callable[[Outcome], str]


def replay_command(
    files: Files,
    rules: RulesOption = None,
    slots: Slots = None,
    gpus: Gpus = None,
    nodes: Nodes = None,
    groups: Groups = None,
    policy: Policy = None,
    off_home_target: OffHomeTarget = None,
    current: Current = None,
    warm_up: WarmUp = None,
    together: Together = 1,
    expert_mib: ExpertMib = None,
    bandwidth: Bandwidth = None,
    move_ms: MoveMs = None,
    layer_ms: LayerMs = None,
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
    _check_outputs(output, picture)
    refuse_inputs([output, picture], [] if current is None else [current])
    reading: dict[str, Any] = {"experts": experts, "layers": layers, "header": header, "index": index}
    given = read_given(files, [output, picture], json_output, **reading)
    windows = _added_up(given, together)
    asked = asked_of(gpus, nodes, groups, policy, off_home_target)
    problem = _start_of(current, given, asked, first_layer) if current is not None else {"num_slots": slots, **asked}
    if current is None and (slots is None or gpus is None):
        raise FileError("--slots and --gpus are needed, or --current with a plan that has them")
    costs: dict[str, Any] = {"expert_mib": expert_mib, "bandwidth": bandwidth, "move_ms": move_ms, "layer_ms": layer_ms}
    with naming(given.name, current), _terminal.progress("replaying", 1) as move:
        found = replay(
            windows,
            rules or None,
            **problem,
            **costs,
            warm_up=warm_up,
            num_threads=threads,
            output=output,
            progress=lambda rule, done, total: move(f"{done} of {total}: {rule}", 1 / total),
        )
    if found.costs.price is None and any(_lacks_prices(each.rule) for each in found.outcomes):
        move_ms, layer_ms = DEFAULT_PRICES
        given.note(
            f"pays assumes {move_ms:g} ms for a move and {layer_ms:g} ms for a layer in a window: give --layer-ms, and "
            "--move-ms or --expert-mib with --bandwidth"
        )
    if bandwidth is not None and expert_mib is None:
        given.note("--bandwidth says nothing without --expert-mib")
    if picture is not None:
        _draw(picture, found, given.short)
    if json_output:
        print_json({**given.to_dict(), "num_slots": slots, **asked, **_of_layers(found.to_dict(), given)})
        return
    _show(found, given, len(windows))


def _lacks_prices(text: str) -> bool:
    rule = Rule.parse(text)
    return rule.name == "pays" and None in (rule.move_ms, rule.layer_ms)


def _check_outputs(output: Path | None, picture: Path | None) -> None:
    if output is not None:
        check_output(output)
    if picture is not None:
        check_picture(picture)


def _added_up(given: GivenLoads, together: int) -> Array:
    """The windows [T,L,E], several of them added up to one."""
    counts = given.loads.counts
    whole = len(counts) // together
    if whole < 2:
        what = f"{len(counts)} window{'' if len(counts) == 1 else 's'}" + (
            "" if together == 1 else f", {together} added up to one"
        )
        raise FileError(f"{given.name}: {what}: a replay needs 2 or more to compare")
    if together == 1:
        return counts
    left = len(counts) - whole * together
    if left:
        given.note(f"{together} windows are added up to one, and the last {left} of {len(counts)} left out")
    return np.ascontiguousarray(counts[: whole * together].reshape(whole, together, *counts.shape[1:]).sum(axis=1))


def _start_of(path: Path, given: GivenLoads, asked: dict[str, Any], first_layer: int | None) -> dict[str, Any]:
    """Arguments of replay, as a plan has them, and what is asked for instead."""
    placement = read_plan(path, given, asked.get("num_gpus"), number_layers(given, first_layer))
    start = read_start(path, asked, placement)
    return {"current": start.current, **start.problem()}


def _draw(path: Path, found: Replay, title: str) -> None:
    from .picture_of_replay import write_replay

    with replacing(path) as file:
        write_replay(file, path.suffix.lower().lstrip("."), found, title)


def _of_layers(content: dict[str, Any], given: GivenLoads) -> dict[str, Any]:
    """With the layers' own numbers."""
    for rule in content["rules"]:
        rule["worst_layer"] = int(given.layers[rule["worst_layer"]])
    return content


def _show(found: Replay, given: GivenLoads, windows: int) -> None:
    first, last = int(found.windows[0]), int(found.windows[-1])
    what = f"windows {first} to {last} of {windows} judged" if first != last else f"window {first} of {windows} judged"
    price = found.costs.price
    priced = "" if price is None else f"; a move costs {price:.4g} of imbalance in one window"
    _terminal.say(f"{given.short}: {what}, {len(given.layers)} layers{priced}")
    columns = _columns(found)
    _terminal.show_table(list(columns), [[show(each) for show in columns.values()] for each in found.outcomes])
    empty = found.outcomes[0].layers_without_load
    if empty:
        _terminal.say(f"Layers without load in a window, left out of the means: {empty}")
    best = found.best
    where = f"window {best.worst_window}, layer {given.layers[best.worst_layer]}"
    _terminal.say(f"{found.verdict()} Its worst is {best.imbalance_worst:.3f} ({where}).")


def _columns(found: Replay) -> dict[str, Cell]:
    """Of the table: what there is nothing to say of has no column."""
    outcomes = found.outcomes
    columns: dict[str, Cell] = {
        "": lambda each: each.rule,
        "imbalance": lambda each: f"{each.imbalance_mean:.4f}",
        "p95": lambda each: f"{each.imbalance_p95:.3f}",
        "worst": lambda each: f"{each.imbalance_worst:.3f}",
        "predicted": lambda each: f"{each.predicted_mean:.4f}",
        "gain kept": _gain_kept,
        "moves/layer": lambda each: f"{each.moves_per_layer:.3f}",
        "changes": lambda each: str(each.changes),
    }
    if any(each.moves_between_nodes for each in outcomes):
        columns["between nodes"] = lambda each: str(each.moves_between_nodes)
    if any(each.off_home_mean for each in outcomes):
        columns["away from home"] = lambda each: f"{each.off_home_mean:.2%}"
    if outcomes[0].bytes is not None:
        columns["GiB"] = lambda each: f"{(each.bytes or 0) / 2**30:.1f}"
    if outcomes[0].stall_ms is not None:
        columns["stall"] = lambda each: f"{(each.stall_ms or 0) / 1000:.2f} s"
    if outcomes[0].cost is not None:
        columns["cost"] = lambda each: f"{each.cost:.4f}"
    return columns


def _gain_kept(outcome: Outcome) -> str:
    return f"{outcome.gain_came / outcome.gain_predicted:.0%}" if outcome.gain_predicted > 0 else "-"
