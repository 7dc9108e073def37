"""Which replica a token goes to, so that each gets its share or its quota: an engine's dispatcher, in numpy.

    table = eplb.dispatch.hash_table(placement, share)  # shares, for tokens that nobody counts
    slots = table.choose(experts, eplb.dispatch.hash_tokens(tokens), layer=3)

    amounts = eplb.dispatch.near_first(counts, quota, placement, num_gpus=32, num_nodes=4)  # quotas, of these counts
    slots = eplb.dispatch.choose_in_order(experts, amounts[3, rank], placement[3])

Shares are integers [L,S], SHARES of each expert over its slots: about right for any tokens of the same kind. Quotas are
tokens [L,S]: exactly right for the tokens that they were made for, of which every rank must know how many the ranks
before it have. In both, [S] is one layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ._arrays import Array, Floats, Ints, current_to_host, placement_to_host, to_host
from ._cluster import Cluster, sizes_with
from ._library import integer, invalid_argument
from ._loads import nodes_of_gpus
from ._maps import check_experts, maps_of

__all__ = [
    "SHARES",
    "HashTable",
    "choose_in_order",
    "count_prefixes",
    "hash_table",
    "hash_tokens",
    "near_first",
    "probabilities",
    "shares_of",
]

# Of an expert, over its slots.
SHARES = 1 << 16
_MOST = 2**62
_MULTIPLIER = np.uint64(2654435769)  # 2^32 over the golden ratio


def hash_tokens(tokens: Any) -> Any:
    """Uint16, from 0 to SHARES - 1: the upper half of token * 2654435769 mod 2^32.

    tokens are integers, such as the token's place in the batch. That is the hash of vLLM 0.33, of which it takes the
    rest by the number of replicas. Consecutive numbers get hashes that are spread more evenly than chance would have
    them, so that counts miss their shares by less than random choices do.
    """
    numbers, _ = to_host("tokens", tokens)
    if numbers.dtype.kind not in "iu":
        raise invalid_argument(f"tokens is {numbers.dtype.name}, must be integers")
    product = numbers.astype(np.uint64) * _MULTIPLIER & np.uint64(0xFFFFFFFF)
    return (product >> np.uint64(16)).astype(np.uint16)


@dataclass(frozen=True, eq=False)
class HashTable:
    """For each expert its slots, and up to which hash a token goes to each.

    Attributes:
        slots: int32 [L,E,X]: those of the expert in ascending order, then -1.
        thresholds: int32 [L,E,X]: the shares of the slots up to here. A token goes to the first slot whose threshold is
            above its hash.
    """

    slots: Array
    thresholds: Array

    def choose(self, experts: Any, hashes: Any, layer: int = 0) -> Ints:
        """The slots of tokens: experts, of any shape such as [tokens,k], and hashes of that shape or one that fits it.

        An expert without a slot in the layer, or -1, has slot -1.
        """
        layer = integer("layer", layer, 0, len(self.slots) - 1)
        wanted = _integers("experts", experts, -1, self.slots.shape[1] - 1)
        given = _integers("hashes", hashes, 0, SHARES - 1)
        try:
            wanted, given = np.broadcast_arrays(wanted, given)
        except ValueError:
            shapes = f"experts is {list(wanted.shape)} and hashes is {list(given.shape)}"
            raise invalid_argument(f"{shapes}: they must have one shape, or ones that broadcast to it") from None
        index = (self.thresholds[layer][wanted] <= given[..., np.newaxis]).sum(axis=-1)
        last = self.slots.shape[2] - 1
        chosen: Ints = np.where(wanted >= 0, self.slots[layer][wanted, np.minimum(index, last)], -1)
        return chosen


def hash_table(physical_to_logical: Any, shares: Any, *, num_experts: int | None = None) -> HashTable:
    """The table for choices by hash: a slot gets as many of the SHARES hashes as it has shares.

    Args:
        physical_to_logical: integers [L,S] or [S], the expert in each slot, -1 in those that are empty; or a plan.
        shares: integers [L,S] or [S], which sum to SHARES over the slots of each expert.
        num_experts: E; None is one more than the highest in physical_to_logical.

    Raises:
        InvalidArgument: shapes that do not fit each other; shares that do not sum to SHARES, naming layer and expert.
        InvalidPlacement: an id that is no expert, naming layer and slot.
    """
    placement, experts = _placement(physical_to_logical, num_experts)
    given = _shares(shares, placement, experts)
    slots, _, _ = maps_of(placement, experts)
    thresholds = np.cumsum(_at_slots(given, slots), axis=2)
    return HashTable(slots.astype(np.int32), thresholds.astype(np.int32))


def probabilities(shares: Any, logical_to_physical: Any) -> Any:
    """Float32 [L,E,X]: of each replica of an expert, as SGLang's dispatch `lp` takes them; 0 where there is none.

    Exact, as shares are less than 2^24: those of an expert sum to 1.

    Args:
        shares: integers [L,S] or [S], which sum to SHARES over the slots of each expert.
        logical_to_physical: integers [L,E,X] or [E,X], the slots of each expert in the engine's own order, then -1:
            SGLang's logical_to_all_physical_map, which it pads to X = S.

    Raises:
        InvalidArgument: shapes that do not fit each other; a slot that is not there, or shares that do not sum to
            SHARES, naming layer and expert.
    """
    slots, _ = to_host("logical_to_physical", logical_to_physical)
    given = _integers("shares", shares, 0, SHARES)
    flat = slots.ndim == 2
    slots, given = (slots[np.newaxis] if flat else slots), (given[np.newaxis] if given.ndim == 1 else given)
    if slots.ndim != 3 or slots.dtype.kind not in "iu" or given.ndim != 2 or len(slots) != len(given):
        shapes = f"logical_to_physical is {list(slots.shape)} and shares is {list(given.shape)}"
        raise invalid_argument(f"{shapes}: they must be integers [layers, experts, replicas] and [layers, slots]")
    slots = _integers("logical_to_physical", slots, -1, given.shape[1] - 1)
    parts = _at_slots(given, slots)
    there = np.asarray((slots >= 0).any(axis=2))
    _check_sums(parts.sum(axis=2), there)
    found: Floats = (parts / SHARES).astype(np.float32)
    return found[0] if flat else found


def shares_of(physical_to_logical: Any, quotas: Any, *, num_experts: int | None = None) -> Array:
    """Int32 [L,S]: quotas, or other amounts, as shares of each expert.

    They are rounded down, and what is left goes to the largest remainders, one each; of equal ones to the lowest slot.
    An expert of which no slot has any is shared evenly by its slots.

    Raises:
        InvalidArgument: shapes that do not fit each other; an amount that is NaN, infinite or negative.
        InvalidPlacement: an id that is no expert, naming layer and slot.
    """
    placement, experts = _placement(physical_to_logical, num_experts)
    amounts = _amounts(quotas, placement)
    found = np.zeros(placement.shape, np.int32)
    for layer, row in enumerate(placement):
        for expert in range(experts):
            slots = np.flatnonzero(row == expert)
            if len(slots):
                found[layer, slots] = _by_remainder([Fraction(each) for each in amounts[layer, slots].tolist()])
    return found


def count_prefixes(counts: Any, quotas: Any, physical_to_logical: Any) -> Ints:
    """Tokens of each source rank for each slot, in order of ranks: those of a rank come after those of the ranks below.

    A rank needs nothing but its own counts and, of each expert, the sum of the counts of the ranks below it. This is
    the form of UltraEP and MoonEP.

    Args:
        counts: integers [L,R,E] or [R,E]: tokens that each source rank has of each expert.
        quotas: integers [L,S] or [S]: tokens of each slot, which sum to the counts of each expert.
        physical_to_logical: as for hash_table.

    Returns:
        int64 [L,R,S], or [R,S] if counts has no layers: rows sum to counts, columns to quotas.

    Raises:
        InvalidArgument: shapes that do not fit each other, or no integers; sums that differ, naming layer and expert.
        InvalidPlacement: an id that is no expert, naming layer and slot.
    """
    tokens, goals, placement = _counted(counts, quotas, physical_to_logical)
    found = np.stack([_in_order(*layer) for layer in zip(tokens, goals, placement, strict=True)])
    return found[0] if np.ndim(counts) == 2 else found


def near_first(
    counts: Any,
    quotas: Any,
    physical_to_logical: Any,
    *,
    num_gpus: int | None = None,
    num_nodes: int | None = None,
    cluster: Cluster | None = None,
) -> Ints:
    """The same with as many tokens as can be on their own GPU, and then on their own node.

    Tokens go to slots on their GPU, what is left to slots on their node, and the rest anywhere, in order of ranks and
    slots each time. No other amounts that meet these quotas keep more tokens on their GPU, or on their node: what is
    kept on a GPU is kept on its node, too. Every rank needs the counts of all.

    Args:
        counts, quotas, physical_to_logical: as for count_prefixes. Source ranks are on GPUs in order, as many on each.
        num_gpus, num_nodes, cluster: as for Context.solve; one node is the default.

    Returns and raises what count_prefixes does.
    """
    tokens, goals, placement = _counted(counts, quotas, physical_to_logical)
    sizes = zip(("num_gpus", "num_nodes"), sizes_with(cluster, num_gpus, num_nodes), strict=True)
    gpus, nodes = (integer(name, size, 1) for name, size in sizes)
    ranks, slots = tokens.shape[1], placement.shape[1]
    if slots % gpus or ranks % gpus:
        raise invalid_argument(f"num_gpus is {gpus}, must divide the {slots} slots and the {ranks} ranks of counts")
    node = nodes_of_gpus(gpus, nodes, cluster)
    gpu_of_rank, gpu_of_slot = np.arange(ranks) * gpus // ranks, np.arange(slots) * gpus // slots
    found = np.zeros((len(tokens), ranks, slots), np.int64)
    for layer, row in enumerate(placement):
        for rank_place, slot_place in ((gpu_of_rank, gpu_of_slot), (node[gpu_of_rank], node[gpu_of_slot])):
            _add_at_same_place(found[layer], tokens[layer], goals[layer], row, rank_place, slot_place)
        found[layer] += _in_order(tokens[layer], goals[layer], row)
    return found[0] if np.ndim(counts) == 2 else found


def choose_in_order(experts: Any, amounts: Any, physical_to_logical: Any) -> Ints:
    """The slots of one rank's tokens in one layer: of an expert, the first tokens go to its lowest slot, and so on.

    Args:
        experts: integers of any shape such as [tokens,k].
        amounts: integers [S]: a row of what count_prefixes or near_first returns.
        physical_to_logical: integers [S].

    Raises:
        InvalidArgument: another number of tokens of an expert than amounts has.
    """
    row = current_to_host(physical_to_logical, 1)[0]
    left = _integers("amounts", amounts, 0, _MOST)
    if left.shape != row.shape:
        raise invalid_argument(f"amounts is {list(left.shape)}, must be [{len(row)}] as physical_to_logical is")
    wanted = _integers("experts", experts, 0, int(row.max(initial=0)))
    have, need = np.bincount(wanted.ravel(), minlength=len(row)), np.zeros(int(row.max(initial=0)) + 1, np.int64)
    np.add.at(need, row[row >= 0], left[row >= 0])
    wrong = np.flatnonzero(have[: len(need)] != need)
    if len(wrong):
        found = f"experts has {have[wrong[0]]} tokens of expert {wrong[0]}"
        raise invalid_argument(f"{found}, but amounts has {need[wrong[0]]}")
    # Tokens by expert, in their order, next to slots by expert, in theirs.
    order = np.argsort(row, kind="stable")
    order = order[row[order] >= 0]
    chosen = np.empty(wanted.size, np.int64)
    chosen[np.argsort(wanted, axis=None, kind="stable")] = np.repeat(order, left[order])
    return chosen.reshape(wanted.shape)


# ------------------------------------------------------------------------------------------- counts


def _in_order(counts: Ints, quotas: Ints, row: Ints) -> Ints:
    """[R,S]: of each expert's tokens in the order of ranks, those in each slot's interval, in the order of slots."""
    expert = np.where(row >= 0, row, 0)
    end = _ends_by_expert(quotas, row)
    last = np.cumsum(counts, axis=0)[:, expert]
    first = last - counts[:, expert]
    found: Ints = np.maximum(np.minimum(last, end) - np.maximum(first, end - quotas), 0)
    return found


def _ends_by_expert(quotas: Ints, row: Ints) -> Ints:
    """[S]: the quotas of an expert's slots up to this one."""
    order = np.argsort(row, kind="stable")
    total, starts = np.cumsum(quotas[order]), np.searchsorted(row[order], row[order])
    ends = np.empty_like(quotas)
    ends[order] = total - (total - quotas[order])[starts]
    return ends


