"""A context without its solves: weights in, and what it says of any placement."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from ._arrays import Array, current_to_host, placement_to_host, weights_to_host
from ._by_name import sizes_by_name
from ._cluster import Cluster, sizes_with
from ._device_arrays import DeviceWeights, cuda_index, device_weights, read_weights
from ._device_session import DeviceSession
from ._device_split import DeviceSplit, read_source, split_on_device
from ._errors import Error
from ._evaluation import Evaluation, evaluate, with_change
from ._last_problem import LastProblem
from ._library import DEVICE_KINDS, invalid_state
from ._moves import Moves, plan_moves
from ._session import Session
from ._session_lock import SharedSession
from ._split import Split, gpus_to_split_on, read_tolerance, set_split_problem, split
from ._static_dispatch import Asked, StaticDispatch, static_dispatch_of
from ._tables import NO_TABLES, Tables, read_prices, read_window_weights
from ._uncopyable import Uncopyable
from ._windows import KeptWeights


class OpenContext(Uncopyable):
    """The session of a context with its weights, and evaluations."""

    def __init__(self, device: Any = "cpu", num_threads: int = 1) -> None:
        session = Session(device, num_threads)
        self._shared = SharedSession(session)
        self._cuda_index = session.device[1] if session.device[0] == DEVICE_KINDS["cuda"] else None
        self._device = DeviceSession(session)
        self._last_problem = LastProblem()
        # A copy of what was uploaded last, for plans and evaluations; None if only a device has it.
        self._weights: KeptWeights | None = None
        self._num_windows = 1  # of what was uploaded last
        # What the library has of these copies: another one after a call that failed; None if nobody knows.
        self._held: KeptWeights | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Otherwise the plan of the last solve would keep the library's memory alive. After a failed init there is none.
        shared = self.__dict__.get("_shared")
        if shared is not None and not sys.is_finalizing():
            shared.let_go()

    def close(self) -> None:
        """Frees everything. Plans stay valid. Closing twice is fine.

        Raises:
            InvalidState: another thread is inside a call.
        """
        self._shared.close()

    def interrupt(self) -> None:
        """Makes the call that is running in this context raise Interrupted, and returns once it has left the library.

        Any thread may call this, and a handler of signals. It takes milliseconds; on a CUDA context the kernel that is
        running ends first. Context and plans are as they were before that call, and all can be used again. It does not
        matter if the call is over by then, and without one, or after close, this does nothing: the next call is not
        affected. A plan that is being read from the context counts as a call; it can be read again.

        Ctrl-C needs none of this where the call is on the main thread: KeyboardInterrupt ends it.
        """
        self._shared.interrupt()

    def upload(self, weights: Any) -> None:
        """Copies weights into the context, for any number of solves and evaluations that are given None.

        A plan that was solved before stays valid; after an error the context is as it was.

        Args:
            weights: as for solve.

        Raises:
            InvalidArgument: a type or number of dimensions that cannot be; on another device than the context's.
            InvalidWeight: naming layer and expert.
        """
        given = read_weights(weights, self._cuda_index)
        with self._shared as session:
            self._shared.change()
            if isinstance(given, DeviceWeights):
                self._held = None
                self._device.keep(given)
                self._weights, self._num_windows = None, windows_of(given)
            else:
                self._keep(self._upload(session, given))

    def _upload(self, session: Session, weights: Array) -> KeptWeights:
        """For the call that is running; they stay for others once that has succeeded, which _keep says."""
        kept = KeptWeights(weights)
        self._give(session, kept, kept.windows if kept.num_windows else weights)
        return kept

    def _give(self, session: Session, kept: KeptWeights, weights: Array) -> None:
        # Unless the call fails; a handler of signals may raise after it.
        device = self._device
        before, self._held, device.uploaded = (self._held, device.uploaded), None, False
        try:
            session.upload(weights)
        except Error:
            self._held, device.uploaded = before
            raise
        self._held = kept

    def _keep(self, weights: KeptWeights) -> None:
        self._weights, self._num_windows = weights, weights.num_given
        self._device.forget_weights()

    def _recall(self, session: Session) -> KeptWeights:
        """The weights of the host that were uploaded last, which the library then has, whatever has failed since."""
        weights = self._weights
        if weights is None:
            raise invalid_state("there are no weights: give them, or call upload first")
        if self._held is not weights:
            self._give(session, weights, weights.to_upload())
        return weights

    def _bring(self, session: Session, array: Array | None, tables: Tables) -> KeptWeights | None:
        """Weights of a call, or those that were uploaded last, and the tables; None if a device has the weights."""
        on_device = array is None and self._device.maker is not None
        if array is not None or tables != session.tables or not (on_device or self._held is self._weights):
            self._shared.change()
        self._device.set_tables(tables)
        if on_device:
            return None
        return self._recall(session) if array is None else self._upload(session, array)

    def _tables(
        self, given: Array | DeviceWeights | None, cluster: Cluster | None, prices: Any, window_weights: Any
    ) -> Tables:
        if cluster is None and prices is None and window_weights is None:
            return NO_TABLES
        windows = self._num_windows if given is None else windows_of(given)
        return Tables(cluster, read_prices(prices), read_window_weights(window_weights, windows))

    @sizes_by_name
    def evaluate(
        self,
        physical_to_logical: Any,
        weights: Any = None,
        *,
        num_gpus: int | None = None,
        num_nodes: int | None = None,
        num_groups: int | None = None,
        policy: str | None = None,
        off_home_target: float | None = None,
        max_replicas: int | None = None,
        bound: str | None = None,
        cluster: Cluster | None = None,
        prices: Any = None,
        current: Any = None,
    ) -> Evaluation:
        """Checks that a placement from any source is valid, and evaluates it.

        Two replicas of an expert on one GPU are valid and counted. Arrays on a device are brought to the host by their
        own library, which waits.

        Args:
            physical_to_logical: integers [L,S], the expert in each slot; -1 in those that are closed or empty.
            weights: as for solve; None takes those that were uploaded last.
            num_gpus, num_nodes, num_groups, policy, off_home_target, bound: as for solve; None takes those of the last
                solve, and its defaults before any.
            max_replicas: the most replicas that an expert may have; None for no limit. The bound is that of placements
                which keep it.
            cluster: as for solve; None takes that of the last solve unless num_gpus is another one.
            prices: as for solve; None takes those of the last solve unless num_nodes is another one.
            current: integers [L,S] or [S], the expert that each slot holds now, -1 where it is empty or cannot be read.
                The result then has moves, the slots that are written, and the other figures of a change.

        Raises:
            InvalidPlacement: naming the rule and the layer, slot or expert: an id that is none, an expert without a
                replica or with more than max_replicas, under a hierarchical policy a replica that is not on the node of
                its group.
            InvalidArgument: sizes that do not fit each other; num_gpus missing before any solve.
            InvalidState: no weights yet; weights on a device, and nothing was solved yet.
            InvalidWeight: naming layer and expert.
        """
        placement = placement_to_host(physical_to_logical)
        array = None if weights is None else weights_to_host(weights)[0]
        now = None if current is None else current_to_host(current, len(placement))
        given, sizes = read_prices(prices), (placement.shape[1], num_gpus, num_nodes, num_groups)
        with self._shared as session:
            problem, cluster, priced = self._last_problem.with_given(
                cluster, given, *sizes, policy, bound, "sum", off_home_target, max_replicas or 0
            )
            session.set_problem(*problem)
            weights = self._bring(session, array, Tables(cluster, priced, session.window_weights))
            evaluation = evaluate(session, placement, weights)
            if now is not None:
                evaluation = with_change(evaluation, now, placement, session)
            if weights is not None and array is not None:
                self._keep(weights)
            return evaluation

    def split(
        self,
        weights: Any,
        plan_or_placement: Any,
        num_gpus: int | None = None,
        *,
        cluster: Cluster | None = None,
        tolerance: float = 0.0,
    ) -> Split:
        """Splits the tokens of every expert over its replicas, so that the busiest GPU has as few as can be.

        Where replicas share evenly, a GPU is late if what it holds was loaded less when the placement was made. The
        placement stays; what changes is which part of an expert's tokens each replica gets, and these parts are exact:
        no others leave the busiest GPU less. What follows from the placement alone is worked out once: later calls with
        an equal placement and cluster, one for each of many weights, begin there.

        Any placement is allowed, and policies of groups do not matter. Plans, uploaded weights and solves are as after
        evaluate.

        On a CUDA context, weights on its device are split there, in the order of the stream that is current for their
        library, and the arrays of the result are on the device: a DeviceSplit. Nothing waits if the placement is on the
        device too, or is the one that was given last, except for the first call of its sizes, and one that needs more
        memory. So it can be captured in a graph, after the same call. Replays split over the placement that was given
        last, or over what is in the array if it was one on the device. Arrays elsewhere are brought to the host.

        Args:
            weights: as for solve; of several windows their sum counts. None takes those that were uploaded last.
            plan_or_placement: a plan, or integers [L,S], the expert in each slot, -1 in those that are closed or empty;
                or, on the host, [S], the same in every layer.
            num_gpus: GPUs that the slots are on; None takes those of the cluster, else of the plan, else of the last
                solve.
            cluster: closed slots and speeds of GPUs, as for solve. None takes that of the plan, or of integers that of
                the last solve, unless num_gpus is given and another one.
            tolerance: what a GPU may have above the bound, in parts of it: 0 to 1. 0.002 takes up to half of the time
                off where much has to move.

        Raises:
            InvalidPlacement: naming layer, slot or expert: an id that is none, an expert in a closed slot, or without a
                replica.
            InvalidArgument: sizes that do not fit each other; num_gpus missing before any solve; a tolerance that is
                not allowed.
            InvalidState: no weights yet.
            InvalidWeight: naming layer and expert.
        """
        tolerated, asked = read_tolerance(tolerance), (plan_or_placement, num_gpus, cluster)
        on_device = self._weights_on_device(weights)
        if on_device is not None or (weights is None and self._device.maker is not None):
            return self._split_there(on_device, asked, tolerated)
        array, placement = self._read(weights, plan_or_placement)
        with self._shared as session:
            on = gpus_to_split_on(*asked, self._last_problem)
            set_split_problem(session, placement, *on)
            kept = self._bring(session, array, Tables(on[1], session.prices, session.window_weights))
            found = split(session, placement, tolerated)
            if kept is not None and array is not None:
                self._keep(kept)
            return found

    def _weights_on_device(self, weights: Any) -> DeviceWeights | None:
        """None if they are not on that of the context, or nobody can read them there."""
        index = self._cuda_index
        return None if index is None or cuda_index(weights) != index else device_weights(weights, index)

    def _split_there(self, given: DeviceWeights | None, asked: tuple[Any, Any, Any], tolerance: float) -> DeviceSplit:
        device, windows = self._device, self._num_windows if given is None else windows_of(given)
        layers = device.session.num_layers if given is None else given.shape[1]
        over = read_source(asked[0], device.index, layers)
        with self._shared as session:
            on = gpus_to_split_on(*asked, self._last_problem)
            set_split_problem(session, over, *on)
            tables = Tables(on[1], session.prices, session.window_weights)
            if given is not None or tables != session.tables or not device.uploaded:
                self._shared.change()
            device.set_tables(tables)
            self._held = None
            found = split_on_device(self._shared, device, given, over, tolerance)
            if given is not None:
                self._weights, self._num_windows = None, windows
            return found

    @sizes_by_name
    def static_dispatch(
        self,
        weights: Any,
        plan_or_placement: Any,
        num_gpus: int | None = None,
        *,
        num_ranks: int | None = None,
        num_nodes: int | None = None,
        num_groups: int | None = None,
        policy: str | None = None,
        cluster: Cluster | None = None,
        max_swaps: int | None = 0,
        tolerance: float = 0.0,
    ) -> StaticDispatch:
        """Chooses for each source rank one slot of every expert, to which all of its tokens go, so that no GPU is late.

        For engines that dispatch by such a table, as SGLang does under "static". Parts of an expert are then whole
        ranks, and a placement that is perfect where replicas share evenly is not perfect there. Ranks are taken to have
        equally many tokens of every expert, of which weights are the sums. Of the ranks that may use a slot, those on
        its GPU come first, then those on its node.

        With max_swaps, slots may exchange their experts, which brings the busiest GPU closer to the mean: the result
        has another placement, which must be loaded. It has the same experts as often, and none on a GPU twice that was
        not before. Limits on moves do not matter.

        Plans, uploaded weights and solves are as after evaluate. What follows from the placement alone is worked out
        once, for splits too. On a CUDA context it works on the host: arrays on a device are brought there, which waits.

        Args:
            weights: as for solve; of several windows their sum counts. None takes those that were uploaded last.
            plan_or_placement: a plan, or integers [L,S], the expert in each slot, -1 in those that are closed or empty;
                or [S], the same in every layer.
            num_gpus: GPUs that the slots are on; None takes those of the cluster, else of the plan, else of the last
                solve.
            num_ranks: source ranks, up to 4096, and times experts up to 2^24. None: one on each GPU. Rank r is on GPU
                r * num_gpus // num_ranks.
            num_nodes: nodes that the GPUs are on. None takes those of the cluster, else of the plan, else of the last
                solve.
            num_groups, policy: as for solve; None takes those of the plan, else of the last solve. Under a hierarchical
                policy, swaps are of slots on one node, so that groups stay whole, and the placement must keep it.
                Otherwise, and without swaps, they do not matter.
            cluster: closed slots, speeds and nodes of GPUs, as for solve. None takes that of the plan, or of integers
                that of the last solve, unless num_gpus is given and another one.
            max_swaps: how many pairs of slots of a layer may exchange their experts; None for any number.
            tolerance: what a GPU may have above the bound, in parts of it: 0 to 1. Less is searched for.

        Raises:
            InvalidPlacement: naming layer, slot or expert: an id that is none, an expert in a closed slot, or without a
                replica; with swaps under a hierarchical policy, a replica that is not on the node of its group.
            InvalidArgument: sizes that do not fit each other; num_gpus missing before any solve; a number of ranks, a
                limit or a tolerance that is not allowed.
            InvalidState: no weights yet.
            InvalidWeight: naming layer and expert.
        """
        array, placement = self._read(weights, plan_or_placement)
        sizes = num_gpus, num_nodes, num_groups, policy
        asked = Asked(plan_or_placement, sizes, cluster, num_ranks, max_swaps, tolerance)
        with self._shared as session:
            on = asked.set_problem(session, placement, self._last_problem)
            kept = self._bring(session, array, Tables(on, session.prices, session.window_weights))
            if kept is None:
                session.forget_prepared()
            found = static_dispatch_of(session, placement, asked)
            if kept is not None and array is not None:
                self._keep(kept)
            return found

    def _read(self, weights: Any, plan_or_placement: Any) -> tuple[Array | None, Array]:
        """Weights, unless those that were uploaded last are meant, and a placement [L,S] for them."""
        array = None if weights is None else weights_to_host(weights)[0]
        known = self._weights if array is None else array
        layers = 1 if known is None else known.shape[-2]
        return array, current_to_host(plan_or_placement, layers, "plan_or_placement")

    @sizes_by_name
    def plan_transfers(
        self,
        current: Any,
        placement: Any,
        *,
        num_gpus: int | None = None,
        num_nodes: int | None = None,
        cluster: Cluster | None = None,
        transfer_order: str = "buffered",
    ) -> Moves:
        """Works out how one placement becomes another, for any two; needs no weights.

        The uploaded weights and plans stay as they are. Works on the host, on a CUDA context too.

        Args:
            current: integers [L,S], the expert that each slot holds now, -1 where it is empty or cannot be read.
            placement: integers [L,S], the expert that it is to hold, -1 for none. Experts may be missing in either.
            num_gpus, num_nodes, cluster: where the slots are, as for solve.
            transfer_order: as for solve.

        Raises:
            InvalidPlacement: naming array, layer and slot.
            InvalidArgument: sizes that do not fit each other, with the nearest legal value; unknown names; wrong types.
        """
        pair = placement_to_host(current, "current"), placement_to_host(placement, "placement")
        sizes = sizes_with(cluster, num_gpus, num_nodes)
        with self._shared as session:
            return plan_moves(*pair, *sizes, cluster, transfer_order, session.handle.stop)

    def synchronize(self) -> None:
        """Waits until all work of the context is done, and raises errors that only the device could find, once."""
        with self._shared as session:
            self._shared.raise_late_error()
            session.synchronize()


def windows_of(weights: Array | DeviceWeights) -> int:
    """[L,E] is one window."""
    shape = weights.shape
    return shape[0] if len(shape) == 3 else 1
