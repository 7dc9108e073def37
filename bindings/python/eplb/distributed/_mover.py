"""Carries a list of transfers out: the reference for engines that move experts themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
import torch

from .._library import integer, invalid_argument
from .._moves import Moves
from ._experts import Experts, Rows, copy
from ._group import GroupError, Members, group_error
from ._transfers import STORAGE, Transfer, check_in_place, check_ranks, transfers_of
from ._wire import Wire

Load: TypeAlias = Callable[[int, int, int], None]


def move_experts(
    parameters: Sequence[Any],
    moves: Moves,
    group: Any = None,
    *,
    in_place: bool = False,
    load: Load | None = None,
    gpus: Iterable[int] | None = None,
    layers: Iterable[int] | None = None,
    timeout: float | None = None,
) -> None:
    """Moves the parameters of experts as a plan says, layer by layer and round by round. Collective.

    A rank is a GPU. Afterwards slots hold what the plan says; those that it leaves empty, or unchanged, keep their
    bytes. In a round each rank sends at most one expert and receives at most one. All ranks compare what they were
    given before anything moves, memory is allocated before that, and in the end all know whether all has arrived.

    Args:
        parameters: for each layer of the moves, the tensors of this rank: a list, or a dict by name. The first
            dimension of each is the slot, S/G of them; weights, scales and biases may differ in type and shape. Names,
            types and shapes must be the same on all ranks.
        moves: plan.moves, the same on all ranks.
        group: of torch.distributed; None is all ranks.
        in_place: False: what arrives waits in a buffer, for a layer's new contents, until the layer has no more
            rounds; for moves of any transfer_order. True: it is written into its slot at once; for moves of the
            transfer_order "in_place", of which each cycle needs a buffer for one expert.
        load: load(layer, expert, slot) writes an expert that no rank holds, from storage, into that slot of this rank's
            parameters: `slot` counts from 0 on each rank. Needed on ranks that have to reload.
        gpus: the GPU that each rank of the group is. None: rank r is GPU r. Other GPUs are dead or idle: no transfer
            may come from one or go to one.
        layers: which layers to move, in this order; None: all.
        timeout: seconds that a transfer may take; None: as long as the group allows.

    Raises:
        InvalidArgument: what does not fit the moves; moves that cannot be carried out in place, naming layer and slot.
            Nothing was moved.
        GroupError: arguments that differ, naming the ranks: nothing was moved. A `load` that failed, naming rank, layer
            and expert: all else has arrived, and the contents of that slot are unknown. A rank that died or did not
            answer: what the slots of the layer hold is unknown.
    """
    members = Members(group)
    fault: Exception | None = None
    facts: dict[str, bytes] = {}
    work: _Work | None = None
    try:
        work = _Work(members, parameters, moves, bool(in_place), load, gpus, layers)
        facts = work.facts()
    except Exception as error:
        fault = error
    members.agree("move_experts", facts, fault)
    assert work is not None, "without a fault there is one"
    with torch.no_grad():
        failed = work.run(Wire(members, timeout))
    members.agree("the end of move_experts", {}, failed)


class _Work:
    """A call, checked, with its buffers."""

    def __init__(
        self,
        members: Members,
        parameters: Sequence[Any],
        moves: Moves,
        in_place: bool,
        load: Load | None,
        gpus: Iterable[int] | None,
        layers: Iterable[int] | None,
    ) -> None:
        if not isinstance(moves, Moves):
            raise invalid_argument(f"moves is a {type(moves).__name__}, must be the moves of a plan")
        self._rank, self._in_place, self._load = members.rank, in_place, load
        num_layers, num_slots = moves.source.shape
        places = num_slots // moves.num_gpus
        self._gpus = _read_gpus(gpus, members.size, moves.num_gpus)
        asked = range(num_layers) if layers is None else layers
        self._layers = [integer("layers", layer, 0, num_layers - 1) for layer in asked]
        if len(set(self._layers)) < len(self._layers):
            raise invalid_argument(f"layers is {self._layers}, must name each layer once")
        self._experts = Experts(parameters, self._layers, num_layers, places)
        self._table = moves.table()
        self._table = self._table[np.isin(self._table["layer"], self._layers)]
        check_ranks(self._table, self._gpus)
        if in_place:
            check_in_place(self._table, num_layers, num_slots)
        mine = transfers_of(self._table, self._rank, self._gpus, places)
        self._transfers = {layer: mine.get(layer, []) for layer in self._layers}
        for layer in self._layers:
            self._check_load(layer)
            self._experts.reserve(layer, self._most_spare(layer))

    def _check_load(self, layer: int) -> None:
        for each in self._transfers[layer]:
            if each.source == STORAGE and not callable(self._load):
                raise invalid_argument(
                    f"load is {self._load!r}, must be a function: no rank holds expert {each.expert} of layer {layer}, "
                    f"which goes to slot {each.slot} of this rank"
                )

    def _most_spare(self, layer: int) -> int:
        """How many spare experts the layer takes."""
        mine = [each for each in self._transfers[layer] if each.target == self._rank]
        return sum(each.opens if self._in_place else each.source != STORAGE for each in mine)

    def facts(self) -> dict[str, bytes]:
        """What must be the same on all ranks."""
        return {
            "moves": self._table.tobytes(),
            "in_place, gpus and layers": repr((self._in_place, self._gpus, self._layers)).encode(),
            "names, types and shapes of parameters": self._experts.layout().encode(),
        }

    def run(self, wire: Wire) -> GroupError | None:
        """Moves all layers. Returns the first reload that failed: the other ranks go on, so this one does."""
        run_layer = self._run_in_place if self._in_place else self._run_buffered
        failed = [error for layer in self._layers for error in run_layer(layer, wire)]
        return failed[0] if failed else None

    def _run_in_place(self, layer: int, wire: Wire) -> list[GroupError]:
        experts, failed = self._experts, []
        saved: dict[int, Rows] = {}

        def source_of(each: Transfer) -> Rows:
            return saved[each.cycle] if each.closes else experts.rows(layer, each.source_slot)

        for number, transfers in self._rounds(layer):
            for each in transfers:
                if each.opens and each.target == self._rank:
                    saved[each.cycle] = experts.take(layer)
                    copy(experts.rows(layer, each.slot), saved[each.cycle])
            self._carry_out(transfers, source_of, lambda each: experts.rows(layer, each.slot), wire, layer, number)
            failed += self._reload(layer, transfers)
        for rows in saved.values():
            experts.give_back(layer, rows)
        return failed

    def _run_buffered(self, layer: int, wire: Wire) -> list[GroupError]:
        experts, transfers = self._experts, self._transfers[layer]
        slots = [each.slot for each in transfers if each.target == self._rank and each.source != STORAGE]
        buffer = {slot: experts.take(layer) for slot in slots}
        for number, of_round in self._rounds(layer):
            self._carry_out(
                of_round,
                lambda each: experts.rows(layer, each.source_slot),
                lambda each: buffer[each.slot],
                wire,
                layer,
                number,
            )
        # From here on nobody reads what this rank's slots held.
        for slot, rows in buffer.items():
            copy(rows, experts.rows(layer, slot))
            experts.give_back(layer, rows)
        return self._reload(layer, transfers)

    def _rounds(self, layer: int) -> Iterable[tuple[int, list[Transfer]]]:
        for number, transfers in groupby(self._transfers[layer], attrgetter("round")):
            yield number, list(transfers)

    def _carry_out(
        self,
        transfers: list[Transfer],
        source_of: Callable[[Transfer], Rows],
        target_of: Callable[[Transfer], Rows],
        wire: Wire,
        layer: int,
        number: int,
    ) -> None:
        sends, receives = [], []
        for each in transfers:
            if each.source == STORAGE:
                continue
            if each.source != self._rank:
                receives.append((target_of(each), each.source))
            elif each.target != self._rank:
                sends.append((source_of(each), each.target))
            else:
                copy(source_of(each), target_of(each))
        wire.exchange(sends, receives, f"layer {layer}, round {number}")

    def _reload(self, layer: int, transfers: list[Transfer]) -> list[GroupError]:
        failed = []
        for each in transfers:
            if each.source != STORAGE:
                continue
            assert self._load is not None, "it was checked"
            try:
                self._load(layer, each.expert, each.slot)
            except Exception as error:
                what = f"load({layer}, {each.expert}, {each.slot}) raised {type(error).__name__}: {error}"
                failed.append(group_error(what, (self._rank,)))
                failed[-1].__cause__ = error
        return failed


def _read_gpus(gpus: Iterable[int] | None, size: int, num_gpus: int) -> tuple[int, ...]:
    if gpus is None:
        if size != num_gpus:
            raise invalid_argument(f"the group has {size} ranks, but the moves have {num_gpus} GPUs: say gpus, by rank")
        return tuple(range(size))
    read = tuple(integer("gpus", gpu, 0, num_gpus - 1) for gpu in gpus)
    if len(read) != size or len(set(read)) != size:
        raise invalid_argument(f"gpus is {list(read)}, must have {size} different GPUs: that of each rank of the group")
    return read
