"""The problem of a context's last solve, from which an evaluation takes what it is not given."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._cluster import Cluster, sizes_with
from ._library import invalid_argument
from ._tables import Prices


class LastProblem(NamedTuple):
    """Its values are in the order of Session.set_problem: those of the last solve, or defaults before any."""

    values: tuple[Any, ...] = (None, None, 1, 1, "auto", "simple", "sum", 1.01, None)
    cluster: Cluster | None = None
    prices: Prices | None = None

    def with_given(
        self,
        cluster: Cluster | None,
        prices: Prices | None,
        num_slots: int,
        num_gpus: Any,
        num_nodes: Any,
        *others: Any,
    ) -> tuple[list[Any], Cluster | None, Prices | None]:
        """The problem with what is given and not None in place of its own, in the same order, cluster and prices."""
        if cluster is not None:
            num_gpus, num_nodes = sizes_with(cluster, num_gpus, num_nodes)
        elif self.cluster is not None and num_gpus in (None, self.cluster.num_gpus):
            cluster = self.cluster
        given = num_slots, num_gpus, num_nodes, *others
        values = [own if value is None else value for own, value in zip(self.values, given, strict=True)]
        if values[1] is None:
            raise invalid_argument("num_gpus is missing: nothing was solved yet that it could be taken from")
        if prices is None and self.prices is not None and self.prices.num_nodes == values[2]:
            prices = self.prices
        return values, cluster, prices
