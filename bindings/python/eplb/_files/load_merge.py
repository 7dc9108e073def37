"""Parts of files put together: ranks summed, windows in order, layers and experts the same, dense layers left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, Ints
from .._errors import FileError
from .._printable import printable
from .._shown import Showing, Shown
from .load_doubts import by_file, doubts_about, load_shares
from .load_parts import Part, check_sums
from .values import check_made, counted, name_layers, numbers_of

# Loads of so few tokens may be in each row by chance.
_FEW = 7


@dataclass(frozen=True, eq=False)
class Loads(Showing):
    """Loads of experts in windows of time, as files have them.

    Attributes:
        counts: int64 or float64 [T,L,E], the tokens routed to each expert in each window.
        layers: int64 [L], ascending: the layers' numbers.
        numbered: whether these are the model's, as files have them, and not 0, 1, 2, ... for want of others, or as
            tables have them next to any rows.
        left_out: int64, the numbers of layers without any load that were left out, as dense layers are.
        source: what was read, and in which order, in one line.
        notes: what should be known before the counts are believed, a sentence each.
        files: the files that were read.
    """

    counts: Array
    layers: Ints
    numbered: bool
    left_out: Ints
    source: str
    notes: tuple[str, ...]
    files: tuple[Path, ...]

    def __repr__(self) -> str:
        names = ("window", "layer", "expert")
        sizes = ", ".join(counted(size, name) for size, name in zip(self.counts.shape, names, strict=True))
        return printable(f"Loads({sizes}; {self.source})")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The counts: loads can be given where weights are taken."""
        return np.array(self.counts, dtype, copy=True) if copy else np.asarray(self.counts, dtype)

    def _show(self) -> Shown:
        windows, layers, experts = self.counts.shape
        shares = load_shares(self.counts)
        layer, expert = (int(index) for index in np.unravel_index(shares.argmax(), shares.shape))
        times = f"{shares[layer, expert] * experts:.1f}x the mean of its layer"
        with np.errstate(over="ignore"):
            tokens = self.counts.sum(dtype=np.float64)
        facts = {
            "source": self.source,
            "windows": str(windows),
            "layers": f"{layers}: {numbers_of(self.layers)}",
            "layers left out": numbers_of(self.left_out),
            "layers without load": numbers_of(self.layers[~shares.any(axis=1)]),
            "experts": str(experts),
            "tokens routed": f"{tokens:,.15g}",
            "heaviest expert": f"expert {expert} of layer {self.layers[layer]}, {times}",
        }
        return Shown("Loads", rows=[(name, text) for name, text in facts.items() if text], sentences=self.notes)


@dataclass(frozen=True)
class Sizes:
    """What a caller demands; None: whatever there is."""

    experts: int | None = None
    layers: int | None = None


def merge(parts: Sequence[Part], files: tuple[Path, ...], order: str, sizes: Sizes, notes: list[str]) -> Loads:
    """Puts parts together, which are in order. What should be known of it is added to notes.

    Raises:
        FileError: they do not fit each other or the sizes, or there is no load at all.
    """
    for part in parts:
        _check_values(part)
    where = str(files[0]) if len(files) == 1 else f"{len(files)} files"
    parts = _aligned(parts, sizes, notes)
    counts, ranks = _windows(parts, notes)
    counts = _filled(parts, counts, notes)
    layers, kept = parts[0].layers, _layers_with_load(where, parts, counts, notes)
    if not kept.all():
        # An index would return another order in memory, which every solve would have to copy.
        counts = np.compress(kept, counts, axis=1)
    _check_sizes(where, counts, sizes, int((~kept).sum()))
    if _is_placement(counts):
        notes.append(f"looks like a placement: all numbers from 0 to {counts.max()} are in each row")
    alone = [part for part in parts if part.rank is None] if len(files) > 1 else []
    of_files = by_file(files, [(part.where, np.compress(kept, part.counts, axis=1)) for part in alone])
    notes += doubts_about(counts, layers[kept], of_files)
    kinds = ", ".join(dict.fromkeys(part.kind for part in parts))
    summed = f", {ranks} ranks summed" if ranks > 1 else ""
    ring = ", windows of a file as in the recorder's ring, which need not be in order of time"
    source = f"{kinds}: {where}{summed}{order}" + (ring if any(part.ring for part in parts) else "")
    numbered = all(part.numbered or part.absolute for part in parts)
    return Loads(counts, layers[kept], numbered, layers[~kept], source, tuple(notes), files)


