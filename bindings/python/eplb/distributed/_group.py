"""A group of ranks: what it must agree on before work begins, and how its failures are reported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist

from .._errors import Error, error_for
from .._library import STATUSES, invalid_argument, invalid_state, status_name

_MOST_FACTS = 7
_TEXT_BYTES = 400
_RECORD = np.dtype(
    [
        ("code", np.int64),
        ("text", f"S{_TEXT_BYTES}"),
        ("number", np.int64),
        ("digests", "S8", (_MOST_FACTS + 1,)),
    ]
)
_NO_FAULT, _NOT_OURS = 0, -1


class GroupError(Error, RuntimeError):
    """Ranks of a group differ in what must be equal, or one of them failed or does not answer.

    Attributes:
        ranks: of the group, those that differ from most, or that failed; empty where that is not known.
    """

    def __init__(self, text: str, code: int = STATUSES["invalid_state"], status: str = "EPLB_INVALID_STATE") -> None:
        super().__init__(text, code, status)
        self.ranks: tuple[int, ...] = ()


def group_error(text: str, ranks: tuple[int, ...] = ()) -> GroupError:
    error = GroupError(text)
    error.ranks = ranks
    return error


class Fault(NamedTuple):
    """What a rank could not do, in a form that can be sent."""

    code: int  # an eplb_status; below 0: no error of this package
    text: str

    @staticmethod
    def of(error: Exception) -> Fault:
        if isinstance(error, Error) and error.code > 0 and not isinstance(error, GroupError):
            return Fault(error.code, str(error))
        return Fault(_NOT_OURS, str(error) if isinstance(error, Error) else f"{type(error).__name__}: {error}")

    def encoded(self) -> bytes:
        # Cut so that no character is left in half.
        return self.text.encode()[:_TEXT_BYTES].decode(errors="ignore").encode()

    def error(self, rank: int) -> Error:
        """The same error for every rank of the group."""
        text = f"rank {rank}: {self.text}"
        return group_error(text, (rank,)) if self.code < 0 else error_for(self.code, status_name(self.code), text)


class Members:
    """The ranks of a group. All of them must make the same calls.

    Attributes:
        rank: this one's number in the group.
        size: how many there are.
        kinds: of devices that the backend sends from, such as {"cpu"}.
        device: where what is sent is put if it is nowhere yet.
    """

    def __init__(self, group: Any) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise invalid_state("torch.distributed has no process group: call its init_process_group first")
        self.group = dist.group.WORLD if group is None else group
        self.rank: int = dist.get_rank(self.group)
        if self.rank < 0:
            raise invalid_argument("group does not have this process: only its members may call")
        self.size: int = dist.get_world_size(self.group)
        # Like "cpu:gloo,cuda:nccl".
        kinds = [part.partition(":")[0] for part in str(dist.get_backend_config(self.group)).split(",")]
        self.kinds = frozenset(kinds)
        kind = "cpu" if "cpu" in self.kinds else kinds[0]
        self.device = torch.device(kind) if kind == "cpu" else torch.device(kind, getattr(torch, kind).current_device())

    def global_rank(self, rank: int) -> int:
        number: int = dist.get_global_rank(self.group, rank)
        return number

    def gather(self, record: np.ndarray[Any, Any], what: str) -> np.ndarray[Any, Any]:
        """The records of all ranks, which have one type and are not arrays; `what` names them for errors."""
        mine = torch.frombuffer(bytearray(record.tobytes()), dtype=torch.uint8).to(self.device)
        gathered = [torch.empty_like(mine) for _ in range(self.size)]
        with named_failures(f"rank {self.rank} waits for {what} of the others"):
            dist.all_gather(gathered, mine, group=self.group)
            return np.frombuffer(torch.stack(gathered).cpu().numpy().tobytes(), record.dtype)

    def sum(self, counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The sum of int64 arrays of one shape over all ranks."""
        total = torch.from_numpy(counts.copy()).to(self.device)
        with named_failures(f"rank {self.rank} waits for the loads of the others"):
            dist.all_reduce(total, group=self.group)
            summed: np.ndarray[Any, Any] = total.cpu().numpy()
        return summed

    def agree(self, call: str, facts: dict[str, bytes], error: Exception | None = None, number: int = 0) -> list[int]:
        """Raises the same error on every rank if one has an error, or if they differ in a fact.

        Args:
            call: the name of the function that all should be in.
            facts: by name, what must be the same on all ranks; without meaning if there is an error.
            error: why this rank cannot go on.
            number: one of this rank.

        Returns:
            The numbers of all ranks.
        """
        record = np.zeros((), _RECORD)
        record["number"] = number
        if error is not None:
            fault = Fault.of(error)
            record["code"], record["text"] = fault.code, fault.encoded()
        for index, fact in enumerate((call.encode(), *facts.values())):
            record["digests"][index] = _digest(fact)
        records = self.gather(record, "the arguments")
        raise_faults(records["code"], records["text"], error)
        for index, name in enumerate(("the function that they call", *facts)):
            refuse_difference(name, records["digests"][:, index].tolist())
        return [int(each) for each in records["number"]]


def raise_faults(codes: np.ndarray[Any, Any], texts: np.ndarray[Any, Any], error: Exception | None) -> None:
    """Raises the error of the lowest rank that has one; if it is that of all, each raises its own."""
    failed = np.flatnonzero(codes != _NO_FAULT)
    if not len(failed):
        return
    if error is not None and len(failed) == len(codes) and len(set(texts.tolist())) == 1:
        raise error
    rank = int(failed[0])
    raise Fault(int(codes[rank]), texts[rank].decode(errors="replace")).error(rank) from error


def refuse_difference(what: str, values: list[Any], shown: Callable[[Any], str] | None = None) -> None:
    """Raises GroupError unless all ranks have the same value, of which `shown` makes a text."""
    ranks_of: dict[Any, list[int]] = {}
    for rank, value in enumerate(values):
        ranks_of.setdefault(value, []).append(rank)
    if len(ranks_of) == 1:
        return
    # What most have is right; of equally many, what the lowest rank has.
    by_ranks = sorted(ranks_of.items(), key=lambda item: (-len(item[1]), item[1]))
    different = tuple(sorted(rank for _, ranks in by_ranks[1:] for rank in ranks))
    detail = f"not on {_ranks(different)}"
    if shown is not None:
        detail = "; ".join(f"{shown(value)} on {_ranks(ranks)}" for value, ranks in by_ranks)
    raise group_error(f"{what} must be the same on all ranks: {detail}", different)


def _ranks(ranks: Sequence[int]) -> str:
    *first, last = map(str, ranks)
    return f"ranks {', '.join(first)} and {last}" if first else f"rank {last}"


def _digest(fact: bytes) -> bytes:
    # numpy's strings end at the last byte that is not zero.
    return hashlib.blake2b(fact, digest_size=8).digest().rstrip(b"\0")


@contextmanager
def named_failures(what: str, ranks: tuple[int, ...] = ()) -> Iterator[None]:
    """Turns what torch raises for peers that are gone or do not answer, perhaps these ranks, into GroupError."""
    try:
        yield
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()), "no reason given")
        raise group_error(f"{what}: {reason}", ranks) from error
