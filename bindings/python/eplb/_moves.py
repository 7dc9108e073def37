"""How a current placement becomes a plan: who sends what to whom, and in which round."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import Array, Ints
from ._cluster import Cluster
from ._figures import COLUMNS_OF_MOVES, worst_layers
from ._files.values import counted
from ._interrupts import Stop
from ._library import TRANSFER_ORDERS, invalid_argument, value_of
from ._loads import nodes_of_gpus
from ._session import Session
from ._shown import Drawing, Shown
from ._thread_session import keep_session, take_session

_RELOAD = -2
_TABLE = np.dtype(
    [
        (name, np.int32)
        for name in ("layer", "expert", "gpu", "slot", "source_gpu", "source_slot", "kind", "round", "group")
    ]
)
_WITHIN_GPU, _WITHIN_NODE, _BETWEEN_NODES, _FROM_STORAGE = range(4)


@dataclass(frozen=True, eq=False)
class Change:
    """A plan's way from the current placement, in the library's maps: compact, since a program may keep many plans."""

    changed: npt.NDArray[np.bool_]  # [L]
    count: Array  # [L]
    source: Array  # [L,S], like those that follow
    round: Array
    group: Array
    placement: Array
    num_gpus: int
    node: Array  # of each GPU

    def is_written(self) -> npt.NDArray[np.bool_]:
        """Slots [L,S] that a transfer writes."""
        own = np.arange(self.source.shape[1])
        written: npt.NDArray[np.bool_] = (self.source != own) & (self.source != -1)
        return written

    def gpus(self) -> tuple[Array, Array, Array]:
        """The GPU of each slot [S], that of its source and the kind of its transfer [L,S]; -1 where there is none."""
        slots = self.source.shape[1]
        gpu = np.arange(slots) // (slots // self.num_gpus)
        source_gpu = np.where(self.source >= 0, gpu[self.source], -1)
        node, source_node = self.node[gpu], self.node[source_gpu]
        kind = np.where(source_node == node, _WITHIN_NODE, _BETWEEN_NODES)
        kind[source_gpu == gpu] = _WITHIN_GPU
        kind[self.source == _RELOAD] = _FROM_STORAGE
        return gpu, source_gpu, kind

    def moves(self) -> Moves:
        count, source, in_round, group = (
            each.astype(np.int64) for each in (self.count, self.source, self.round, self.group)
        )
        return Moves(count, source, in_round, group, self)


@dataclass(frozen=True, eq=False)
class Moves(Drawing):
    """How a current placement becomes a plan. Its picture says who sends experts to whom, and the moves of each layer.

    A move is a GPU and an expert that it gets. A transfer is how one slot gets its contents: from a slot of the current
    placement, or by a reload if none holds the expert. In a round each GPU sends at most one expert to another and
    receives at most one; what else a round promises depends on the transfer_order of the solve.

    Attributes:
        count: int64 [L], moves.
        source: int64 [L,S]: the slot of the current placement whose contents go to this slot; its own index: unchanged;
            -1: nothing goes there; -2: a reload.
        round: int64 [L,S]: -1: nothing happens; 0: any time, within the GPU or a reload; from 1 on: the round.
            With "in_place" all transfers have rounds, and a slot that is written is read in earlier ones only.
        group: int64 [L,S]: with "in_place" the number of the cycle, else -1. What the first slot of a cycle to be
            written held must be saved before: the last one is written with it.
    """

    count: Ints
    source: Ints = dataclasses.field(repr=False)
    round: Ints = dataclasses.field(repr=False)
    group: Ints = dataclasses.field(repr=False)
    _change: Change = dataclasses.field(repr=False)

    @property
    def num_gpus(self) -> int:
        """GPUs that the slots are on, G."""
        return self._change.num_gpus

    @property
    def num_nodes(self) -> int:
        """Nodes that these are on, N."""
        return int(self._change.node.max()) + 1

    def table(self) -> npt.NDArray[np.void]:
        """The transfers, one row each, by layer, round and slot: a structured array of int32.

        Its fields are layer, expert, gpu, slot, source_gpu, source_slot, kind, round and group. Slots are those of the
        layer, not of the GPU. kind is 0 within a GPU, 1 within a node, 2 between nodes, and 3 for a reload, whose
        source_gpu and source_slot are -1.
        """
        change = self._change
        layer, slot = np.nonzero(change.is_written())
        in_order = np.lexsort((slot, change.round[layer, slot], layer))
        layer, slot = layer[in_order], slot[in_order]
        gpu, source_gpu, kind = change.gpus()
        rows = np.empty(len(layer), _TABLE)
        rows["layer"], rows["slot"], rows["gpu"] = layer, slot, gpu[slot]
        rows["source_slot"] = np.maximum(change.source[layer, slot], -1)
        maps = {"expert": change.placement, "source_gpu": source_gpu, "kind": kind}
        for name, each in {**maps, "round": change.round, "group": change.group}.items():
            rows[name] = each[layer, slot]
        return rows

    def _show(self) -> Shown:
        figures = TransferFigures(self)
        by_layer = np.stack([figures.moves, figures.between_nodes, figures.reloads, figures.rounds])
        most = worst_layers(figures.moves)
        rows = [("all layers", *map(str, by_layer.sum(axis=1)))]
        rows += [(f"layer {layer}", *map(str, by_layer[:, layer])) for layer in most if figures.moves[layer]]
        where = f"{counted(len(self.count), 'layer')} on {counted(self.num_gpus, 'GPU')}"
        return Shown(f"Moves of {where}", ("", *COLUMNS_OF_MOVES), rows)


class TransferFigures:
    """What the transfers of moves come to.

    Attributes:
        moves, between_nodes, reloads, rounds: int64 [L].
        sent: int64 [G,G], experts that a GPU (row) sends to another (column), over all layers.
        reloaded: int64 [G], experts that a GPU gets from storage.
        num_nodes: of the GPUs.
    """

    def __init__(self, moves: Moves) -> None:
        table, layers, gpus = moves.table(), len(moves.count), moves.num_gpus
        self.moves = moves.count
        self.between_nodes, self.reloads = (
            np.bincount(table["layer"][table["kind"] == kind], minlength=layers)
            for kind in (_BETWEEN_NODES, _FROM_STORAGE)
        )
        self.rounds: Ints = np.maximum(moves.round.max(axis=1, initial=0), 0)
        self.sent = np.zeros((gpus, gpus), np.int64)
        crossing = table[(table["kind"] == _WITHIN_NODE) | (table["kind"] == _BETWEEN_NODES)]
        np.add.at(self.sent, (crossing["source_gpu"], crossing["gpu"]), 1)
        self.reloaded = np.bincount(table["gpu"][table["kind"] == _FROM_STORAGE], minlength=gpus)
        self.num_nodes = moves.num_nodes


def fetch_change(session: Session, num_gpus: int, num_nodes: int, cluster: Cluster | None) -> Change:
    """The way from the session's current placement to its plan, whose sizes the session may have forgotten."""
    current = session.current
    assert current is not None, "the plan was solved with a current placement"
    shape = current.shape
    placement = session.ints32("physical_to_logical", shape)
    source, round_of, group = (session.ints32(f"move_{name}", shape) for name in ("source", "round", "group"))
    count = session.ints32("move_count", shape[:1])
    return _change(current, placement, (source, round_of, group), count, nodes_of_gpus(num_gpus, num_nodes, cluster))


