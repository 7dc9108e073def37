"""One eplb_context with the structs of its calls and what it was given, the basis of Context and rebalance_experts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _duration
from ._arrays import DTYPE_CODES, Array, Floats, Ints
from ._cluster import Cluster
from ._errors import Error
from ._handle import Handle
from ._library import DEVICE_KINDS, DTYPES, MAPS, ffi, integer, invalid_argument, invalid_state, lib
from ._request import Request, made
from ._tables import Prices, Tables

# Of a table while it is uploaded: should a handler of signals raise, nobody knows which one the library has.
_UNKNOWN: Any = object()
# Those need no figures, only the plan.
_MAPS_OF_PLACEMENT = ("physical_to_logical", "logical_to_physical", "replica_count", "replica_slots")
_MAPS_OF_SPLIT = ("share", "quota", "split_load", "split_imbalance", "split_bound", "split_tight")
# Those are there when the call returns.
_MAPS_OF_DISPATCH = tuple(name for name in MAPS if name.startswith("dispatch_"))
_DEVICE = re.compile(r"([a-z]+)(?::(\d{1,9}))?")
_INT32, _INT64, _FLOAT64 = DTYPES["int32"], DTYPES["int64"], DTYPES["float64"]
_INTS32, _INTS, _FLOATS = np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.float64)


def parse_device(device: Any) -> tuple[int, int]:
    """Kind and index of a device: "cpu", "cuda", "cuda:1" or a torch.device."""
    match = _DEVICE.fullmatch(str(device))
    if match is None or match[1] not in DEVICE_KINDS:
        raise invalid_argument(f"device is {str(device)!r}, must be one of {', '.join(DEVICE_KINDS)}, or like 'cuda:1'")
    return DEVICE_KINDS[match[1]], int(match[2] or 0)


class Prepared(NamedTuple):
    """What the library has prepared to split tokens over.

    Attributes:
        problem: bytes of the struct.
        shape: layers and experts.
        placement: a copy, or a plan on a device that does not change.
    """

    problem: bytes
    shape: tuple[int, ...]
    placement: Any

    def is_for(self, problem: bytes, shape: tuple[int, ...], placement: Any) -> bool:
        if (self.problem, self.shape) != (problem, shape):
            return False
        if isinstance(self.placement, np.ndarray) and isinstance(placement, np.ndarray):
            return np.array_equal(self.placement, placement)
        return self.placement is placement


class Session(Request):
    """Not for two threads at once; callers ensure that.

    Attributes:
        cluster, prices, window_weights: that the library has; None if it has none.
        current: a copy of the current placement [L,S] that the library has; None if it has none.
        splits: how often tokens have been split, or a placement prepared for it.
        known_terms: of its last plan, after what they were made of; None before any.
    """

    def __init__(self, device: Any = "cpu", num_threads: int = 1) -> None:
        super().__init__()
        self.cluster: Cluster | None = None
        self.prices: Prices | None = None
        self.window_weights: tuple[float, ...] | None = None
        self.current: Array | None = None
        # Of maps that are fetched only to be converted: other memory would have to come into the caches first.
        self._scratch: dict[str, tuple[Array, Any]] = {}
        self._rank = ffi.new("int32_t *")
        self._dims = ffi.new("int64_t[4]")
        self._report = made("report", self.error)
        self._split_options = made("split_options", self.error)
        self._dispatch_options = made("static_dispatch_options", self.error)
        self.splits = 0
        self.known_terms: tuple[Any, Any] | None = None
        self._prepared: Prepared | None = None
        # Sizes of the splits that a graph holds.
        self._captured: tuple[Any, ...] | None = None
        options = made("context_options", self.error)
        self.device = parse_device(device)
        options.device_kind, options.device_index = self.device
        options.num_threads = integer("num_threads", num_threads)
        self.handle = Handle(options, self.error)
        self._shape = (1, 0, 0)  # of the weights
        # Of the last solve: what it was of, and its seconds and those of figures.
        self._timed: tuple[Any, float, float] = (), 0.0, 0.0
        # For all that the library works out about the plan of a solve, or a split, once it is asked for.
        self._seconds_of_figures = 0.0
        self._seconds_of_split = 0.0

    @property
    def context(self) -> Any:
        """The eplb_context, for calls that return at once."""
        return self.handle.context

    def close(self) -> None:
        self.handle.close()

    def _replace(self, name: str, value: Any, function: Callable[..., int], *arguments: Any) -> None:
        """Uploads a table, which then is the attribute of that name."""
        before = getattr(self, name)
        setattr(self, name, _UNKNOWN)
        self.forget_prepared()
        try:
            self.handle.run(0, function, *arguments)
        except Error:
            setattr(self, name, before)
            raise
        setattr(self, name, value)

    def upload(self, weights: Array) -> None:
        """Takes weights as weights_to_host returns them."""
        shape = weights.shape if weights.ndim == 3 else (1, *weights.shape)
        code = DTYPE_CODES[weights.dtype]
        seconds = _duration.of_upload(weights.size)
        data = ffi.from_buffer(weights)
        self.handle.run(seconds, lib.eplb_upload_weights, data, weights.size, code, *shape)
        self.note_weights(shape)

    @property
    def num_layers(self) -> int:
        """Of the weights."""
        return self._shape[1]

    def note_weights(self, shape: tuple[int, int, int]) -> None:
        """The library has others now, of that shape."""
        self._shape = shape

    def set_cluster(self, cluster: Cluster | None) -> None:
        """Another one than before discards the plan."""
        if cluster == self.cluster:
            return
        # Kept until the call returns.
        slots, speeds, nodes = (
            ffi.new(kind, values) if values else ffi.NULL
            for kind, values in (
                ("int64_t[]", cluster and cluster.slots),
                ("double[]", cluster and cluster.speed),
                ("int64_t[]", cluster and cluster.node),
            )
        )
        num_gpus = 0 if cluster is None else cluster.num_gpus
        self._replace("cluster", cluster, lib.eplb_upload_cluster, slots, speeds, nodes, num_gpus)

    @property
    def tables(self) -> Tables:
        return Tables(self.cluster, self.prices, self.window_weights)

    def set_tables(self, tables: Tables) -> None:
        """Others than before discard the plan."""
        self.set_cluster(tables.cluster)
        self.set_prices(tables.prices)
        self._set_window_weights(tables.window_weights)

    def set_prices(self, prices: Prices | None) -> None:
        """Others than before discard the plan."""
        if prices == self.prices:
            return
        values = ffi.NULL if prices is None else ffi.from_buffer("double[]", prices.values)
        nodes, columns = (0, 0) if prices is None else prices[:2]
        self._replace("prices", prices, lib.eplb_upload_prices, values, nodes * columns, nodes, columns)

    def _set_window_weights(self, weights: tuple[float, ...] | None) -> None:
        if weights == self.window_weights:
            return
        values, count = (ffi.NULL, 0) if weights is None else (ffi.new("double[]", weights), len(weights))
        self._replace("window_weights", weights, lib.eplb_upload_window_weights, values, count)

    def num_open_gpus(self) -> int:
        """GPUs of the problem that have slots."""
        num_gpus: int = self.problem.num_gpus
        return num_gpus if self.cluster is None else self.cluster.num_open_gpus

    def set_current(self, placement: Array | None) -> None:
        """Takes the current placement as placement_to_host returns it; None forgets it. Discards the plan."""
        if placement is not None:
            data, sizes = ffi.from_buffer(placement), (placement.size, _INT64, *placement.shape)
            self._replace("current", placement.astype(np.int32), lib.eplb_upload_placement, data, *sizes)
        elif self.current is not None:
            self._replace("current", None, lib.eplb_upload_placement, ffi.NULL, 0, 0, 0, 0)

    def prepare(
        self,
        problem: tuple[Any, ...],
        options: tuple[Any, ...],
        tables: Tables,
        current: Array | None,
        weights: Array,
    ) -> None:
        """Gives the library all that a solve needs, arrays as weights_to_host and placement_to_host return them."""
        self.set_problem(*problem)
        self.set_options(*options)
        self.set_tables(tables)
        self.set_current(current)
        self.upload(weights)

    def solve(self) -> None:
        asked = self._shape, self.problem, self.options
        if asked != self._timed[0]:
            self._timed = asked, _duration.of_solve(*asked), _duration.of_figures(*asked[:2])
        _, seconds, self._seconds_of_figures = self._timed
        if self.current is not None:
            self._seconds_of_figures += _duration.of_transfers(self._shape[1], self.problem.num_slots)
        self.handle.run(seconds, lib.eplb_solve, self.problem, self.options)

    def shape(self, which: int) -> list[int]:
        """The shape of a map of the plan; before there is one, of what was reserved."""
        rank, dims = self._rank, self._dims
        self.handle.run(0, lib.eplb_map_shape, which, rank, dims, 4)
        shape: list[int] = ffi.unpack(dims, rank[0])
        return shape

    def _fetch(self, name: str, dtype: np.dtype[Any], code: int, shape: Sequence[int] | None) -> Array:
        which = MAPS[name]
        array: Array = np.empty(self.shape(which) if shape is None else shape, dtype)
        if name in _MAPS_OF_PLACEMENT:
            seconds = 0.0
        elif name in _MAPS_OF_SPLIT:
            seconds = self._seconds_of_split
        elif name in _MAPS_OF_DISPATCH:
            seconds = _duration.of_copy(array.size)
        else:
            seconds = self._seconds_of_figures
        self.handle.run(seconds, lib.eplb_fetch_map, which, code, ffi.from_buffer(array), array.size)
        return array

    def ints(self, name: str, shape: Sequence[int] | None = None) -> Ints:
        """Fetches an int map, whose shape is asked for unless it is given."""
        return self._fetch(name, _INTS, _INT64, shape)

    def floats(self, name: str, shape: Sequence[int] | None = None) -> Floats:
        """Fetches a float map in the same way."""
        return self._fetch(name, _FLOATS, _FLOAT64, shape)

    def ints32(self, name: str, shape: Sequence[int]) -> Array:
        """Fetches an int map in 32 bits."""
        return self._fetch(name, _INTS32, _INT32, shape)

    def compact(self, name: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
        """Fetches an int map of the placement in smaller integers."""
        # Out of its place while in use, for a handler of signals may read, too.
        kept, data = self._scratch.pop(name, (None, None))
        if kept is None or kept.shape != shape:
            kept = np.empty(shape, _INTS32)
            data = ffi.from_buffer(kept)
        self.handle.run(0.0, lib.eplb_fetch_map, MAPS[name], _INT32, data, kept.size)
        array = kept.astype(dtype)
        self._scratch[name] = kept, data
        return array

    def fingerprint(self) -> int:
        value = ffi.new("uint64_t *")
        self.handle.run(0, lib.eplb_fingerprint, value)
        number: int = value[0]
        return number

    def report(self) -> Any:
        """The C report of the solved plan; the next call overwrites it."""
        self.handle.run(self._seconds_of_figures, lib.eplb_fetch_report, self._report)
        return self._report

    def evaluate(self, placement: Array) -> tuple[Any, Floats, Floats, Ints]:
        """The C report of a placement [L,S] in int64; and imbalance, bound, duplicates of its layers."""
        layers = len(placement)
        report = made("report", self.error)
        imbalance, bound, duplicates = np.empty(layers), np.empty(layers), np.empty(layers, np.int64)
        self.handle.run(
            _duration.of_figures(self._shape, self.problem),
            lib.eplb_evaluate,
            self.problem,
            ffi.from_buffer(placement),
            placement.size,
            _INT64,
            report,
            ffi.from_buffer("double[]", imbalance),
            ffi.from_buffer("double[]", bound),
            ffi.from_buffer("int64_t[]", duplicates),
            layers,
        )
        return report, imbalance, bound, duplicates

    def evaluate_windows(self, name: str, placement: Array, num_windows: int) -> Floats:
        """window_imbalance or window_bound [L,T] of a placement [L,S] in int64, for the uploaded weights."""
        figures = np.empty((len(placement), num_windows))
        out = ffi.from_buffer("double[]", figures)
        outputs = (out, ffi.NULL) if name == "window_imbalance" else (ffi.NULL, out)
        data, sizes = ffi.from_buffer(placement), (placement.size, _INT64)
        seconds = _duration.of_figures(self._shape, self.problem)
        self.handle.run(seconds, lib.eplb_evaluate_windows, self.problem, data, *sizes, *outputs, figures.size)
        return figures

    def forget_prepared(self) -> None:
        """When the library discards over what tokens are split, or has weights whose shape is not known here."""
        self._prepared = None

    def split_options(self, shape: tuple[int, ...], tolerance: float) -> Any:
        """Options of C for a split over a placement [L,S]."""
        self._split_options.tolerance = tolerance
        self._seconds_of_split = _duration.of_split(*shape)
        return self._split_options

    def split(self, placement: Array, tolerance: float) -> None:
        """Splits the tokens of the uploaded weights over a placement [L,S] in int64."""
        options = self.split_options(placement.shape, tolerance)
        self._over(placement, placement, self._seconds_of_split, lib.eplb_split, options)

    def is_prepared(self, placement: Any) -> bool:
        """For the session's problem and weights: a placement [L,S] in int64, or a plan on a device."""
        return self._prepared is not None and self._prepared.is_for(*self._asked(placement))

    def prepare_split(self, placement: Array, plan: Any = None) -> None:
        """Prepares a placement [L,S] in int64, on a device too: that of a plan there, if it is one. Waits."""
        seconds = _duration.of_split(*placement.shape)
        self._over(placement, placement if plan is None else plan, seconds, lib.eplb_split_prepare)

    def note_prepared(self, plan: Any) -> None:
        """A call of the device has prepared a plan; None: what nobody here knows."""
        self._prepared = None if plan is None else Prepared(*self._asked(plan))
        self.splits += 1

    def note_captured(self) -> None:
        """A graph holds splits of the session's problem and weights."""
        self._captured = self._sizes_of_split()

    def _asked(self, placement: Any) -> tuple[bytes, tuple[int, ...], Any]:
        return ffi.buffer(self.problem)[:], self._shape[1:], placement

    def _sizes_of_split(self) -> tuple[Any, ...]:
        return self.problem.num_slots, self.problem.num_gpus, self._shape[1:]

    def check_captured(self) -> None:
        """Must come before another placement is prepared."""
        if self._captured not in (None, self._sizes_of_split()):
            raise invalid_state(
                "the context has been captured in a graph, which holds its memory for splits: take another context for "
                "other sizes, or close this one"
            )

    def dispatch(self, placement: Array, num_ranks: int, max_swaps: int, tolerance: float) -> None:
        """Chooses a slot of a placement [L,S] in int64 for each rank and expert. Options are those of C."""
        options = self._dispatch_options
        options.num_ranks, options.max_swaps, options.tolerance = num_ranks, max_swaps, tolerance
        seconds = _duration.of_dispatch(placement.shape, self.problem.num_gpus, num_ranks, max_swaps)
        self._over(placement, placement, seconds, lib.eplb_static_dispatch, options)

    def _over(self, placement: Array, kept: Any, seconds: float, function: Callable[..., int], *options: Any) -> None:
        """Problem and placement are given to the library only where they are others than the last time.

        Args:
            kept: what the placement is known by.
        """
        known, before = self.is_prepared(kept), self._prepared
        if not known:
            self.check_captured()
        over = (ffi.NULL, ffi.NULL) if known else (self.problem, ffi.from_buffer(placement))
        # Unless the call fails; a handler of signals may raise after it.
        self._prepared = None
        try:
            self.handle.run(seconds, function, *over, placement.size, _INT64, *options)
        except Error:
            self._prepared = before
            raise
        self._prepared = before if known else Prepared(*self._asked(placement.copy() if kept is placement else kept))
        self.splits += 1

    def plan_transfers(self, current: Array, placement: Array, order: int) -> list[Array]:
        """Source, round and group [L,S] of the way between two placements of one integer type.

        The problem is the session's. order: a transfer order as C has it.
        """
        maps = [np.empty(placement.shape, placement.dtype) for _ in range(3)]
        arrays = (ffi.from_buffer(each) for each in (current, placement, *maps))
        code = DTYPE_CODES[placement.dtype]
        seconds = _duration.of_transfers(*placement.shape)
        self.handle.run(seconds, lib.eplb_plan_transfers, self.problem, order, *arrays, placement.size, code, ffi.NULL)
        return maps

    def synchronize(self) -> None:
        self.handle.run(0, lib.eplb_context_synchronize)
