"""A context: weights in, placements and reports out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import numpy as np

from ._arrays import Array, Floats, placement_to_host, weights_to_host
from ._errors import InvalidState
from ._library import STATUSES, invalid_argument
from ._plan import Plan
from ._report import Report, make_report
from ._session import Session


def _invalid_state(text: str) -> InvalidState:
    return InvalidState(text, STATUSES["invalid_state"], "EPLB_INVALID_STATE")


class Context:
    """Owns the uploaded weights, the solved placement and the memory of the search; keep it for repeated solves.

    It may move between threads but is used by one at a time: a call that comes while another runs raises InvalidState.
    Different contexts are independent. It is useless after fork. The GIL is free while the library works.

    Args:
        device: "cpu", "cuda" or "cuda:1". CUDA is never used unasked.
        num_threads: CPU threads of a solve, the caller's included. Any number gives the same answer.

    Raises:
        InvalidArgument: device or num_threads cannot be.
        Unavailable: no such backend in this build, no driver, or no such device; the text says which.
    """

    def __init__(self, device: Any = "cpu", num_threads: int = 1) -> None:
        self._session: Session | None = Session(device, num_threads)
        self._lock = threading.Lock()
        self._last_problem: dict[str, Any] = {}
        self._layer_sums: Floats | None = None

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees everything. Plans stay valid. Closing twice is fine.

        Raises:
            InvalidState: another thread is inside a call.
        """
        if self._session is not None:
            with self._use() as session:
                self._session = None
                session.close()

    @contextmanager
    def _use(self) -> Iterator[Session]:
        # Upload, solve and fetches are one call here but several in C, which could not see another thread between them.
        if not self._lock.acquire(blocking=False):
            raise _invalid_state("the context is in use by another thread: a context serves one call at a time")
        try:
            if self._session is None:
                raise _invalid_state("the context is closed")
            yield self._session
        finally:
            self._lock.release()

    def upload(self, weights: Any) -> None:
        """Copies weights into the context, for any number of solves and evaluations that are given None.

        A plan that was solved before stays valid; after an error the context is as it was.

        Args:
            weights: as for solve.

        Raises:
            InvalidArgument: a type or number of dimensions that cannot be.
            InvalidWeight: naming layer and expert.
        """
        array, _ = weights_to_host(weights)
        with self._use() as session:
            self._upload(session, array)

    def _upload(self, session: Session, weights: Array) -> None:
        session.upload(weights)
        windows = 0 if weights.ndim == 3 else ()
        self._layer_sums = weights.sum(axis=-1, dtype=np.float64).sum(axis=windows)

    def solve(
        self,
        weights: Any,
        num_slots: int,
        num_gpus: int,
        num_nodes: int = 1,
        num_groups: int = 1,
        *,
        strategy: str | None = None,
        policy: str = "auto",
        effort: str = "normal",
        seed: int = 0,
        max_replicas: int | None = None,
        bound: str = "simple",
    ) -> Plan:
        """Computes a placement.

        Args:
            weights: [L,E], the tokens routed to each expert, or [T,L,E], windows that are summed. torch, numpy, any
                DLPack array or nested lists; float32, float64, int32, int64, and what these can hold: float16,
                bfloat16, smaller and unsigned integers, but no bool. None takes what was uploaded last.
            num_slots: slots of a layer over all GPUs: at least E, a multiple of num_gpus.
            num_gpus: GPUs that the slots are on.
            num_nodes: nodes that the GPUs are on.
            num_groups: equal groups of consecutive experts.
            strategy: one of eplb.strategies(); None takes the library's default.
            policy: "auto" (hierarchical if num_groups is a multiple of num_nodes), "hierarchical" or "global".
            effort: "fast", "normal" or "max", for the strategies that know it. A number of rounds, never a time.
            seed: 0 to 2^64 - 1. The same seed gives the same answer.
            max_replicas: at most so many replicas of any expert.
            bound: which bound the report uses: "simple", or "threshold" (slower, closer).

        Returns:
            The placement with its maps and report, as numpy arrays on the host.

        Raises:
            InvalidArgument: sizes that do not fit each other, with the nearest legal value; unknown names; wrong types.
            InvalidWeight: naming layer and expert.
            InvalidState: no weights yet, or the context is closed or in use by another thread.
            Unavailable: this version does not have the strategy, effort or bound kind.
        """
        array = None if weights is None else weights_to_host(weights)[0]
        problem = {
            "num_slots": num_slots,
            "num_gpus": num_gpus,
            "num_nodes": num_nodes,
            "num_groups": num_groups,
            "policy": policy,
            "bound": bound,
        }
        with self._use() as session:
            session.set_problem(**problem)
            session.set_options(strategy, effort, seed, max_replicas)
            if array is not None:
                self._upload(session, array)
            session.solve()
            self._last_problem = problem
            return self._fetch_plan(session)

    def _fetch_plan(self, session: Session) -> Plan:
        gpu_load = session.floats("gpu_load")
        report = make_report(
            session.report(),
            session.floats("imbalance"),
            session.floats("bound"),
            session.ints("duplicates"),
            gpu_load.mean(axis=1),
        )
        placement, count = session.ints("physical_to_logical"), session.ints("replica_count")
        return Plan(
            physical_to_logical=placement,
            replica_count=count,
            replica_slots=session.ints("replica_slots"),
            gpu_load=gpu_load,
            report=report,
            max_replicas=session.options.max_replicas or placement.shape[1] - count.shape[1] + 1,
        )

    def evaluate(
        self,
        physical_to_logical: Any,
        weights: Any = None,
        *,
        num_gpus: int | None = None,
        num_nodes: int | None = None,
        num_groups: int | None = None,
        policy: str | None = None,
        bound: str | None = None,
    ) -> Report:
        """Tells whether a placement, anyone's, is one, and how good it is.

        Two replicas of an expert on one GPU are valid and counted.

        Args:
            physical_to_logical: integers [L,S], the expert in each slot.
            weights: as for solve; None takes those that were uploaded last.
            num_gpus, num_nodes, num_groups, policy, bound: as for solve; None takes those of the last solve, and
                its defaults before any.

        Raises:
            InvalidPlacement: naming the rule and the layer, slot or expert: an id that is none, an expert without a
                replica, under a hierarchical policy a replica that is not on the node of its group.
            InvalidArgument: sizes that do not fit each other; num_gpus missing before any solve.
            InvalidState: no weights yet.
            InvalidWeight: naming layer and expert.
        """
        placement = placement_to_host(physical_to_logical)
        array = None if weights is None else weights_to_host(weights)[0]
        given = {
            "num_gpus": num_gpus,
            "num_nodes": num_nodes,
            "num_groups": num_groups,
            "policy": policy,
            "bound": bound,
        }
        defaults = {"num_nodes": 1, "num_groups": 1, "policy": "auto", "bound": "simple"}
        with self._use() as session:
            problem = {**defaults, **self._last_problem}
            problem.update({name: value for name, value in given.items() if value is not None})
            if "num_gpus" not in problem:
                raise invalid_argument("num_gpus is missing: nothing was solved yet that it could be taken from")
            session.set_problem(**{**problem, "num_slots": placement.shape[1]})
            if array is not None:
                self._upload(session, array)
            c_report, imbalance, bounds, duplicates = session.evaluate(placement)
            assert self._layer_sums is not None, "C refuses to evaluate before an upload"
            mean_load = self._layer_sums / session.problem.num_gpus
            return make_report(c_report, imbalance, bounds, duplicates, mean_load)

    def synchronize(self) -> None:
        """Waits until everything asked of the context is done, and raises what only the device could tell, once."""
        with self._use() as session:
            session.synchronize()
