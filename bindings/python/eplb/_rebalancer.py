"""When an engine changes its placement, and how: one state machine, online and in a replay."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import Array, Flags, Floats, Ints, placement_to_host, weights_to_host
from ._cluster import Cluster, cluster_for
from ._context import Context
from ._errors import Error, FileError, InvalidPlacement
from ._evaluation import Evaluation
from ._files.values import counted
from ._kept_layers import keep_layers
from ._library import groups_of, integer, invalid_argument, invalid_state
from ._maps import check_experts
from ._plan import Plan
from ._rebalancer_file import State, read_state, write_state
from ._rule import Rule
from ._shown import Showing, Shown
from ._uncopyable import Uncopyable
from ._windows import has_load, mean_of_windows


class Rebalancer(Showing, Uncopyable):
    """Decides by a rule when an engine changes its placement: a state machine that the engine drives.

        rebalancer = eplb.Rebalancer("pays,move_ms=1,layer_ms=50", plan)
        rebalancer.observe(loads)          # of the window that has just passed
        plan = rebalancer.propose()        # None: nothing is due, or nothing pays
        if plan is not None:
            ...                            # carry out plan.moves
            rebalancer.commit(plan)        # experts are there now; or reject(plan)

    observe adds to the memory, and only commit and set_current change the placement. propose changes nothing: until the
    next observe, commit or set_current it gives the same answer. Windows may be observed while a plan is carried out.
    What is proposed depends on what save writes alone, so it is the same on all ranks, and after load. Used by one
    thread at a time.

    Args:
        rule: a Rule, or its text.
        current: where experts are: a plan, a Placement, or integers [L,S], -1 where nothing is.
        num_gpus, num_nodes, cluster: the GPUs, as for Context.rebalance; None takes num_gpus from current.
        num_groups: equal groups of consecutive experts; None and 0 are 1.
        context: what solves; its uploaded weights are replaced. None makes one of a single thread.

    Raises:
        InvalidArgument: a rule that lacks a price; sizes that do not fit each other.
    """

    instead = "make another one, or save it and load that"

    _placement: Array
    _cluster: Cluster
    _memory: list[Array]
    _seen: int
    # What propose returns, once that was worked out for this placement and memory.
    _answer: tuple[Plan | None] | None
    # What commit and reject are about.
    _proposed: Plan | None

    def __init__(
        self,
        rule: Rule | str,
        current: Any,
        *,
        num_gpus: int | None = None,
        num_nodes: int | None = None,
        num_groups: int | None = 1,
        cluster: Cluster | None = None,
        context: Context | None = None,
    ) -> None:
        self._rule = rule if isinstance(rule, Rule) else Rule.parse(rule)
        if self._rule.name == "pays":
            _ = self._rule.price  # raises where it is missing
        self._num_groups = integer("num_groups", groups_of(num_groups), 1)
        self._context = Context() if context is None else context
        self._memory, self._seen = [], 0
        self._set(current, cluster_for(current, num_gpus, num_nodes, cluster))

    @property
    def rule(self) -> Rule:
        """As given."""
        return self._rule

    @property
    def cluster(self) -> Cluster:
        """The GPUs that there are now."""
        return self._cluster

    @property
    def physical_to_logical(self) -> Ints:
        """int64 [L,S], where experts are: as of the last commit, or of set_current. A copy."""
        copy: Ints = self._placement.copy()
        return copy

    @property
    def windows_seen(self) -> int:
        """Windows that were observed, those that are forgotten included."""
        return self._seen

    @property
    def memory(self) -> Array:
        """[T,L,E], the windows that are remembered, oldest first. A copy; T is 0 before the first one."""
        return np.stack(self._memory) if self._memory else np.zeros((0, len(self._placement), 0))

    def observe(self, window: Any) -> None:
        """Adds the loads [L,E] of a window to the memory, and forgets the oldest one if the memory is full.

        A window in which no layer has load counts as time that has passed, and is not remembered.

        Raises:
            InvalidArgument: another shape than the placement or the windows before have.
            InvalidWeight: a load that is NaN, infinite or negative, naming layer and expert. Nothing is then added.
        """
        array, _ = weights_to_host(window)
        if array.ndim != 2 or len(array) != len(self._placement):
            text = f"window is {list(array.shape)}, must be [layers, experts], and the placement has"
            raise invalid_argument(f"{text} {len(self._placement)} layers")
        experts = self._memory[-1].shape[1] if self._memory else array.shape[1]
        if array.shape[1] != experts:
            raise invalid_argument(f"window has {array.shape[1]} experts, but those before have {experts}")
        check_experts(self._placement, experts, "current")
        self._context.upload(array)  # refuses what is no load
        self._seen += 1
        if array.any():
            self._memory = [*self._memory, array.copy()][-self._rule.memory :]
        self._answer = None

    def propose(self) -> Plan | None:
        """The plan that the rule wants now, or None if nothing is due, nothing pays, or nothing was observed.

        A placement that cannot stay, because an expert has no replica or is in a closed slot, is repaired at once, and
        without limits on the number of moves, unless the rule is "never".
        """
        if self._answer is None:
            self._answer = (self._decide(),)
        self._proposed = self._answer[0]
        return self._proposed

    def commit(self, plan: Plan) -> None:
        """Says that the plan that was proposed last has been carried out.

        Raises:
            InvalidState: none was proposed since the last commit or reject.
            InvalidArgument: another plan.
        """
        self._check_proposed(plan)
        self._placement = plan.physical_to_logical.copy()
        self._proposed = self._answer = None

    def reject(self, plan: Plan) -> None:
        """Says that the plan that was proposed last is not carried out. Nothing changes.

        Raises:
            InvalidState, InvalidArgument: as commit.
        """
        self._check_proposed(plan)
        self._proposed = None

    def set_current(self, current: Any, *, cluster: Cluster | None = None) -> None:
        """Says where experts are, if that changed in another way than by a commit, and which GPUs there are now.

        Args:
            current: as for the class. What a dead GPU held is -1.
            cluster: as for Context.rebalance; None: it has not changed.
        """
        self._set(current, self._cluster if cluster is None else cluster)

    def expected(self, placement: Any = None) -> Floats:
        """The imbalance [L] of a placement in the windows that are remembered; None is where experts are now.

        It is the mean over the windows in which a layer has load, or that of their sum if the rule says so; 1 for a
        layer without any load.

        Raises:
            InvalidState: nothing was observed yet.
            InvalidPlacement: as Context.evaluate.
        """
        if not self._memory:
            raise invalid_state("no window was observed yet: call observe first")
        return self._mean(self._evaluate(self._placement if placement is None else placement, self.memory), self.memory)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes rule, placement, cluster and memory as .npz. A plan that was proposed is not part of it.

        Raises:
            FileError: it cannot be written; a file that was there is then as it was.
        """
        sizes = self._num_groups, self._seen
        write_state(Path(path), State(str(self._rule), self._placement, self._cluster, *sizes, self._memory))

    @classmethod
    def load(cls, path: str | PathLike[str], *, context: Context | None = None) -> Rebalancer:
        """A Rebalancer as it was saved: it proposes the same from then on.

        Raises:
            FileError: no such file.
        """
        state = read_state(Path(path))
        try:
            made = cls(state.rule, state.placement, num_groups=state.num_groups, cluster=state.cluster, context=context)
            for window in state.windows:
                made.observe(window)
            made._seen = integer("windows_seen", state.seen, len(state.windows))
        except Error as error:
            raise FileError(f"{path}: {error}") from None
        return made

    def __repr__(self) -> str:
        return f"Rebalancer({str(self._rule)!r}, {self._seen} windows seen, {len(self._memory)} remembered)"

    def _about(self) -> str:
        layers, slots = self._placement.shape
        return f"{counted(layers, 'layer')}, {slots} slots of {counted(self._cluster.num_gpus, 'GPU')}"

    def _show(self) -> Shown:
        proposed = "nothing" if self._proposed is None else counted(int(self._proposed.moves.count.sum()), "move")
        facts = {
            "rule": str(self._rule),
            "windows seen": str(self._seen),
            "windows remembered": f"{len(self._memory)}, at most {self._rule.memory}",
            "proposed": proposed,
        }
        return Shown(self._title(), rows=list(facts.items()))

    def _set(self, current: Any, cluster: Cluster) -> None:
        placement = placement_to_host(current, "current")
        if placement.size == 0 or placement.shape[1] % cluster.num_gpus:
            found = f"current is {list(placement.shape)}, must be [layers, slots]"
            raise invalid_argument(f"{found}, with as many slots on each of {cluster.num_gpus} GPUs")
        if self._memory:
            if len(placement) != self._memory[0].shape[0]:
                raise invalid_argument(f"current has {len(placement)} layers, but windows have {len(self._memory[0])}")
            check_experts(placement, self._memory[0].shape[1], "current")
        self._placement, self._cluster = placement.copy(), cluster
        self._proposed = self._answer = None

    def _check_proposed(self, plan: Any) -> None:
        proposed = self._proposed
        if proposed is None:
            raise invalid_state("no plan is proposed: call propose first, and commit or reject what it returns once")
        if plan is not proposed and (not isinstance(plan, Plan) or plan.fingerprint != proposed.fingerprint):
            raise invalid_argument("plan is not the one that was proposed last: give that, or call propose again")

    def _decide(self) -> Plan | None:
        rule = self._rule
        if rule.name == "never" or not self._memory:
            return None
        windows = self.memory
        can_stay = self._can_stay(windows)
        if self._seen % rule.every and can_stay.all():
            return None
        if rule.name == "fresh":
            return self._fresh(windows)
        options = rule.rebalance_options(len(windows))
        if not can_stay.all():
            options |= dict.fromkeys(("max_moves", "max_moves_total", "max_arrivals"))
        stay = self._stay(windows, can_stay) if rule.name == "pays" else None
        plan = self._context.rebalance(windows, self._placement, **self._problem(), **options)
        if not plan.changed.any():
            return None
        return plan if stay is None else self._paying(plan, windows, can_stay, stay)

    def _fresh(self, windows: Array) -> Plan | None:
        options = self._rule.solve_options()
        slots, current = self._placement.shape[1], self._placement
        plan = self._context.solve(windows, slots, current=current, **self._problem(), **options)
        return plan if plan.moves.count.any() else None

    def _paying(self, plan: Plan, windows: Array, can_stay: Flags, stay: Floats) -> Plan | None:
        """The layers of a rebalance that pay, and those that must change.

        The library has weighed what the worst window gains, from which it makes its steps; the engine's time is that of
        all windows.
        """
        rule, changed = self._rule, plan.changed
        gain = (stay - self._mean(plan, windows)) * rule.horizon_of(len(windows))
        kept = changed & can_stay & (gain <= rule.price * plan.moves.count)
        if (kept == changed).all():
            return None
        return keep_layers(self._context, plan, kept, self._placement, self._cluster) if kept.any() else plan

    def _stay(self, windows: Array, can_stay: Flags) -> Floats:
        """What is expected of layers that change nothing; 1 for those that cannot stay."""
        stay = np.ones(len(can_stay))
        if can_stay.any():
            part = windows[:, can_stay]
            stay[can_stay] = self._mean(self._evaluate(self._placement[can_stay], part), part)
        return stay

    def _can_stay(self, windows: Array) -> Flags:
        """Layers [L] in which the current placement is valid."""
        rows = range(len(self._placement))
        if self._is_valid(windows, rows):
            return np.ones(len(rows), bool)
        return np.array([self._is_valid(windows, [row]) for row in rows])

    def _is_valid(self, windows: Array, rows: Sequence[int]) -> bool:
        try:
            self._context.evaluate(self._placement[rows], windows[-1, rows], **self._problem())
        except InvalidPlacement:
            return False
        return True

    def _evaluate(self, placement: Any, windows: Array) -> Evaluation:
        # Of groups, which an imbalance does not depend on, any placement is valid.
        return self._context.evaluate(placement, windows, **{**self._problem(), "policy": "global"})

    def _mean(self, figures: Plan | Evaluation, windows: Array) -> Floats:
        if self._rule.objective == "sum" or len(windows) == 1:
            return figures.imbalance
        return mean_of_windows(figures.window_imbalance, has_load(windows))

    def _problem(self) -> dict[str, Any]:
        rule = self._rule
        sizes = {"cluster": self._cluster, "num_groups": self._num_groups}
        return {**sizes, "policy": rule.policy, "off_home_target": rule.off_home_target}
