"""Plans on the command line: read from any format and matched to the weights by layer; written in the one asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ._errors import FileError, InvalidArgument
from ._files.placement import Known, Placement, Wishes
from ._files.placements import FORMATS, check_format, load_placement, store
from ._given_loads import GivenLoads
from ._output_file import check_output
from ._plan import Plan


def number_layers(given: GivenLoads, first_layer: int | None) -> list[int] | None:
    """The model's numbers of the layers of the loads, from their files or the option; None: not known.

    Raises:
        FileError: option and files contradict each other.
    """
    layers = given.model_layers
    if layers is None:
        return None if first_layer is None else list(range(first_layer, first_layer + len(given.layers)))
    if first_layer not in (None, layers[0]):
        raise FileError(f"{given.name}: begins with layer {layers[0]}, but --first-layer is {first_layer}")
    return layers


def read_plan(path: Path, given: GivenLoads, gpus: int | None, numbers: list[int] | None) -> Placement:
    """Reads the plan of the layers that the loads have.

    Args:
        gpus: their number where the plan does not say it.
        numbers: of number_layers.

    Raises:
        FileError: no plan, or it lacks layers of the loads, which are named.
    """
    shape = given.weights.shape
    placement = load_placement(path, Known(gpus, shape[-1], numbers))
    if placement.numbered and numbers is not None:
        try:
            return placement.select(numbers)
        except InvalidArgument as error:
            raise FileError(f"{path}: {error}, which {given.name} has") from None
    if len(placement.layers) != shape[-2]:
        hint = ": give --first-layer" if placement.numbered else ""
        raise FileError(f"{path}: {len(placement.layers)} layers, but the weights have {shape[-2]}{hint}")
    return placement.number(layers=numbers)


def read_before(path: Path | None, given: GivenLoads, gpus: int, numbers: list[int] | None) -> Placement | None:
    """Reads what --before says, as read_plan, if it says anything.

    Raises:
        FileError: as read_plan; it is on other GPUs.
    """
    if path is None:
        return None
    placement = read_plan(path, given, gpus, numbers)
    if placement.num_gpus not in (None, gpus):
        raise FileError(f"{path}: is on {placement.num_gpus} GPUs, but --gpus is {gpus}")
    return placement


def check_plan_output(path: Path | None, format: str | None) -> None:
    """Checks before the work that a plan can be written here."""
    if path is not None:
        check_format(path, format)
        check_output(path)
    elif format is not None:
        raise FileError(f"--format {format}: is the format of -o, which is not given")


def write_plan(
    path: Path,
    plan: Plan,
    settings: dict[str, Any],
    format: str | None,
    layers: Iterable[int] | None,
    given: GivenLoads,
) -> None:
    """Writes a plan of given loads, and what was asked for (settings) where the format has a place for it.

    Raises:
        FileError: the format cannot express the plan.
    """
    known = {name: value for name, value in settings.items() if value is not None}
    placement = Placement(plan, layers, plan.num_gpus, plan.replica_count.shape[1], problem=known)
    store_placement(path, placement, format, given, Wishes(plan=plan))


def store_placement(
    path: Path, placement: Placement, format: str | None, given: GivenLoads, wishes: Wishes | None = None
) -> None:
    """Writes a placement for given loads.

    Raises:
        FileError: the format cannot express it.
    """
    name = check_format(path, format)
    store(path, name, placement, wishes or Wishes())
    note = note_of_numbers(path, name, placement)
    if note is not None:
        given.note(note)


def note_of_numbers(path: Path, format: str, placement: Placement) -> str | None:
    """What should be known of a file whose layers are numbered for want of numbers."""
    if placement.numbered or not FORMATS[format].numbered:
        return None
    return f"layers have no numbers, so {path.name} begins with layer 0: give --first-layer if dense ones come before"
