"""What commands have in common: their options, and errors that name files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ._errors import FileError, InvalidPlacement, InvalidWeight
from ._files.placements import FORMATS
from ._library import BOUNDS_TO_ASK_FOR, DEVICE_KINDS, EFFORTS, FROM_NOTHING, MOST_SLOTS, OBJECTIVES, POLICIES
from ._output_file import check_output


def one_of(names: Iterable[str]) -> dict[str, Callable[[str], list[str]]]:
    """For an option: what a shell completes it to. What is wrong, the library says, which knows the reasons."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return {"autocompletion": complete}


Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Loads: CSV, a row per layer; .npy; .npz; what an engine writes; - reads them from standard input. "
        "Several files, and folders, are windows.",
    ),
]
Experts = Annotated[
    int | None, typer.Option("--experts", min=1, help="Experts of FILE, which is refused if it has others.")
]
Layers = Annotated[
    int | None, typer.Option("--layers", min=1, help="Layers of FILE, which is refused if it has others.")
]
Header = Annotated[
    bool | None, typer.Option("--header/--no-header", help="The first row of FILE names experts, or has loads.")
]
Index = Annotated[
    bool | None, typer.Option("--index/--no-index", help="The first column of FILE numbers layers, or has loads.")
]
Slots = Annotated[int | None, typer.Option("--slots", help="Slots of a layer over all GPUs.")]
Redundant = Annotated[
    int | None, typer.Option("--redundant", min=0, help="Slots beyond one for each expert, instead of --slots.")
]
Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        help=f"{', '.join(FROM_NOTHING)}. best, the default, keeps replicas of an expert on different GPUs where that "
        "can be done, even if it would balance better not to.",
        **one_of(FROM_NOTHING),
    ),
]
Gpus = Annotated[int, typer.Option("--gpus", help="GPUs.")]
Nodes = Annotated[int, typer.Option("--nodes", help="Nodes that the GPUs are on.")]
Groups = Annotated[int, typer.Option("--groups", help="Equal groups of consecutive experts.")]
Policy = Annotated[
    str,
    typer.Option(
        "--policy",
        help="hierarchical (groups on nodes), global (no groups), soft (between both) or auto.",
        **one_of(POLICIES),
    ),
]
OffHomeTarget = Annotated[
    float,
    typer.Option("--off-home-target", help="Imbalance up to which replicas leave home under the policy soft."),
]
# Of commands that begin with a plan, which may say it.
PlanGpus = Annotated[int | None, typer.Option("--gpus", help="GPUs. Default: those of the plan.")]
PlanNodes = Annotated[int | None, typer.Option("--nodes", help="Nodes. Default: those of the plan.")]
PlanGroups = Annotated[int | None, typer.Option("--groups", help="Groups. Default: those of the plan.")]
PlanPolicy = Annotated[
    str | None,
    typer.Option("--policy", help="auto, hierarchical, global or soft. Default: that of the plan.", **one_of(POLICIES)),
]
PlanOffHomeTarget = Annotated[
    float | None,
    typer.Option("--off-home-target", help="Imbalance up to which replicas leave home. Default: that of the plan."),
]
Objective = Annotated[
    str,
    typer.Option(
        "--objective",
        help="What is balanced: sum of all windows, windows, which is each of them, or split, for tokens split later.",
        **one_of(OBJECTIVES),
    ),
]
Effort = Annotated[str, typer.Option("--effort", help="fast, normal or max.", **one_of(EFFORTS))]
Seed = Annotated[int, typer.Option("--seed", help="Another seed, another answer, for strategies with chance.")]
MaxReplicas = Annotated[int | None, typer.Option("--max-replicas", help="Most replicas of an expert; 0: any.")]
Bound = Annotated[
    str,
    typer.Option(
        "--bound", help="Which bound gaps are over: simple, or threshold (slower, closer).", **one_of(BOUNDS_TO_ASK_FOR)
    ),
]
ExpertMib = Annotated[
    float | None, typer.Option("--expert-mib", help="Memory of an expert in one layer, in MiB: adds figures in GiB.")
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:1.", **one_of(DEVICE_KINDS))]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads; the answer is the same for any number.")]
Before = Annotated[
    Path | None,
    typer.Option("--before", help="The placement before, as evaluate takes it. Default: each expert once, in order."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="Write the plan: .npz, .json, or as an engine reads it, like plan.sglang.json."
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", help=f"Format of -o, if its name does not tell: {', '.join(FORMATS)}.", **one_of(FORMATS)),
]
FirstLayer = Annotated[
    int | None,
    typer.Option(
        "--first-layer",
        min=0,
        max=2**31 - 1,
        help="The model's number of its first layer with experts, as engines count.",
    ),
]
Picture = Annotated[Path | None, typer.Option("--picture", "--plot", help="Draw the answer, as .png, .svg or .pdf.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

_NUMBERS = re.compile(r"([0-9]{1,9})(?:[-:]([0-9]{1,9})(?::([0-9]{1,9}))?)?")


def parse_numbers(option: str, text: str, what: str, end: int = MOST_SLOTS + 1) -> list[int]:
    """The numbers of an option like 3,17 or 8-15, or 0:64:8, which is every eighth; all below end."""
    numbers: list[int] = []
    for word in map(str.strip, text.split(",")):
        match = _NUMBERS.fullmatch(word)
        if match is None:
            raise FileError(f"{option} {text}: must be {what} like 3,17 or 8-15, or 0:64:8 for every eighth")
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last >= end:
            raise FileError(f"{option} {text}: there are {what} 0 to {end - 1}")
        if last < first or not step:
            raise FileError(f"{option} {text}: {word} must not fall, and its step must be 1 at least")
        numbers += range(first, last + 1, step)
    return numbers


def slots_of(slots: int | None, redundant: int | None, experts: int) -> int:
    """Slots of a layer, from one of the two options for it."""
    if slots is not None and redundant is not None:
        raise FileError(f"--slots {slots} and --redundant {redundant} say the same: give one of them")
    if slots is not None:
        return slots
    if redundant is None:
        raise FileError("give --slots, or --redundant, the slots beyond one for each expert")
    return experts + redundant


@contextmanager
def naming(file: str, plan: Path | None = None) -> Iterator[None]:
    """Errors about weights name the file they came from, errors about a placement its plan."""
    try:
        yield
    except InvalidWeight as error:
        raise FileError(f"{file}: {error}") from None
    except InvalidPlacement as error:
        raise FileError(f"{plan}: {error}" if plan else str(error)) from None


def check_picture(path: Path | None) -> None:
    """Checks before the work that a picture can be written here; None: there is none."""
    if path is None:
        return
    check_output(path)
    try:
        from .picture import format_of
    except ModuleNotFoundError as error:
        text = f"--picture needs {error.name}, which is not installed: pip install 'eplb[picture]'"
        raise FileError(text) from None
    format_of(path)
