"""How much of the load is served away from the home node of its group, layer by layer."""

from __future__ import annotations

import numpy as np

from ._arrays import Floats, Ints
from ._cluster import Cluster
from ._library import BOUND_KINDS, POLICIES
from ._request import changed
from ._session import Session
from ._tables import Prices
from ._thread_session import session_for
from ._windows import KeptWeights

HOME_MAPS = ("off_home", "off_home_bound")


def find_homes(
    weights: KeptWeights, placement: Ints, problem: bytes, cluster: Cluster | None, prices: Prices | None
) -> tuple[Floats, Floats]:
    """off_home and off_home_bound [L] of a placement [L,S]; prices are those of the soft policy.

    The library reports them of whole models, so it is asked about every layer alone, which gives the bits of the maps.
    """
    layers = len(placement)
    share, bound = np.empty(layers), np.empty(layers)
    with session_for(problem, cluster, prices) as session:
        # Without prices both are the same under every policy, and nobody asks for a bound on the load.
        policy = POLICIES["global" if prices is None else "soft"]
        session.problem = changed(session.problem, policy=policy, bound_kind=BOUND_KINDS["simple"])
        for layer in range(layers):
            one = slice(layer, layer + 1)
            session.upload(np.ascontiguousarray(weights.sums[one]))
            report, *_ = session.evaluate(placement[one])
            share[layer], bound[layer] = report.off_home_mean, report.off_home_bound_mean
    return share, bound


def prices_that_count(session: Session) -> Prices | None:
    """Those of a session, if its problem has the policy that knows them."""
    return session.prices if session.problem.policy == POLICIES["soft"] else None
