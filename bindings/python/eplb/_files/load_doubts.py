"""What loads say against themselves: few experts that have most of them, and experts and layers that have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .._arrays import Array, Floats, Ints
from .values import counted, name_layers

# Padding and warm-up tokens are equal, and all go to the same experts, as many as a token picks: an eighth of all
# at most, but for a few models. In measured loads an eighth has 55 % of a layer's load at most, and 71 % in a single
# batch of Qwen3-30B-A3B.
_FEW_EXPERTS = 1 / 8
_MOST_LOAD = 0.8
# In that batch, 35 % of the experts have no load. Where a rank counts its own experts only, half of all or more lack.
_UNUSED_EXPERTS = 1 / 2
# Of fewer, few are many.
_FEWEST_EXPERTS = 8
# Names of experts and lines of files in a note.
_MOST_NAMED = 8
_MOST_FILES = 3


def doubts_about(counts: Array, layers: Ints, files: Mapping[str, Array]) -> list[str]:
    """Sentences about loads [T,L,E] of all files, and where these are as usual, about single files.

    Args:
        layers: the number of each layer.
        files: the loads of each file, if there are several.
    """
    loads = load_shares(counts)
    few = _on_few(counts, loads, layers)
    if not few:
        of_files = [
            f"{name}: {text}" for name, each in files.items() for text in _on_few(each, load_shares(each), layers)
        ]
        more = len(of_files) - _MOST_FILES
        rest = [f"{counted(more, 'more file')} with most of the load on few experts"] if more > 0 else []
        few = [*of_files[:_MOST_FILES], *rest]
    return [*few, *_empty_files(files), *_without(loads, layers)]


def _empty_files(files: Mapping[str, Array]) -> list[str]:
    """Which files are without load, where others have some."""
    empty = [name for name, counts in files.items() if not counts.any()]
    if not empty or len(empty) == len(files):
        return []
    more = len(empty) - _MOST_FILES
    return [f"no load in {', '.join([*empty[:_MOST_FILES], *([f'{more} more'] if more > 0 else [])])}"]


def _on_few(counts: Array, loads: Floats, layers: Ints) -> list[str]:
    """Whether few experts have most of the load in some layers, of counts [T,L,E] and their shares [L,E]."""
    if loads.shape[1] < _FEWEST_EXPERTS:
        return []
    limit = int(loads.shape[1] * _FEW_EXPERTS)
    descending = -np.sort(-loads, axis=1)
    used = (loads > 0).mean(axis=1) > _UNUSED_EXPERTS
    # Of fewer tokens than experts, few experts have most by chance.
    enough = counts.sum(axis=(0, 2), dtype=np.float64) >= loads.shape[1] if counts.dtype.kind == "i" else True
    where = np.flatnonzero((descending[:, :limit].sum(axis=1) >= _MOST_LOAD) & used & enough)
    if not len(where):
        return []
    few = [_heaviest(loads[layer], limit) for layer in where]
    same = all(np.array_equal(each, few[0]) for each in few)
    some = f"in {name_layers(layers[where])}, " if len(where) < len(layers) else ""
    if same:
        share = loads[where][:, few[0]].sum(axis=1).mean()
        return [f"{some}{_named(few[0])} {share:.0%} of the load: padding or warm-up?".replace("%", " %")]
    share_of = [loads[layer, each].sum() for layer, each in zip(where, few, strict=True)]
    worst = int(np.argmax(share_of))
    example = f"{_named(few[worst])} {share_of[worst]:.0%} in layer {layers[where[worst]]}".replace("%", " %")
    return [f"{some}few experts have most of the load, as {example}: padding or warm-up?"]


def _heaviest(loads: Floats, limit: int) -> Ints:
    """The experts above the largest drop of loads from one expert to the next, of those with half of all and more."""
    order = np.argsort(-loads, kind="stable")
    first, second = loads[order[:limit]], loads[order[1 : limit + 1]]
    drop = np.divide(first, second, out=np.full(limit, np.inf), where=second > 0)
    drop[np.cumsum(first) < 0.5] = 0
    return np.sort(order[: int(np.argmax(drop)) + 1])


def _named(experts: Ints) -> str:
    """With the verb."""
    if len(experts) == 1:
        return f"expert {experts[0]} has"
    words = list(map(str, experts[:_MOST_NAMED]))
    more = len(experts) - _MOST_NAMED
    last = f"{more} more" if more > 0 else words.pop()
    return f"experts {', '.join(words)} and {last} have"


def _without(loads: Floats, layers: Ints) -> list[str]:
    """Whether most experts of some layers have no load, and whether all of others have none."""
    experts = loads.shape[1]
    none = (loads == 0).sum(axis=1)
    empty = none == experts
    doubts = []
    where = np.flatnonzero((none >= experts * _UNUSED_EXPERTS) & ~empty)
    if len(where) and experts >= _FEWEST_EXPERTS:
        some = f"in {name_layers(layers[where])}, " if len(where) < len(layers) else ""
        most = "up to " if len(set(none[where])) > 1 else ""
        why = "few tokens, warm-up, or those of one rank?"
        doubts.append(f"{some}{most}{none[where].max()} of {counted(experts, 'expert')} have no load: {why}")
    if empty.any():
        verbs = ("has", "is") if empty.sum() == 1 else ("have", "are")
        doubts.append(f"{name_layers(layers[empty])} {verbs[0]} no load, and {verbs[1]} left out of all means")
    return doubts


def load_shares(counts: Array) -> Floats:
    """Which part of its layer's load an expert has [L,E], of all windows [T,L,E]; 0 where there is none."""
    largest = counts.max(axis=(0, 2), keepdims=True).astype(np.float64)
    # By the largest first: a sum of such numbers may be above all that there are.
    loads = np.divide(counts, largest, out=np.zeros(counts.shape), where=largest > 0).sum(axis=0)
    total = loads.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(loads, total, out=np.zeros_like(loads), where=total > 0)
    return shares


def by_file(files: Sequence[Path], parts: Sequence[tuple[str, Array]]) -> dict[str, Array]:
    """The loads of each file, from its parts and where these are."""
    found: dict[str, list[Array]] = {}
    for where, counts in parts:
        # A part is in a line of a file, or under a name; the name of a file may begin as that of another.
        file = max((str(path) for path in files if where.startswith(str(path))), key=len, default=where)
        found.setdefault(file, []).append(counts)
    return {file: np.concatenate(each) for file, each in found.items()}
