"""The command that solves with every strategy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from . import _terminal
from ._compare import choices, compare_in
from ._context import Context
from ._costs import note_costs
from ._given_loads import read_given
from ._options import (
    Before,
    Bound,
    Device,
    Experts,
    Files,
    FirstLayer,
    Gpus,
    Groups,
    Header,
    Index,
    Json,
    Layers,
    MaxReplicas,
    Nodes,
    OffHomeTarget,
    Policy,
    Redundant,
    Seed,
    Slots,
    Threads,
    naming,
    slots_of,
)
from ._plan_argument import number_layers, read_before
from ._problem import problem_of, sizes_of
from ._wording import in_options, options_of


def compare(
    files: Files,
    gpus: Gpus,
    slots: Slots = None,
    redundant: Redundant = None,
    nodes: Nodes = 1,
    groups: Groups = 1,
    policy: Policy = "auto",
    off_home_target: OffHomeTarget = 1.01,
    seed: Seed = 0,
    max_replicas: MaxReplicas = None,
    bound: Bound = "simple",
    before: Before = None,
    first_layer: FirstLayer = None,
    device: Device = "cpu",
    threads: Threads = 1,
    experts: Experts = None,
    layers: Layers = None,
    header: Header = None,
    index: Index = None,
    json_output: Json = False,
) -> None:
    """Solves FILE with every strategy and shows them side by side: best at all efforts, for windows, and soft."""
    given = read_given(files, [], json_output, experts=experts, layers=layers, header=header, index=index)
    weights = given.weights
    former = read_before(before, given, gpus, number_layers(given, first_layer))
    problem = problem_of(slots_of(slots, redundant, weights.shape[-1]), gpus, nodes, groups, policy, off_home_target)
    options: dict[str, Any] = {"seed": seed, "max_replicas": max_replicas, "bound": bound}
    rows = len(choices(weights, problem))
    with naming(given.name, before), Context(device, threads) as context, _terminal.progress("", rows) as move:
        comparison = compare_in(context, weights, problem, former, move, **options)
        for doubt in comparison.warnings:
            given.note(doubt)
        best = comparison.best_as_asked
        if best is not None:
            solve_again = partial(context.solve, weights, **comparison.options[best])
            note_costs(given, comparison.rows[best], comparison.options[best], solve_again, comparison.no_balancer)
    options_here = options_of(compare)
    refused = {name: in_options(why, options_here) for name, why in comparison.refused.items()}
    comparison = replace(comparison, refused=refused)
    if json_output:
        _terminal.print_json({**sizes_of(given, problem), **comparison.to_dict()})
        return
    columns, *table = comparison.table()
    _terminal.show_table(columns, table)
    for line in comparison._refusals():
        _terminal.say(line)
