"""Solves whose layers are shared out over the ranks of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Array
from .._context import Context
from .._device_arrays import DeviceWeights
from .._gathered_solution import BOUNDS_OF_LAYERS, LARGEST_OF_LAYERS, SUMS_OF_LAYERS, GatheredSolution
from .._library import ffi, invalid_argument
from .._plan import Plan
from .._session import Session
from .._tables import MOST_WINDOWS, Tables
from .._windows import KeptWeights
from ._group import Fault, Members, raise_faults

# The last kind of error that the arguments cause; what follows is of one machine.
_LAST_OF_ARGUMENTS = 10


class Job(NamedTuple):
    """What Context.solve and Context.rebalance read from their arguments."""

    weights: Array  # [T,L,E]
    current: Array | None  # [L,S]
    tables: Tables
    problem: tuple[Any, ...]
    options: tuple[Any, ...]

    @property
    def num_layers(self) -> int:
        return int(self.weights.shape[1])

    def part(self, layers: slice) -> Job:
        """Some of the layers."""
        current = None if self.current is None else self.current[layers]
        return self._replace(weights=np.ascontiguousarray(self.weights[:, layers]), current=current)

    def prepare(self, session: Session) -> None:
        """Gives a session everything, so that it may solve. The library refuses what is no weight and no expert."""
        session.prepare(self.problem, self.options, self.tables, self.current, self.weights)


class _Reader(Context):
    """A context that reads arguments and does not solve them: others have a share in that."""

    job: Job

    def _solve(
        self,
        given: Array | DeviceWeights | None,
        current: Array | None,
        tables: Tables,
        problem: tuple[Any, ...],
        *options: Any,
    ) -> Any:
        if given is None or isinstance(given, DeviceWeights):
            raise invalid_argument("weights is None, must be numbers: nothing was uploaded that could be taken")
        weights = given if given.ndim == 3 else given[np.newaxis]
        self.job = Job(weights, current, tables, problem, options)
        with self._shared as session:
            self.job.prepare(session)
            if current is not None and len(current) != self.job.num_layers:
                session.solve()  # the library has a sentence for that

    def facts(self) -> dict[str, bytes]:
        """What all ranks must have given."""
        job, current = self.job, self.job.current
        with self._shared as session:
            structs = b"".join(bytes(ffi.buffer(each)) for each in (session.problem, session.options))
        return {
            "sizes and options": structs,
            "weights": repr((job.weights.dtype, job.weights.shape)).encode() + job.weights.tobytes(),
            "current": b"" if current is None else repr(current.shape).encode() + current.tobytes(),
            "cluster, prices and window_weights": repr(job.tables).encode(),
        }


def share_out(call: Callable[..., Plan], group: Any, num_threads: int, arguments: Any, options: dict[str, Any]) -> Plan:
    """Makes a call of Context, whose layers the ranks of the group solve, each a share.

    Before that they compare their arguments, so that a mistake on one rank is the same error on all.
    """
    members = Members(group)
    start = perf_counter()
    fault: Exception | None = None
    facts: dict[str, bytes] = {}
    reader: _Reader | None = None
    try:
        reader = _Reader(num_threads=num_threads)
        call(reader, *arguments, **options)
        facts = reader.facts()
    except Exception as error:
        fault = error
    members.agree(call.__name__, facts, fault)
    assert reader is not None, "without a fault there is one"
    with reader:
        return _solve_together(members, reader, start)


def _solve_together(members: Members, reader: _Reader, start: float) -> Plan:
    job = reader.job
    with reader._shared as session:
        shares = _shares(job.num_layers, 1 if session.options.max_moves_total >= 0 else members.size)
        record = np.zeros((), _record_type(job, session, max(share.stop - share.start for share in shares)))
        error = _attempt(job, shares[members.rank : members.rank + 1], session, record)
        records = members.gather(record, "the layers")
        job.prepare(session)
        _refuse_faults(records, session, error)
        microseconds = (perf_counter() - start) * 1e6
        return Plan(_put_together(records, shares, session, KeptWeights(job.weights), microseconds))


def _shares(layers: int, ranks: int) -> list[slice]:
    """Consecutive layers for each rank, of ranks that get some."""
    bounds = [layers * rank // ranks for rank in range(ranks + 1)]
    return [slice(first, last) for first, last in zip(bounds, bounds[1:], strict=False)]


def _record_type(job: Job, session: Session, layers: int) -> np.dtype[Any]:
    """What a rank sends: its layers, and what only their solve knows."""
    windows, _, experts = job.weights.shape
    fields: list[Any] = [
        ("code", np.int64),
        ("text", "S400"),
        ("slots", np.int32, (layers, session.problem.num_slots)),
        ("count", np.int32, (layers, experts)),
        ("sums", np.int64, (len(SUMS_OF_LAYERS),)),
        ("largest", np.int64, (len(LARGEST_OF_LAYERS),)),
    ]
    if session.options.allow_empty:
        fields += [(name, np.float64, (layers,)) for name in BOUNDS_OF_LAYERS]
        fields += [("window_bound", np.float64, (layers, windows))] if _keeps_windows(job) else []
    return np.dtype(fields)


def _attempt(job: Job, shares: list[slice], session: Session, record: Array) -> Exception | None:
    """Solves a rank's share, if it has one, into its record, which also takes an error."""
    try:
        for share in shares:
            for first, count in _steps(share, session.options.allow_empty != 0):
                _solve_layers(job.part(slice(first, first + count)), session, record, first - share.start)
    except Exception as error:
        fault = Fault.of(error)
        record["code"], record["text"] = fault.code, fault.encoded()
        return error
    return None