def plan_change(session: Session, current: Array, placement: Array, order: int) -> Change:
    """The way between two placements for the session's problem and cluster, and a transfer order as C has it."""
    maps = session.plan_transfers(current, placement, order)
    node = nodes_of_gpus(session.problem.num_gpus, session.problem.num_nodes, session.cluster)
    change = _change(current, placement, maps, np.empty(0, np.int32), node)
    return dataclasses.replace(change, count=_count_moves(change))


def plan_moves(
    current: Array,
    placement: Array,
    num_gpus: Any,
    num_nodes: Any,
    cluster: Cluster | None,
    transfer_order: Any,
    stop: Stop,
) -> Moves:
    """The way between any two placements [L,S], which is worked out in a session of this thread.

    Args:
        stop: of the call that this is part of.
    """
    if current.shape != placement.shape:
        shapes = f"current is {list(current.shape)} and placement is {list(placement.shape)}"
        raise invalid_argument(f"{shapes}: they must have the same layers and slots")
    order = value_of(TRANSFER_ORDERS, "transfer_order", transfer_order)
    session = take_session(stop)
    try:
        session.set_problem(placement.shape[1], num_gpus, num_nodes, 1, "global", "simple")
        session.set_cluster(cluster)
        return plan_change(session, current, placement, order).moves()
    finally:
        keep_session(session)


def figures_of_moves(moves: Moves, num_gpus: int) -> dict[str, int]:
    """The fields of a report that follow from the transfers; those of moves that are forced need more."""
    table = moves.table()
    on_links = table[(table["kind"] == _WITHIN_NODE) | (table["kind"] == _BETWEEN_NODES)]
    busiest = (
        np.bincount(on_links["layer"].astype(np.int64) * num_gpus + on_links[gpu], minlength=1).max()
        for gpu in ("source_gpu", "gpu")
    )
    most_sent, most_received = (int(count) for count in busiest)
    return {
        "moves": int(moves.count.sum()),
        "moves_between_nodes": int((table["kind"] == _BETWEEN_NODES).sum()),
        "reloads": int((table["kind"] == _FROM_STORAGE).sum()),
        "rounds": int(np.maximum(moves.round.max(axis=1, initial=0), 0).sum()),
        "most_sent": most_sent,
        "most_received": most_received,
    }


def _change(current: Array, placement: Array, maps: Iterable[Array], count: Array, node: Array) -> Change:
    small: Any = np.int16 if placement.shape[1] < 2**15 and placement.max(initial=0) < 2**15 else np.int32
    changed = (placement != current).any(axis=1)
    source, in_round, group, compact = (each.astype(small) for each in (*maps, placement))
    return Change(changed, count, source, in_round, group, compact, len(node), node)


def _count_moves(change: Change) -> Array:
    """Pairs of a GPU and an expert that it gets, by layer; a GPU may get an expert in several slots."""
    gpu, _, kind = change.gpus()
    layers, slots = np.nonzero(change.is_written() & (kind != _WITHIN_GPU))
    places = layers * change.num_gpus + gpu[slots]
    pairs = np.unique(np.stack([places, change.placement[layers, slots]]), axis=1)
    return np.bincount(pairs[0] // change.num_gpus, minlength=len(change.placement)).astype(np.int32)