def _check_values(part: Part) -> None:
    """In the library's words, but here, since later the numbers of windows and layers are others."""
    # NaN is not above anything.
    wrong = ~(part.counts >= 0) | (part.counts == np.inf)
    if not wrong.any():
        return
    window, layer, expert = (int(index) for index in np.argwhere(wrong)[0])
    value = part.counts[window, layer, expert]
    fault = "NaN" if np.isnan(value) else "negative" if value < 0 else "infinite"
    of_window = f"window {window}, " if len(part.counts) > 1 else ""
    raise FileError(f"{part.where}: weights[{of_window}layer {part.layers[layer]}, expert {expert}] is {fault}")


def _aligned(parts: Sequence[Part], sizes: Sizes, notes: list[str]) -> list[Part]:
    """With the same layers and experts. Zeros are put in where a format leaves them out."""
    whole = [part for part in parts if not part.sparse]
    for part in whole[1:]:
        _check_fit(whole[0], part)
    layers = whole[0].layers if whole else np.unique(np.concatenate([part.layers for part in parts]))
    experts = max(part.counts.shape[2] for part in whole or parts)
    if not whole:
        if sizes.experts is None:
            notes.append(
                f"experts are counted by the largest number, {experts - 1}: give their number if more have no load"
            )
        experts = max(experts, sizes.experts or 0)
    windows = sum(len(part.counts) for part in parts)
    check_made(parts[0].where, windows * len(layers) * experts, sum(part.counts.size for part in parts))
    return [_widened(part, layers, experts, whole) if part.sparse else part for part in parts]


def _check_fit(first: Part, part: Part) -> None:
    sizes = [
        f"{counted(len(each.layers), 'layer')} of {counted(each.counts.shape[2], 'expert')}" for each in (first, part)
    ]
    if sizes[0] != sizes[1]:
        raise FileError(f"{part.where}: has {sizes[1]}, but {first.where} has {sizes[0]}")
    if (first.layers != part.layers).any():
        names = [name_layers(each.layers) for each in (first, part)]
        raise FileError(f"{part.where}: has {names[1]}, but {first.where} has {names[0]}")


def _widened(part: Part, layers: Ints, experts: int, whole: Sequence[Part]) -> Part:
    if whole and (part.counts.shape[2] > experts or not np.isin(part.layers, layers).all()):
        raise FileError(f"{part.where}: has layers or experts that {whole[0].where} does not have")
    counts = np.zeros((len(part.counts), len(layers), experts), part.counts.dtype)
    counts[:, np.searchsorted(layers, part.layers), : part.counts.shape[2]] = part.counts
    return replace(part, counts=counts, layers=layers)


def _windows(parts: Sequence[Part], notes: list[str]) -> tuple[Array, int]:
    """All windows [T,L,E] in order, those of ranks summed, and how many ranks there are."""
    ranks: dict[int | None, list[Part]] = {}
    for part in parts:
        ranks.setdefault(part.rank, []).append(part)
    if None in ranks and len(ranks) > 1:
        other = next(part for part in parts if part.rank is not None)
        raise FileError(f"{other.where}: holds the share of rank {other.rank}, but {ranks[None][0].where} that of all")
    if None in ranks:
        return _joined(parts), 1
    numbers = sorted(rank for rank in ranks if rank is not None)
    missing = numbers[-1] + 1 - len(numbers)
    if missing or len(numbers) == 1:
        more = f" and {missing - 5} more" if missing > 5 else ""
        first = islice((rank for rank in count() if rank not in ranks), min(missing, 5))
        which = f"rank {', '.join(map(str, first))}{more}" if missing else "other ranks"
        notes.append(f"there are no files of {which}, so what their tokens add is not counted")
    return _sum_of_ranks([ranks[number] for number in numbers], notes), len(ranks)


def _joined(parts: Sequence[Part]) -> Array:
    """Their windows, in int64 if all are."""
    counts: Array = np.concatenate([part.counts for part in parts])
    return counts