def _add_at_same_place(found: Ints, counts: Ints, quotas: Ints, row: Ints, rank_place: Ints, slot_place: Ints) -> None:
    """Matches what ranks and slots of a place have left. counts and quotas: what is left of them, less that."""
    for place in np.unique(rank_place):
        ranks, slots = np.flatnonzero(rank_place == place), np.flatnonzero(slot_place == place)
        amounts = _in_order(counts[ranks], quotas[slots], row[slots])
        found[np.ix_(ranks, slots)] += amounts
        quotas[slots] -= amounts.sum(axis=0)
        full = row[slots] >= 0
        np.subtract.at(counts, np.ix_(ranks, row[slots][full]), amounts[:, full])


# ------------------------------------------------------------------------------------------- arguments


def _placement(physical_to_logical: Any, num_experts: int | None) -> tuple[Ints, int]:
    """[L,S], checked, and E."""
    array, _ = to_host("physical_to_logical", getattr(physical_to_logical, "physical_to_logical", physical_to_logical))
    placement = placement_to_host(array[np.newaxis] if array.ndim == 1 else array)
    highest = max(1, int(placement.max(initial=0)) + 1)
    experts = highest if num_experts is None else integer("num_experts", num_experts, 1)
    check_experts(placement, experts, "physical_to_logical")
    return placement, experts


