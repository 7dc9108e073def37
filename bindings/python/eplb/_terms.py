"""What a plan was solved for besides its weights."""

from __future__ import annotations

from typing import NamedTuple

from ._cluster import Cluster
from ._homes import HOME_MAPS, prices_that_count
from ._library import OBJECTIVES, POLICIES, ffi, name_of
from ._report import Grouping, grouping_of
from ._session import Session
from ._tables import Prices
from ._windows import KeptWeights


class Terms(NamedTuple):
    """Plans of equal solves share them.

    Attributes:
        sizes: layers, experts, slots, GPUs.
        num_windows, num_given: as of KeptWeights.
        width: of logical_to_physical.
        policy: as asked for.
        prices: those that count.
        home_maps: maps of homes that are not all 0.
        strategy, transfer_order: as C has them.
        summed: the sum of windows is balanced, and not each of them.
        may_be_empty: slots may be.
        problem: the bytes of the struct.
    """

    sizes: tuple[int, int, int, int]
    num_windows: int
    num_given: int
    width: int
    grouping: Grouping
    policy: str
    cluster: Cluster | None
    prices: Prices | None
    home_maps: tuple[str, ...]
    strategy: int
    transfer_order: int
    summed: bool
    may_be_empty: bool
    problem: bytes

    @property
    def bounds_at_once(self) -> bool:
        """Bounds of a plan that may have empty slots hold for such placements. If it has none, nobody knows later."""
        return self.may_be_empty and self.num_windows > 1


def terms_of(session: Session, weights: KeptWeights) -> Terms:
    """Those of the session's request for weights; the very same object if the last ones of the session are equal."""
    asked = session.problem, session.options, session.cluster, session.prices, weights.shape, weights.num_given
    if session.known_terms is None or session.known_terms[0] != asked:
        session.known_terms = asked, _make_terms(session, weights)
    terms: Terms = session.known_terms[1]
    return terms


def _make_terms(session: Session, weights: KeptWeights) -> Terms:
    problem, options, prices = session.problem, session.options, prices_that_count(session)
    layers, experts = weights.shape[-2:]
    grouping = grouping_of(problem)
    return Terms(
        sizes=(layers, experts, problem.num_slots, problem.num_gpus),
        num_windows=weights.num_windows,
        num_given=weights.num_given,
        width=problem.max_replicas or problem.num_slots - experts + 1,
        grouping=grouping,
        policy=name_of(POLICIES, problem.policy),
        cluster=session.cluster,
        prices=prices,
        # On one node, all is at home.
        home_maps=HOME_MAPS if grouping.num_nodes > 1 or prices is not None else (),
        strategy=options.strategy,
        transfer_order=options.transfer_order,
        summed=problem.objective != OBJECTIVES["windows"],
        may_be_empty=options.allow_empty != 0,
        problem=ffi.buffer(problem)[:],
    )
