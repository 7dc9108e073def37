"""A context: weights in, placements and reports out."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from ._arrays import (
    Array,
    check_dimensions,
    current_to_host,
    dtype_name,
    placement_to_host,
    wider_dtype,
)
from ._by_name import sizes_by_name
from ._cluster import Cluster, sizes_with
from ._device_arrays import DeviceWeights, read_weights
from ._device_solution import DeviceSolution
from ._last_problem import LastProblem
from ._library import DTYPES, integer
from ._move_limits import limits_of_solve, move_limits
from ._open_context import OpenContext, windows_of
from ._plan import Plan
from ._solution import Solution
from ._tables import Tables, read_prices, read_window_weights


class Context(OpenContext):
    """Owns the uploaded weights, the solved placement and the memory of the search; keep it for repeated solves.

    It may move between threads but is used by one at a time: a call during another call raises InvalidState, except
    interrupt, which ends that. After a call that failed or was interrupted, by Ctrl-C too, its weights and all plans
    are as they were. Different contexts are independent. It is useless in a child after fork, where it can be closed.
    The GIL is free while the library works. It cannot be copied or pickled, which raises TypeError; plans can.

    On a CUDA device it takes host and device arrays. With device arrays (torch, CuPy, and what goes through one of
    these by DLPack) nothing waits: weights are read, solved and fetched in the order of the stream that is current for
    their library, and the maps are arrays of that library on the device. Callers order calls on several streams.
    Only the first call allocates, which may wait, and so does a later one that needs more memory: see reserve.
    All can be captured in a graph and replayed with new weights in the same array, as long as the context is kept;
    examples/torch_cuda_graph.py shows it. A layer with a bad weight is placed as a layer of zeros there, and
    synchronize, or the report of the plan, raises InvalidWeight, once.

    Args:
        device: "cpu", "cuda" (which is "cuda:0") or "cuda:1". CUDA is used only on request.
        num_threads: CPU threads of a solve, the caller's included. Any number gives the same answer.

    Raises:
        InvalidArgument: a device or num_threads that is not allowed.
        Unavailable: no such backend in this build, no driver, or no such device; the text says which.
    """

    instead = (
        "make another with Context(device, num_threads), in another process too, and solve there; plans on the host "
        "can be copied and pickled"
    )

    def __enter__(self) -> Context:
        return self

    @sizes_by_name
    def reserve(
        self,
        shape: Any,
        num_slots: int,
        num_gpus: int | None = None,
        *,
        num_nodes: int | None = None,
        num_groups: int | None = None,
        dtype: Any = "float32",
        strategy: str | None = None,
        policy: str = "auto",
        objective: str = "sum",
        off_home_target: float = 1.01,
        effort: str = "normal",
        max_replicas: int | None = None,
        bound: str = "simple",
        cluster: Cluster | None = None,
        prices: Any = None,
        window_weights: Any = None,
    ) -> None:
        """Allocates all memory for a kind of solve, so that even the first one does not wait; for graph capture, say.

        What was uploaded and solved is discarded, except what upload copied on a device. On the CPU this is a hint.

        Args:
            shape: of the weights: [L,E] or [T,L,E].
            dtype: of the weights, as a name or as a type of torch or numpy.
            num_slots, num_gpus, num_nodes, num_groups, strategy, policy, objective, off_home_target, effort,
                max_replicas, bound, cluster, prices, window_weights: as for solve.

        Raises:
            InvalidArgument, Unavailable: as solve.
            InvalidState: the context has been captured in a graph, which holds its buffers.
            OutOfMemory: there is not enough memory.
        """
        sizes = [integer("shape", size) for size in shape]
        check_dimensions(len(sizes))
        code = DTYPES[wider_dtype(dtype_name(dtype))]
        gpus, nodes = sizes_with(cluster, num_gpus, num_nodes)
        windows = sizes[0] if len(sizes) == 3 else 1
        tables = Tables(cluster, read_prices(prices), read_window_weights(window_weights, windows))
        with self._shared as session:
            session.set_problem(
                num_slots, gpus, nodes, num_groups, policy, bound, objective, off_home_target, max_replicas
            )
            session.set_options(strategy, effort, 0)
            self._shared.change()
            self._device.set_tables(tables)
            self._device.reserve(code, sizes if len(sizes) == 3 else (1, *sizes))

    @sizes_by_name
    def solve(
        self,
        weights: Any,
        num_slots: int,
        num_gpus: int | None = None,
        *,
        num_nodes: int | None = None,
        num_groups: int | None = None,
        strategy: str | None = None,
        policy: str = "auto",
        objective: str = "sum",
        off_home_target: float = 1.01,
        effort: str = "normal",
        seed: int = 0,
        max_replicas: int | None = None,
        bound: str = "simple",
        current: Any = None,
        transfer_order: str = "buffered",
        cluster: Cluster | None = None,
        prices: Any = None,
        window_weights: Any = None,
        allow_empty: bool = False,
        target: float | None = None,
    ) -> Plan:
        """Computes a placement.

        Args:
            weights: [L,E], the tokens routed to each expert, or [T,L,E], the same in several windows. torch, numpy, any
                DLPack array or nested lists; float32, float64, int32, int64, and what these can hold: float16,
                bfloat16, smaller and unsigned integers, but no bool. None takes what was uploaded last. What is on a
                CUDA device needs a context on the same.
            num_slots: slots of a layer over all GPUs: at least E, a multiple of num_gpus.
            num_gpus: GPUs that the slots are on; those of the cluster, if there is one.
            num_nodes: nodes that the GPUs are on: None is 1, or those of the cluster.
            num_groups: equal groups of consecutive experts; None and 0 are 1, for models without groups.
            strategy: one of eplb.strategies(); None takes the library's default, "best". That keeps replicas of an
                expert on different GPUs where that can be done, even if it would balance better not to: in layers of a
                few slots by up to a sixth.
            policy: "hierarchical" keeps every group on one node, "global" knows no groups, "soft" keeps groups at home
                on a node as far as the balance allows (the strategies best and rebalance only, any sizes), "auto" is
                hierarchical if num_groups is a multiple of num_nodes, else global.
            objective: what is balanced where there are several windows: "sum", that of all, or "windows", each of them,
                of up to 64 from the host; the strategies best and rebalance only. "split" is for placements whose
                experts' tokens are split over their replicas as they come: of their sum, as little load as possible is
                on a GPU that cannot give it to another; the strategies best and rebalance only, with other policies
                than soft.
            off_home_target: the imbalance up to which replicas leave home under the soft policy, at least 1; in each
                window if these are balanced. Otherwise it only says what off_home_bound is for.
            effort: "fast", "normal" or "max", for the strategies that know it. A number of rounds, never a time.
            seed: 0 to 2^64 - 1. The same seed gives the same answer.
            max_replicas: the most replicas of any expert; None for no limit.
            bound: which bound the report uses: "simple", or "threshold" (slower, closer).
            current: integers [L,S], the expert that each slot holds now, -1 where it is empty or cannot be read; the
                plan then has moves. It does not change the placement. None: not known.
            transfer_order: how moves are carried out: "buffered" (into a buffer for a layer), "in_place" (into the
                slots), or "exclusive" (buffered, and a GPU either sends or receives in a round).
            cluster: GPUs that are not all equal: closed slots, which are -1 in all maps, speeds and nodes.
            prices: numbers [N,E] or [N,num_groups], at least 0: what it costs that a node serves load of an expert or
                a group, instead of 0 at home and 1 elsewhere; only ratios matter. Only the soft policy knows them:
                off_home is then what is paid, in parts of what all load would cost at the highest price, and
                off_home_bound what is paid where every expert is on its cheapest node.
            window_weights: how much each window matters to the objective "windows": [T], at least 0, of which only
                ratios count; or a decay from 0 to 1, by which a window matters less than the next one. None: all as
                much. Figures of windows do not depend on it.
            allow_empty: slots may stay empty, -1, where no replica helps. For the soft policy, and for the strategy
                rebalance as there.
            target: for the objective "split": the imbalance that an even split may have, at least 1; more where nothing
                better was found. None: 1.01.

        Returns:
            The placement with its maps and report, as numpy arrays on the host; a DevicePlan for weights on a device.

        Raises:
            InvalidArgument: sizes that do not fit each other, with the nearest legal value; unknown names; wrong types.
            InvalidWeight: naming layer and expert.
            InvalidPlacement: an id in current that is no expert, naming layer and slot.
            InvalidState: no weights yet, or the context is closed or in use by another thread.
            Unavailable: this version does not have the strategy, effort, bound kind, policy, objective or transfer
                order; the strategy has no such policy or objective.
        """
        limits = limits_of_solve(target, objective, allow_empty, policy, strategy)
        given = None if weights is None else read_weights(weights, self._cuda_index)
        now = None if current is None else placement_to_host(current, "current")
        sizes = sizes_with(cluster, num_gpus, num_nodes)
        problem = num_slots, *sizes, num_groups, policy, bound, objective, off_home_target, max_replicas
        tables = self._tables(given, cluster, prices, window_weights)
        return self._solve(given, now, tables, problem, strategy, effort, seed, transfer_order, limits)

    @sizes_by_name
    def rebalance(
        self,
        weights: Any,
        current: Any,
        num_gpus: int | None = None,
        *,
        num_nodes: int | None = None,
        num_groups: int | None = None,
        cluster: Cluster | None = None,
        prices: Any = None,
        window_weights: Any = None,
        policy: str = "auto",
        objective: str = "sum",
        off_home_target: float = 1.01,
        effort: str = "normal",
        seed: int = 0,
        max_replicas: int | None = None,
        max_moves: int | None = None,
        max_moves_total: int | None = None,
        max_arrivals: int | None = None,
        target: float | None = None,
        move_price: float = 0.0,
        allow_empty: bool = False,
        bound: str = "simple",
        transfer_order: str = "buffered",
    ) -> Plan:
        """Changes a placement by few moves: a move is a GPU and an expert that it gets.

        Without limits, layers whose imbalance is above 1.02 are brought to that with as few moves as possible, and the
        others stay as they are. Each limit is kept exactly, and all can be combined. Moves of experts that can stay on
        no GPU, because theirs are dead or lose slots, are forced: they come first and count like all others.

        Args:
            weights: as for solve.
            current: where experts are now: a plan, or integers [L,S], the expert in each slot, -1 where it is empty or
                cannot be read; or [S], the same in every layer. The new plan has the same slots.
            num_gpus: GPUs that the slots are on: None takes those of the cluster, or else of a plan.
            cluster: GPUs as they are from now on. A dead one has no slots there, and -1 in current; one that is to be
                emptied has no slots, and its experts in current; a new one has slots, and -1 in current.
            num_nodes, num_groups, prices, window_weights, policy, objective, off_home_target, effort, seed,
                max_replicas, bound, transfer_order: as for solve.
            max_moves: the most moves of a layer; None for any number.
            max_moves_total: the most moves of all layers together, which get their shares by what they gain. Not with
                weights on a device.
            max_arrivals: the most experts that a GPU gets in a layer; None for any number.
            target: the imbalance at which a layer is good enough: it is reached with as few moves as possible. 0: none,
                so layers get as good as the limits allow. None: 1.02, or none if max_moves, max_moves_total or
                move_price is given.
            move_price: the imbalance that a move must gain. A layer makes as many moves as pay.
            allow_empty: a replica may be dropped and its slot become -1, which relieves a GPU without a move.

        Returns:
            The plan, whose report has the moves, those that were forced, and the layers above the target; plan.moves
            says how to get there. Layers that need no change keep every slot: plan.changed.

        Raises:
            InvalidArgument: as solve; a limit below the moves that are forced, with both numbers.
            InvalidPlacement: an id in current that is no expert, naming layer and slot.
            InvalidWeight, InvalidState, Unavailable: as solve.
        """
        limits = move_limits(max_moves, max_moves_total, max_arrivals, target, move_price, allow_empty)
        given = None if weights is None else read_weights(weights, self._cuda_index)
        known = self._weights if given is None else given
        now = current_to_host(current, 1 if known is None else known.shape[-2])
        if num_gpus is None and cluster is None and isinstance(current, Plan):
            num_gpus = current.num_gpus
        sizes = sizes_with(cluster, num_gpus, num_nodes)
        problem = now.shape[1], *sizes, num_groups, policy, bound, objective, off_home_target, max_replicas
        tables = self._tables(given, cluster, prices, window_weights)
        return self._solve(given, now, tables, problem, "rebalance", effort, seed, transfer_order, limits)

    def _solve(
        self,
        given: Array | DeviceWeights | None,
        current: Array | None,
        tables: Tables,
        problem: tuple[Any, ...],
        *options: Any,
    ) -> Plan:
        shared = self._shared
        with shared as session:
            session.set_problem(*problem)
            session.set_options(*options)
            shared.change()
            self._device.set_tables(tables)
            session.set_current(current)
            last = LastProblem(problem, tables.cluster, tables.prices)
            if isinstance(given, DeviceWeights) or (given is None and self._device.maker is not None):
                self._held = None
                maker = self._device.solve(given)
                self._last_problem, self._weights = last, None
                self._num_windows = self._num_windows if given is None else windows_of(given)
                return DeviceSolution(shared, self._device, maker, self._num_windows).plan()
            weights = self._recall(session) if given is None else self._upload(session, given)
            start = perf_counter()
            session.solve()
            microseconds = (perf_counter() - start) * 1e6
            plan = Plan(Solution(session, shared, weights, microseconds))
            self._last_problem = last
            if given is not None:
                self._keep(weights)
            return plan
