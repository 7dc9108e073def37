"""A context: weights in, placements and reports out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np

from ._arrays import (
    Array,
    Floats,
    check_dimensions,
    dtype_name,
    placement_to_host,
    weights_to_host,
    wider_dtype,
)
from ._device_arrays import DeviceWeights, Maker, cuda_index, device_weights
from ._device_session import DeviceSession
from ._errors import Error, InvalidArgument, InvalidWeight
from ._library import DEVICE_KINDS, DTYPES, invalid_argument, invalid_state
from ._plan import DevicePlan, Plan
from ._report import Report, make_report
from ._session import Session, integer
from ._uncopyable import Uncopyable

# What DevicePlan has at once.
_DEVICE_MAPS = ("physical_to_logical", "logical_to_physical", "replica_count")


def _problem(num_slots: Any, num_gpus: Any, num_nodes: Any, num_groups: Any, policy: Any, bound: Any) -> dict[str, Any]:
    return {
        "num_slots": num_slots,
        "num_gpus": num_gpus,
        "num_nodes": num_nodes,
        "num_groups": num_groups,
        "policy": policy,
        "bound": bound,
    }


class Context(Uncopyable):
    """Owns the uploaded weights, the solved placement and the memory of the search; keep it for repeated solves.

    It may move between threads but is used by one at a time: a call that comes while another runs raises InvalidState.
    Different contexts are independent. It is useless after fork. The GIL is free while the library works. It cannot be
    copied or pickled, which raises TypeError; plans can.

    On a CUDA device it takes host and device arrays. With device arrays (torch, CuPy, and what goes through one of
    these by DLPack) nothing waits: weights are read, solved and fetched in the order of the stream that is current for
    their library, and the maps are arrays of that library on the device. Calls on several streams are for the caller
    to order. Only the first call gets memory, which may wait, and so does a later one that needs more: see reserve.
    All can be captured in a graph and replayed with new weights in the same array, as long as the context is kept;
    examples/torch_cuda_graph.py shows it. What bad weights there get: their layer is placed as a layer of zeros, and
    synchronize, or the report of the plan, raises InvalidWeight, once.

    Args:
        device: "cpu", "cuda" (which is "cuda:0") or "cuda:1". CUDA is never used unasked.
        num_threads: CPU threads of a solve, the caller's included. Any number gives the same answer.

    Raises:
        InvalidArgument: device or num_threads cannot be.
        Unavailable: no such backend in this build, no driver, or no such device; the text says which.
    """

    instead = (
        "make another with Context(device, num_threads), in another process too, and solve there; plans on the host can be "
        "copied and pickled"
    )

    def __init__(self, device: Any = "cpu", num_threads: int = 1) -> None:
        session = Session(device, num_threads)
        self._session: Session | None = session
        self._cuda_index = session.device[1] if session.device[0] == DEVICE_KINDS["cuda"] else None
        self._device = DeviceSession(session)
        # How often what the library holds has changed: a plan of a device is fetched while this stays.
        self._changes = 0
        self._late_error: Error | None = None
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
            raise invalid_state("the context is in use by another thread: a context serves one call at a time")
        try:
            if self._session is None:
                raise invalid_state("the context is closed")
            yield self._session
        finally:
            self._lock.release()

    def upload(self, weights: Any) -> None:
        """Copies weights into the context, for any number of solves and evaluations that are given None.

        A plan that was solved before stays valid; after an error the context is as it was.

        Args:
            weights: as for solve.

        Raises:
            InvalidArgument: a type or number of dimensions that cannot be; on another device than the context's.
            InvalidWeight: naming layer and expert.
        """
        given = self._read(weights)
        with self._use() as session:
            self._changes += 1
            if isinstance(given, DeviceWeights):
                self._device.keep(given)
                self._layer_sums = None
            else:
                self._upload(session, given)

    def reserve(
        self,
        shape: Any,
        num_slots: int,
        num_gpus: int,
        num_nodes: int = 1,
        num_groups: int = 1,
        *,
        dtype: Any = "float32",
        strategy: str | None = None,
        policy: str = "auto",
        effort: str = "normal",
        max_replicas: int | None = None,
        bound: str = "simple",
    ) -> None:
        """Gets all memory for solves of a kind, so that not even the first one waits. Before a graph is captured, say.

        What was uploaded and solved is discarded, save what upload copied on a device. On the CPU this is a hint.

        Args:
            shape: of the weights: [L,E] or [T,L,E].
            dtype: of the weights, by name, or torch's or numpy's own.
            num_slots, num_gpus, num_nodes, num_groups, strategy, policy, effort, max_replicas, bound: as for solve.

        Raises:
            InvalidArgument, Unavailable: as solve.
            InvalidState: the context has been captured in a graph, which holds its buffers.
            OutOfMemory: there is not so much memory.
        """
        sizes = [integer("shape", size) for size in shape]
        check_dimensions(len(sizes))
        code = DTYPES[wider_dtype(dtype_name(dtype))]
        with self._use() as session:
            session.set_problem(**_problem(num_slots, num_gpus, num_nodes, num_groups, policy, bound))
            session.set_options(strategy, effort, 0, max_replicas)
            self._changes += 1
            self._device.reserve(code, sizes if len(sizes) == 3 else (1, *sizes))

    def _read(self, weights: Any) -> Array | DeviceWeights:
        index = cuda_index(weights)
        if index is None:
            return weights_to_host(weights)[0]
        if self._cuda_index is None:
            raise invalid_argument(
                f"weights is on cuda:{index}, but the context is on the CPU: make it with "
                f"Context(device='cuda:{index}'), or give weights on the host (torch: weights.cpu())"
            )
        if self._cuda_index != index:
            raise invalid_argument(
                f"weights is on cuda:{index}, but the context is on cuda:{self._cuda_index}: make it with "
                f"Context(device='cuda:{index}'), or move the weights"
            )
        found = device_weights(weights, index)
        if found is None:
            raise invalid_argument(
                f"weights is a {type(weights).__name__} on cuda:{index}, whose maps need torch or CuPy, and neither is "
                "loaded: import one of them, or give weights on the host"
            )
        return found

    def _upload(self, session: Session, weights: Array) -> None:
        session.upload(weights)
        self._device.forget_weights()
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
                bfloat16, smaller and unsigned integers, but no bool. None takes what was uploaded last. What is on a
                CUDA device needs a context on the same.
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
            The placement with its maps and report, as numpy arrays on the host; a DevicePlan for weights on a device.

        Raises:
            InvalidArgument: sizes that do not fit each other, with the nearest legal value; unknown names; wrong types.
            InvalidWeight: naming layer and expert.
            InvalidState: no weights yet, or the context is closed or in use by another thread.
            Unavailable: this version does not have the strategy, effort or bound kind.
        """
        given = None if weights is None else self._read(weights)
        problem = _problem(num_slots, num_gpus, num_nodes, num_groups, policy, bound)
        with self._use() as session:
            session.set_problem(**problem)
            session.set_options(strategy, effort, seed, max_replicas)
            self._changes += 1
            if isinstance(given, DeviceWeights) or (given is None and self._device.maker is not None):
                maker = self._device.solve(given)
                self._last_problem = problem
                return self._fetch_device_plan(session, maker)
            if given is not None:
                self._upload(session, given)
            session.solve()
            self._last_problem = problem
            return self._fetch_plan(session)

    def _fetch_device_plan(self, session: Session, maker: Maker) -> DevicePlan:
        self._layer_sums = None
        maps = {name: self._device.fetch(name, maker) for name in _DEVICE_MAPS}
        width = maps["logical_to_physical"].shape[-1]
        return DevicePlan(maps, width, partial(self._fetch_later, self._changes, maker), self._device.captured)

    def _fetch_later(self, changes: int, maker: Maker, name: str) -> Any:
        with self._use() as session:
            if changes != self._changes:
                raise invalid_state(
                    f"{name} of a placement on a device is there until the context takes other weights or solves "
                    "again: read it before that"
                )
            return self._device.fetch(name, maker) if name != "report" else self._fetch_report(session)

    def _fetch_report(self, session: Session) -> Report:
        self._raise_late_error()
        return self._make_report(session, session.floats("gpu_load"))

    def _fetch_plan(self, session: Session) -> Plan:
        gpu_load = session.floats("gpu_load")
        try:
            report = self._make_report(session, gpu_load)
        except (InvalidWeight, InvalidArgument) as error:
            if self._cuda_index is None:
                raise
            # Of an earlier call with a device's weights, which the library tells once: it is for who asks about those.
            self._late_error = error
            report = self._make_report(session, gpu_load)
        placement, count = session.ints("physical_to_logical"), session.ints("replica_count")
        return Plan(
            physical_to_logical=placement,
            replica_count=count,
            replica_slots=session.ints("replica_slots"),
            gpu_load=gpu_load,
            report=report,
            max_replicas=session.options.max_replicas or placement.shape[1] - count.shape[1] + 1,
        )

    def _make_report(self, session: Session, gpu_load: Floats) -> Report:
        return make_report(
            session.report(),
            session.floats("imbalance"),
            session.floats("bound"),
            session.ints("duplicates"),
            gpu_load.mean(axis=1),
        )

    def _raise_late_error(self) -> None:
        error, self._late_error = self._late_error, None
        if error is not None:
            raise error

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

        Two replicas of an expert on one GPU are valid and counted. Arrays on a device are brought to the host by their
        own library, which waits.

        Args:
            physical_to_logical: integers [L,S], the expert in each slot.
            weights: as for solve; None takes those that were uploaded last.
            num_gpus, num_nodes, num_groups, policy, bound: as for solve; None takes those of the last solve, and
                its defaults before any.

        Raises:
            InvalidPlacement: naming the rule and the layer, slot or expert: an id that is none, an expert without a
                replica, under a hierarchical policy a replica that is not on the node of its group.
            InvalidArgument: sizes that do not fit each other; num_gpus missing before any solve.
            InvalidState: no weights yet; weights on a device, and nothing was solved yet.
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
                self._changes += 1
                self._upload(session, array)
            c_report, imbalance, bounds, duplicates = session.evaluate(placement)
            mean_load = self._sums_of_layers(session) / session.problem.num_gpus
            return make_report(c_report, imbalance, bounds, duplicates, mean_load)

    def _sums_of_layers(self, session: Session) -> Floats:
        if self._layer_sums is not None:
            return self._layer_sums
        # Only the device has the weights; a graph may have changed them since the last call.
        return np.asarray(session.floats("gpu_load").sum(axis=1))

    def synchronize(self) -> None:
        """Waits until everything asked of the context is done, and raises what only the device could tell, once."""
        with self._use() as session:
            self._raise_late_error()
            session.synchronize()
