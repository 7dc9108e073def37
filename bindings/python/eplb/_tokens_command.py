"""What evaluate says of tokens that do not follow the even split: split over replicas, or by a table for each rank."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ._arrays import Ints
from ._context import Context
from ._errors import FileError
from ._split import Split
from ._static_dispatch import StaticDispatch

SplitsTokens = Annotated[
    bool,
    typer.Option("--split", help="Also with the tokens of every expert split over its replicas as is best for FILE."),
]
DispatchesStatically = Annotated[
    bool,
    typer.Option(
        "--static-dispatch",
        help="Also where each source rank sends all its tokens of an expert to one replica, and after swaps of slots.",
    ),
]
Ranks = Annotated[
    int | None, typer.Option("--ranks", help="Source ranks of --static-dispatch. Default: one on each GPU.")
]
# Names in JSON.
_SPLIT, _STATIC, _SWAPPED = "split", "static_dispatch", "static_dispatch_after_swaps"
_SIZES = ("num_gpus", "cluster")
_GROUPS = ("num_nodes", "num_groups", "policy")


def check_ranks(ranks: int | None, static: bool) -> None:
    """Checks before the work that there is something that they are of."""
    if ranks is not None and not static:
        raise FileError(f"--ranks {ranks}: goes with --static-dispatch, which is missing")


def ways_of_tokens(
    context: Context, placement: Any, options: dict[str, Any], splits: bool, static: bool, ranks: int | None
) -> dict[str, Split | StaticDispatch]:
    """What was asked for of the uploaded weights, by its name in JSON. options: those of Context.evaluate."""
    found: dict[str, Split | StaticDispatch] = {}
    sizes: dict[str, Any] = {name: options.get(name) for name in _SIZES}
    if splits:
        found[_SPLIT] = context.split(None, placement, **sizes)
    if static:
        sizes |= {name: options.get(name) for name in _GROUPS}
        for name, swaps in ((_STATIC, 0), (_SWAPPED, None)):
            found[name] = context.static_dispatch(None, placement, **sizes, num_ranks=ranks, max_swaps=swaps)
    return found


def sentences_on_tokens(ways: dict[str, Split | StaticDispatch], layers: Ints) -> list[str]:
    """What they have to say; of swaps, what they come to. layers: the number of each."""
    said = []
    for name, way in ways.items():
        said += way.sentences(layers)[-1 if name == _SWAPPED else 0 :]
    return said
