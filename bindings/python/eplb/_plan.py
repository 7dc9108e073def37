"""A solved placement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from ._arrays import Floats, Ints
from ._files.values import counted
from ._moves import Moves
from ._report import Report, show_report
from ._shown import Showing, Shown
from ._solution import Solution
from ._uncopyable import Uncopyable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Plan(Showing):
    """A solved placement. It cannot change: it stays as it is when its context solves again, is closed, or is gone.

    Each answer is computed when it is first read, on any thread, and kept; what is not read costs nothing. While the
    context still holds this solve, an answer is fetched from it. Before the context takes other weights, solves again
    or is closed, it gives the plan a compact copy of the replicas. Later answers are computed from that and from a copy
    of the weights, which the plan keeps until its report was read. They have the same bits and take longer. Only two
    figures of such a report differ: `microseconds` is the time of the solve as measured in Python, and `context_bytes`
    is that of the context which evaluated. Read the report at once where this matters. A plan of several windows keeps
    them all until window_imbalance and window_bound were read, too; one on several nodes whose report is read late,
    until off_home was read; all keep the sum of windows until warnings was read. A plan that was solved from a current
    placement keeps a copy of that, from which its moves follow; one of a rebalance takes its report along.

    Plans can be copied and pickled. The arrays belong to the caller, who may change them.

    Attributes:
        max_replicas: the width of logical_to_physical: the cap that was given, else S - E + 1.
        num_gpus: GPUs, G.
    """

    max_replicas: int
    num_gpus: int
    _solution: Solution

    def __init__(self, solution: Solution) -> None:
        fields = self.__dict__
        fields["max_replicas"], fields["num_gpus"] = solution.terms.width, solution.terms.sizes[-1]
        fields["_solution"] = solution

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed: {name} is read-only")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed: {name} is read-only")

    def _answer(self, name: str) -> Any:
        return self._solution[name]

    def _ints(self, name: str) -> Ints:
        ints: Ints = self._answer(name)
        return ints

    def _floats(self, name: str) -> Floats:
        floats: Floats = self._answer(name)
        return floats

    @property
    def physical_to_logical(self) -> Ints:
        """int64 [L,S], the expert in each slot. GPU g owns slots g*S/G to (g+1)*S/G - 1."""
        return self._ints("physical_to_logical")

    @property
    def logical_to_physical(self) -> Ints:
        """int64 [L,E,X]: the slots of each expert in replica order, the original first, then -1."""
        return self._ints("logical_to_physical")

    @property
    def replica_count(self) -> Ints:
        """int64 [L,E]."""
        return self._ints("replica_count")

    @property
    def replica_slots(self) -> Ints:
        """int64 [L,S], the slots of expert 0 in replica order, then those of expert 1, and so on."""
        return self._ints("replica_slots")

    @property
    def gpu_load(self) -> Floats:
        """float64 [L,G], in the weights' unit."""
        return self._floats("gpu_load")

    @property
    def fingerprint(self) -> int:
        """A number that stands for the plan, for ranks that solve the same problem and must agree.

        Equal plans have equal numbers on every machine; two that differ have the same one with a chance of 2^-64.
        """
        fingerprint: int = self._answer("fingerprint")
        return fingerprint

    @property
    def report(self) -> Report:
        """How good it is."""
        report: Report = self._answer("report")
        return report

    @property
    def warnings(self) -> list[str]:
        """What should be known before the plan is believed, a sentence each.

        Windows that were summed, with what each of them gets; few experts with most of the load, experts and layers
        without any; nodes and groups that have no effect; an imbalance above that without a balancer. Nothing is
        solved for it: what whole groups on nodes or max_replicas cost is said by the command, which solves again.
        Of weights that lie on a device, their loads are not looked at.
        """
        warnings: list[str] = self._answer("warnings")
        return warnings

    @property
    def imbalance(self) -> Floats:
        """float64 [L]: largest over mean GPU load."""
        return self._floats("imbalance")

    @property
    def bound(self) -> Floats:
        """float64 [L]: no placement has a largest GPU load below this, in the weights' unit."""
        return self._floats("bound")

    @property
    def duplicates(self) -> Ints:
        """int64 [L]: slots whose expert already sits in a lower slot of the same GPU."""
        return self._ints("duplicates")

    @property
    def window_imbalance(self) -> Floats:
        """float64 [L,T]: the imbalance in each window of the weights; 1 where a layer has no load.

        This and window_bound raise Unavailable where report.num_windows is 0.
        """
        return self._floats("window_imbalance")

    @property
    def window_bound(self) -> Floats:
        """float64 [L,T]: the bound for the weights of each window alone. Costs as much as T times bound."""
        return self._floats("window_bound")

    @property
    def off_home(self) -> Floats:
        """float64 [L]: the load that is served away from its group's home node over all load; 0 without load.

        A group's home is the node that serves most of it, whatever the policy. With prices of one's own, what is paid.
        """
        return self._floats("off_home")

    @property
    def off_home_bound(self) -> Floats:
        """float64 [L]: with these homes, no placement has a smaller off_home and an imbalance of off_home_target."""
        return self._floats("off_home_bound")

    @property
    def changed(self) -> npt.NDArray[np.bool_]:
        """bool [L]: layers that differ from the current placement. Raises InvalidState if the solve was given none."""
        changed: npt.NDArray[np.bool_] = self._answer("changed")
        return changed

    @property
    def moves(self) -> Moves:
        """How the current placement becomes this one. Raises InvalidState if the solve was given none."""
        moves: Moves = self._answer("moves")
        return moves

    def save(
        self,
        path: str | PathLike[str],
        format: str | None = None,
        *,
        first_layer: int | None = None,
        layers: Iterable[int] | None = None,
        num_hidden_layers: int | None = None,
        layer_updates_per_iter: int = 0,
    ) -> None:
        """Writes the placement as an engine reads it, or to a file of our own: write_placement(path, plan, ...)."""
        from ._files.placements import write_placement

        write_placement(
            path,
            self,
            format=format,
            first_layer=first_layer,
            layers=layers,
            num_hidden_layers=num_hidden_layers,
            layer_updates_per_iter=layer_updates_per_iter,
        )

    def draw(
        self, weights: Any = None, path: str | PathLike[str] | None = None, *, before: Any = None, title: str = ""
    ) -> Figure:
        """Draws the load of every GPU in every layer, as a figure that a notebook shows. Needs matplotlib.

        Nothing of matplotlib's state changes, and no window opens.

        Args:
            weights: what the plan was solved for. What was before is then next to it: of a plan that was solved from a
                current placement, that placement, and who sends experts to whom; of others, each expert once. So are
                single windows, and what nodes serve, if there are several.
            path: where to write it, too: .png, .svg or .pdf.
            before: a plan or integers [L,S] to compare with instead; needs weights.
            title: a caption.

        Raises:
            InvalidArgument: weights that are others, or a placement that does not fit them.
            InvalidPlacement: an id in before that is no expert.
            FileError: the file cannot be written.
            InvalidState: as report.
            Unavailable: matplotlib is not installed.
        """
        from ._pictures import draw_plan

        return draw_plan(self, weights, path, before, title)

    def __repr__(self) -> str:
        # Not the report, which would have to be computed.
        return f"{type(self).__name__}({self._about()})"

    def _about(self) -> str:
        layers, slots = self.physical_to_logical.shape
        return f"{counted(layers, 'layer')}, {slots} slots of {counted(self.num_gpus, 'GPU')}"

    def _show(self) -> Shown:
        return show_report(self.report, self._title(), self.warnings)