def _integers(argument: str, value: Any, low: int, high: int) -> Ints:
    array, _ = to_host(argument, value)
    if array.dtype.kind not in "iu":
        raise invalid_argument(f"{argument} is {array.dtype.name}, must be integers")
    wrong = np.argwhere((array < low) | (array > high))
    if len(wrong):
        where = f"[{', '.join(map(str, wrong[0]))}]" if array.ndim else ""
        raise invalid_argument(f"{argument}{where} is {array[tuple(wrong[0])]}, must be {low} to {high}")
    return array.astype(np.int64)


def _fitting(argument: str, array: Array, placement: Ints) -> Array:
    rows: Array = array[np.newaxis] if array.ndim == 1 else array
    if rows.shape != placement.shape:
        shapes = f"{argument} is {list(array.shape)} and physical_to_logical is {list(placement.shape)}"
        raise invalid_argument(f"{shapes}: they must have the same layers and slots")
    return rows


def _shares(shares: Any, placement: Ints, experts: int) -> Ints:
    given = _fitting("shares", _integers("shares", shares, 0, SHARES), placement)
    sums, present = np.zeros((len(given), experts), np.int64), np.zeros((len(given), experts), bool)
    layer, slot = np.nonzero(placement >= 0)
    np.add.at(sums, (layer, placement[layer, slot]), given[layer, slot])
    present[layer, placement[layer, slot]] = True
    _check_sums(sums, present)
    return given


