"""How much of the load is served away from the home node of its group, layer by layer."""

from __future__ import annotations

import numpy as np

from ._arrays import Floats, Ints
from ._cluster import Cluster
from ._library import BOUND_KINDS, POLICIES
from ._thread_session import session_for
from ._windows import KeptWeights

HOME_MAPS = ("off_home", "off_home_bound")


def find_homes(weights: KeptWeights, placement: Ints, problem: bytes, cluster: Cluster | None) -> tuple[Floats, Floats]:
    """off_home and off_home_bound [L] of a placement [L,S].

    The library reports them of whole models, so it is asked about every layer alone, which gives the bits of the maps.
    """
    layers = len(placement)
    share, bound = np.empty(layers), np.empty(layers)
    with session_for(problem, cluster) as session:
        # Both are the same under every policy, and nobody asks for a bound on the load.
        session.problem.policy, session.problem.bound_kind = POLICIES["global"], BOUND_KINDS["simple"]
        for layer in range(layers):
            one = slice(layer, layer + 1)
            session.upload(np.ascontiguousarray(weights.sums[one]))
            report, *_ = session.evaluate(placement[one])
            share[layer], bound[layer] = report.off_home_mean, report.off_home_bound_mean
    return share, bound
