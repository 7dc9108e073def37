"""Plans on the command line: read from any format and matched to the weights by layer; written in the one asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ._errors import FileError, InvalidArgument
from ._files.placement import Known, Placement, Wishes
from ._files.placements import check_format, load_placement, store
from ._output_file import check_output
from ._plan import Plan


def number_layers(
    file: Path | str, count: int, first_layer: int | None, layers: list[int] | None = None
) -> list[int] | None:
    """The model's numbers of the layers of the weights; None: not known.

    Args:
        first_layer: the first of them, as the option says it.
        layers: all of them, as file says it.

    Raises:
        FileError: option and file contradict each other.
    """
    if layers is None:
        return None if first_layer is None else list(range(first_layer, first_layer + count))
    if first_layer not in (None, layers[0]):
        raise FileError(f"{file}: begins with layer {layers[0]}, but --first-layer is {first_layer}")
    return layers


def read_plan(
    path: Path, file: Path | str, shape: tuple[int, ...], gpus: int | None, numbers: list[int] | None
) -> Placement:
    """Reads the plan of the layers that the weights of file have, whose shape is [..., layers, experts].

    Args:
        gpus: their number where the plan does not say it.
        numbers: the model's numbers of the layers of the weights; None: not known.

    Raises:
        FileError: no plan, or it lacks layers of the weights, which are named.
    """
    placement = load_placement(path, Known(gpus, shape[-1], numbers))
    if placement.numbered and numbers is not None:
        try:
            return placement.select(numbers)
        except InvalidArgument as error:
            raise FileError(f"{path}: {error}, which {file} has") from None
    if len(placement.layers) != shape[-2]:
        hint = ": give --first-layer" if placement.numbered else ""
        raise FileError(f"{path}: {len(placement.layers)} layers, but the weights have {shape[-2]}{hint}")
    return placement.number(layers=numbers)


def check_plan_output(path: Path | None, format: str | None) -> None:
    """Checks before the work that a plan can be written here."""
    if path is not None:
        check_format(path, format)
        check_output(path)
    elif format is not None:
        raise FileError(f"--format {format}: is the format of -o, which is not given")


def write_plan(
    path: Path, plan: Plan, settings: dict[str, Any], format: str | None, layers: Iterable[int] | None
) -> None:
    """Writes a plan, and what was asked for (settings) where the format has a place for it.

    Raises:
        FileError: the format cannot express the plan.
    """
    known = {name: value for name, value in settings.items() if value is not None}
    placement = Placement(plan, layers, plan.num_gpus, plan.replica_count.shape[1], problem=known)
    store(path, check_format(path, format), placement, Wishes(plan=plan))
