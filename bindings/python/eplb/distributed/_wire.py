"""Experts from rank to rank."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import torch
import torch.distributed as dist

from ._experts import Rows
from ._group import Members, named_failures

_Peers: TypeAlias = Sequence[tuple[Rows, int]]


class Wire:
    """Sends and receives tensors as bytes, since few backends know every type.

    Tensors on devices that the backend does not send from go through its own device, as CUDA tensors with gloo.
    """

    def __init__(self, members: Members, timeout: float | None) -> None:
        self._members = members
        self._timeout = () if timeout is None else (timedelta(seconds=timeout),)

    def exchange(self, sends: _Peers, receives: _Peers, when: str) -> None:
        """What runs at once; finished when it returns. `when` names it for errors."""
        group, operations, peers = self._members.group, [], []
        arrivals: list[tuple[torch.Tensor, torch.Tensor]] = []
        for direction, each in ((dist.isend, sends), (dist.irecv, receives)):
            for rows, peer in each:
                for tag, row in enumerate(rows):
                    if row.numel() == 0:
                        continue
                    data = self._outgoing(row) if direction is dist.isend else self._incoming(row)
                    operations.append(dist.P2POp(direction, data, self._members.global_rank(peer), group, tag))
                    peers.append(peer)
                    if direction is dist.irecv and data.data_ptr() != row.data_ptr():
                        arrivals.append((row, data))
        if operations:
            self._finish(operations, peers, when)
        for row, data in arrivals:
            row.copy_(data.view(row.dtype).reshape(row.shape))

    def _finish(self, operations: list[Any], peers: list[int], when: str) -> None:
        who = f"{when}: rank {self._members.rank} exchanges experts with rank"
        with named_failures(f"{who} {' or '.join(map(str, sorted(set(peers))))}", tuple(sorted(set(peers)))):
            works = dist.batch_isend_irecv(operations)
        # Backends that coalesce have one work for all.
        named = peers if len(works) == len(peers) else [-1] * len(works)
        for work, peer in zip(works, named, strict=True):
            ranks = tuple(sorted(set(peers))) if peer < 0 else (peer,)
            with named_failures(f"{who} {' or '.join(map(str, ranks))}", ranks):
                if work.wait(*self._timeout) is False:
                    raise RuntimeError("no answer in time")

    def _outgoing(self, row: torch.Tensor) -> torch.Tensor:
        data = row.reshape(-1).view(torch.uint8)
        return data if self._can_send_from(row) else data.to(self._members.device)

    def _incoming(self, row: torch.Tensor) -> torch.Tensor:
        if row.is_contiguous() and self._can_send_from(row):
            return row.reshape(-1).view(torch.uint8)
        device = row.device if self._can_send_from(row) else self._members.device
        return torch.empty(row.numel() * row.element_size(), dtype=torch.uint8, device=device)

    def _can_send_from(self, row: torch.Tensor) -> bool:
        return row.device.type in self._members.kinds