class DevicePlan(Uncopyable, Plan):
    """A placement that was solved on a device: a Plan whose maps are arrays of that device.

    physical_to_logical, logical_to_physical and replica_count are there at once, in the order of the stream of the
    solve, and stay as they are; but what was captured in a graph is rewritten by every replay.

    replica_slots, gpu_load, imbalance, bound and duplicates, on the device too, are fetched when they are first read,
    on the stream that is then current. So is report, which comes to the host and waits for the device: it raises
    InvalidWeight if the device found a bad weight, whose layer was placed as a layer of zeros. So do changed, moves,
    window_imbalance, window_bound, off_home and off_home_bound, which are worked out on the host. These need the
    context as the solve left it: when that is closed, has taken other weights or has solved again, they raise
    InvalidState. For a graph they describe the last replay.
    """

    instead = "its context fetches what was not read yet; copy the maps that you need with the library of the arrays"
    _maps: dict[str, Any]
    _fetch: Callable[[str], Any]
    _replayed: bool

    def __init__(
        self, maps: dict[str, Any], max_replicas: int, num_gpus: int, fetch: Callable[[str], Any], replayed: bool
    ) -> None:
        vars(self).update(max_replicas=max_replicas, num_gpus=num_gpus, _maps=maps, _fetch=fetch, _replayed=replayed)

    def __copy__(self) -> DevicePlan:
        # As tuples do: it cannot change.
        return self

    def _answer(self, name: str) -> Any:
        """Fetched once; what replays rewrite is fetched each time."""
        if name in self._maps:
            return self._maps[name]
        value = self._fetch(name)
        if not self._replayed:
            self._maps[name] = value
        return value