def _check_sums(sums: Ints, present: Array) -> None:
    wrong = np.argwhere(present & (sums != SHARES))
    if len(wrong):
        layer, expert = wrong[0]
        found = f"shares of expert {expert} in layer {layer} sum to {sums[layer, expert]}"
        raise invalid_argument(f"{found}, must be {SHARES}: shares_of makes shares of quotas")


def _at_slots(given: Ints, slots: Ints) -> Ints:
    """[L,E,X]: what the slots of each expert have; 0 where there is none."""
    rows = np.arange(len(given))[:, np.newaxis, np.newaxis]
    there: Ints = np.where(slots >= 0, given[rows, np.maximum(slots, 0)], 0)
    return there


def _amounts(quotas: Any, placement: Ints) -> Array:
    array, _ = to_host("quotas", quotas)
    if array.dtype.kind not in "iuf":
        raise invalid_argument(f"quotas is {array.dtype.name}, must be numbers")
    amounts = _fitting("quotas", array, placement)
    wrong = np.argwhere(~((amounts >= 0) & np.isfinite(amounts)))
    if len(wrong):
        layer, slot = wrong[0]
        found = f"quotas[layer {layer}, slot {slot}] is {amounts[layer, slot]}"
        raise invalid_argument(f"{found}, must be 0 or more, and finite")
    return amounts


def _counted(counts: Any, quotas: Any, physical_to_logical: Any) -> tuple[Ints, Ints, Ints]:
    """[L,R,E], [L,S] and [L,S], copies, checked against each other."""
    tokens = _integers("counts", counts, 0, _MOST)
    tokens = tokens[np.newaxis] if tokens.ndim == 2 else tokens
    if tokens.ndim != 3:
        raise invalid_argument(f"counts has {tokens.ndim} dimensions, must be [layers, ranks, experts]")
    placement, experts = _placement(physical_to_logical, tokens.shape[2])
    goals = _fitting("quotas", _integers("quotas", quotas, 0, _MOST), placement)
    if len(tokens) != len(placement):
        raise invalid_argument(f"counts has {len(tokens)} layers, but physical_to_logical has {len(placement)}")
    sums = np.zeros((len(goals), experts + 1), np.int64)
    np.add.at(sums, (np.arange(len(goals))[:, np.newaxis], np.where(placement >= 0, placement, experts)), goals)
    wrong = np.argwhere(sums[:, :-1] != tokens.sum(axis=1))
    if len(wrong):
        layer, expert = wrong[0]
        found = f"quotas of expert {expert} in layer {layer} sum to {sums[layer, expert]}"
        raise invalid_argument(f"{found}, must be the {tokens[layer, :, expert].sum()} tokens of counts")
    wrong = np.argwhere((placement < 0) & (goals > 0))
    if len(wrong):
        layer, slot = wrong[0]
        raise invalid_argument(f"quotas[layer {layer}, slot {slot}] is {goals[layer, slot]}, but the slot is empty")
    return tokens, goals.copy(), placement


def _by_remainder(amounts: list[Fraction]) -> list[int]:
    total = sum(amounts)
    parts = [SHARES * each / total if total else Fraction(SHARES, len(amounts)) for each in amounts]
    whole = [int(part) for part in parts]
    order = sorted(range(len(parts)), key=lambda index: (whole[index] - parts[index], index))
    for index in order[: SHARES - sum(whole)]:
        whole[index] += 1
    return whole