def _sum_of_ranks(ranks: Sequence[Sequence[Part]], notes: list[str]) -> Array:
    """The sums [T,L,E] of windows of the same moments; without moments, of the first windows, the second, and so on."""
    moments = [_moments(shares) for shares in ranks]
    known = set(moments[0]).intersection(*moments)
    common = [moment for moment in moments[0] if moment in known]
    for shares, each in zip(ranks, moments, strict=True):
        # Without moments nobody knows which window a rank lacks.
        if each != moments[0] and (not common or (None, 0) in known):
            first = f"rank {ranks[0][0].rank} has {len(moments[0])}"
            which = "" if len(each) != len(moments[0]) else ", none of which are the same"
            text = f"rank {shares[0].rank} has {counted(len(each), 'window')}, but {first}{which}"
            raise FileError(f"{shares[0].where}: {text}")
    left_out = len(set().union(*moments)) - len(common)
    if left_out:
        verb = "is" if left_out == 1 else "are"
        notes.append(f"{counted(left_out, 'window')} that not all ranks have {verb} left out")
    total: Array = np.zeros(1, np.int64)
    for shares, each in zip(ranks, moments, strict=True):
        place = {moment: window for window, moment in enumerate(each)}
        counts = _joined(shares)[[place[moment] for moment in common]]
        check_sums(shares[0].where, [total, counts])
        total = total + counts
    return total


def _moments(shares: Sequence[Part]) -> list[tuple[Hashable, int]]:
    """Of each window of a rank: its moment, None if it has none, and how often that was there before."""
    seen: Counter[Hashable] = Counter()
    moments: list[tuple[Hashable, int]] = []
    for part in shares:
        for moment in part.moments or [None] * len(part.counts):
            moments.append((moment, seen[moment]))
            seen[moment] += 1
    return moments


def _filled(parts: Sequence[Part], counts: Array, notes: list[str]) -> Array:
    """Without the windows of a recorder's ring that it had not come to."""
    used: Array = np.any(counts, axis=(1, 2))
    if not any(part.ring for part in parts) or used.all() or not used.any():
        return counts
    notes.append(f"{(~used).sum()} of {len(used)} windows are empty, as unused room of the recorder is, and left out")
    kept: Array = counts[used]
    return kept


def _layers_with_load(where: str, parts: Sequence[Part], counts: Array, notes: list[str]) -> Array:
    """Which layers [L] are kept: all, but dense ones of formats that number all layers of a model."""
    if not all(part.absolute for part in parts):
        return np.ones(counts.shape[1], bool)
    kept: Array = np.any(counts, axis=(0, 2))
    if not kept.any():
        raise FileError(f"{where}: all counts are zero")
    if not kept.all():
        verb = "is" if (~kept).sum() == 1 else "are"
        notes.append(f"{name_layers(parts[0].layers[~kept])} without any load {verb} left out, as dense layers are")
    return kept


def _is_placement(counts: Array) -> bool:
    """Whether counts would be one: a table without a name does not say what it is."""
    largest = counts.max()
    if counts.dtype != np.int64 or not _FEW <= largest < counts.shape[2]:
        return False
    return all(len(np.unique(row)) == largest + 1 for row in counts.reshape(-1, counts.shape[2]))


def _check_sizes(where: str, counts: Array, sizes: Sizes, left_out: int) -> None:
    _, layers, experts = counts.shape
    exchanged = sizes.experts == layers or sizes.layers == experts
    if experts == 1 < layers and sizes.experts is None:
        what = f"has one expert in each of {layers} layers: a layer is a row"
        raise FileError(f"{where}: {what}; give experts=1 (--experts 1) if it is so")
    hint = ": are rows and columns exchanged?" if exchanged else ""
    if sizes.experts not in (None, experts):
        raise FileError(f"{where}: has {counted(experts, 'expert')}, must have {sizes.experts} as asked{hint}")
    if sizes.layers not in (None, layers):
        found = counted(layers, "layer") + (f", and {left_out} more without any load" if left_out else "")
        raise FileError(f"{where}: has {found}, must have {sizes.layers} as asked{hint}")