def _steps(share: slice, one_by_one: bool) -> Iterator[tuple[int, int]]:
    """First layer and number of layers of each solve. One by one, a report has the figures of a layer."""
    if not one_by_one:
        yield share.start, share.stop - share.start
        return
    for layer in range(share.start, share.stop):
        yield layer, 1


def _solve_layers(job: Job, session: Session, record: Array, at: int) -> None:
    """Solves layers, which are those of the record from `at` on."""
    layers = job.num_layers
    if layers == 0:
        return
    job.prepare(session)
    session.solve()
    rows = slice(at, at + layers)
    for name, map_name in (("slots", "replica_slots"), ("count", "replica_count")):
        record[name][rows] = session.ints32(map_name, record[name][rows].shape)
    if job.current is not None:
        report = session.report()
        record["sums"] += [getattr(report, name) for name in SUMS_OF_LAYERS]
        record["largest"] = np.maximum(record["largest"], [getattr(report, name) for name in LARGEST_OF_LAYERS])
    if session.options.allow_empty:
        report = session.report()
        record["bound"][rows], record["bound_share"][rows] = session.floats("bound"), report.bound_mean
        record["gap"][rows] = report.gap_mean
        if _keeps_windows(job):
            record["window_bound"][rows] = session.floats("window_bound")


def _keeps_windows(job: Job) -> bool:
    return 1 < len(job.weights) <= MOST_WINDOWS


def _refuse_faults(records: Array, session: Session, error: Exception | None) -> None:
    codes = records["code"]
    failed = codes[codes != 0]
    if len(failed) and 0 < failed[0] <= _LAST_OF_ARGUMENTS:
        # Then one process, which has all layers, finds it as well, and knows their numbers.
        session.solve()
    raise_faults(codes, records["text"], error)


def _put_together(
    records: Array, shares: list[slice], session: Session, weights: KeptWeights, microseconds: float
) -> GatheredSolution:
    def rows(name: str) -> Array:
        return np.concatenate(
            [record[name][: share.stop - share.start] for record, share in zip(records, shares, strict=False)]
        )

    moves: dict[str, int] = {}
    if session.current is not None:
        moves.update(zip(SUMS_OF_LAYERS, map(int, records["sums"].sum(axis=0)), strict=True))
        moves.update(zip(LARGEST_OF_LAYERS, map(int, records["largest"].max(axis=0)), strict=True))
    names = [name for name in (*BOUNDS_OF_LAYERS, "window_bound") if name in (records.dtype.names or ())]
    bounds = {name: rows(name) for name in names}
    return GatheredSolution(session, weights, microseconds, rows("slots"), rows("count"), moves, bounds)
