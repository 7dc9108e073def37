"""The command that turns a placement of one engine into that of another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import _terminal
from ._files.placements import check_format, read_placement, write_placement
from ._files.values import MOST_LAYERS, name_layers
from ._options import FirstLayer, Format, parse_numbers
from ._output_file import refuse_inputs
from ._plan_argument import check_plan_output, note_of_numbers

Source = Annotated[
    Path,
    typer.Argument(metavar="IN", help="A plan, an engine's file; or CSV, .npy [layers, slots]: see docs/files.md."),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="The file to write, like plan.sglang.json or plan.yaml.")]
Gpus = Annotated[int | None, typer.Option("--gpus", min=1, help="GPUs, if IN does not tell.")]
Experts = Annotated[int | None, typer.Option("--experts", min=1, help="Experts of a layer, if IN does not tell.")]
Layers = Annotated[
    str | None,
    typer.Option(
        "--layer-numbers", help="The model's numbers of the layers of IN, or those that are wanted, like 3-60,62."
    ),
]
HiddenLayers = Annotated[
    int | None,
    typer.Option("--hidden-layers", min=1, max=MOST_LAYERS, help="Rows for SGLang; without it, up to the last layer."),
]
LayerUpdates = Annotated[
    int, typer.Option("--layer-updates", min=0, help="layer_updates_per_iter for TensorRT-LLM; 0: the placement stays.")
]


def convert(
    source: Source,
    output: Output,
    format: Format = None,
    gpus: Gpus = None,
    experts: Experts = None,
    first_layer: FirstLayer = None,
    layers: Layers = None,
    hidden_layers: HiddenLayers = None,
    layer_updates: LayerUpdates = 0,
) -> None:
    """Writes the placement of IN in another format."""
    check_plan_output(output, format)
    refuse_inputs([output], [source])
    numbers = None if layers is None else parse_numbers("--layer-numbers", layers, "layers", MOST_LAYERS)
    placement = read_placement(source, num_gpus=gpus, num_experts=experts, first_layer=first_layer, layers=numbers)
    write_placement(
        output, placement, format=format, num_hidden_layers=hidden_layers, layer_updates_per_iter=layer_updates
    )
    note = note_of_numbers(output, check_format(output, format), placement)
    if note is not None:
        _terminal.complain(f"{source}: {note}")
    where = f"{placement.physical_to_logical.shape[1]} slots"
    if placement.num_gpus is not None:
        where += f" of {placement.num_gpus} GPUs"
    _terminal.say(f"{output}: {name_layers(placement.layers)}, {placement.least_experts} experts on {where}")
