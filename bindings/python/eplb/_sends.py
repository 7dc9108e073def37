"""How many nodes a token reaches under a placement, by a model of the router that knows the counts of experts alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Floats, Ints, current_to_host, weights_to_host
from ._by_name import sizes_by_name
from ._cluster import Cluster, sizes_with
from ._errors import InvalidPlacement, InvalidWeight
from ._library import STATUSES, groups_of, integer, invalid_argument
from ._loads import groups_of_experts, node_shares, nodes_of_gpus, sum_windows
from ._plan import Plan
from ._router import Router


@dataclass(frozen=True, eq=False)
class ModelledSends:
    """What tokens cost between nodes, in the model of modelled_sends.

    Attributes:
        sends: float64 [L]: copies of a token that leave its node.
        reached: float64 [L,N]: the chance that a token has an expert on a node.
        busiest: float64 [L]: copies that come into the node that gets most, per token of the whole model.
        error: float64 [L]: by how much the chance that a token picks some expert is missed. Where it is not about 0, no
            router with these groups has such weights, and the model is one that comes close.
    """

    sends: Floats
    reached: Floats
    busiest: Floats
    error: Floats


@sizes_by_name
def modelled_sends(
    weights: Any,
    placement: Any,
    *,
    num_gpus: int | None = None,
    num_nodes: int | None = None,
    num_groups: int | None,
    picks: int = 8,
    groups_per_token: int = 4,
    cluster: Cluster | None = None,
) -> ModelledSends:
    """Estimates how many copies of a token leave its node, for any placement.

    It is for dispatch that sends a token once to every node where it has an expert, and spreads it inside. Where each
    pair of token and expert is sent by itself, groups save nothing, and this says nothing.

    Weights tell how often experts are picked, not which are picked together. The model assumes nothing more: of all
    routers that pick `picks` distinct experts from at most `groups_per_token` groups as often as the weights say, it is
    the one with the largest entropy, where a choice of experts has the probability of a product of one number for each.
    Each pick goes to one of the expert's replicas, all equally likely. Every GPU sends as many tokens as another. Real
    routers pick experts of one group together more often, for which groups are worth more.

    Args:
        weights: as for Context.solve; windows are summed.
        placement: a plan, or integers [L,S], the expert in each slot, -1 in those that are closed or empty; or [S], the
            same in every layer.
        num_gpus: GPUs that the slots are on: None takes those of the cluster, or else of a plan.
        num_nodes: nodes that the GPUs are on: None is 1, or those of the cluster.
        num_groups: groups of consecutive experts: expert e is in group floor(e * num_groups / E). They need not be
            equally large. None and 0 are 1.
        picks: distinct experts that a token picks. No expert is picked twice: what is above 1 / picks of all load is
            cut off and goes to the other experts, by their load.
        groups_per_token: the most groups that they are from; num_groups if there is no such limit.
        cluster: GPUs that are not all equal, as for Context.solve. Tokens come from those that have slots.

    Returns:
        Figures of every layer. In a layer without load they are 0: there are no tokens.

    Raises:
        InvalidArgument: sizes that do not fit each other, with the nearest legal value; wrong types.
        InvalidPlacement: an id that is no expert, or an expert without a replica, naming layer and slot or expert.
        InvalidWeight: a weight that is NaN, infinite or negative, naming layer and expert.
    """
    loads = _loads(weights)
    layers, experts = loads.shape
    held = current_to_host(placement, layers, "placement")
    if num_gpus is None and cluster is None and isinstance(placement, Plan):
        num_gpus = placement.num_gpus
    sizes = zip(("num_gpus", "num_nodes"), sizes_with(cluster, num_gpus, num_nodes), strict=True)
    gpus, nodes = (integer(name, size, 1) for name, size in sizes)
    _check_placement(held, layers, experts, gpus)
    node = nodes_of_gpus(gpus, nodes, cluster)
    group = groups_of_experts(experts, integer("num_groups", groups_of(num_groups), 1, experts))
    most_groups = _check_picks(group, integer("picks", picks, 1, experts), groups_per_token)
    reached, error = np.zeros((layers, nodes)), np.zeros(layers)
    used = loads.any(axis=1)
    if used.any():
        router = Router(_chances(loads[used], picks), group, picks, most_groups)
        shares = node_shares(held[used], experts, np.repeat(node, held.shape[1] // gpus), nodes)
        reached[used] = np.stack([1 - router.chance_to_avoid(shares[..., n]) for n in range(nodes)], axis=1)
        error[used] = router.error
    open_gpus = np.ones(gpus) if cluster is None or cluster.slots is None else np.array(cluster.slots) > 0
    sent = reached * (1 - np.bincount(node, open_gpus, nodes) / open_gpus.sum())
    return ModelledSends(sent.sum(axis=1), reached, sent.max(axis=1), error)


def _loads(weights: Any) -> Floats:
    """[L,E], checked."""
    windows = weights_to_host(weights)[0]
    bad = np.argwhere(~((windows >= 0) & np.isfinite(windows)))
    if len(bad):
        *_, layer, expert = bad[0]
        text = f"weights[layer {layer}, expert {expert}] is {windows[tuple(bad[0])]}, must be 0 or more, and finite"
        raise InvalidWeight(text, STATUSES["invalid_weight"], "EPLB_INVALID_WEIGHT")
    return sum_windows(windows)


def _chances(loads: Floats, picks: int) -> Floats:
    """[L,E]: that a token picks an expert. What is above 1 goes to the others, by their load, or equally if it is 0."""
    always = np.zeros(loads.shape, bool)
    while True:
        others = np.where(always, 0.0, loads)
        others = np.where(others.any(axis=1, keepdims=True), others, ~always)
        left = picks - always.sum(axis=1, keepdims=True)
        # No layer has a total of 0: it has more experts than picks, or left is 0.
        total = np.maximum(others.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        chances: Floats = np.where(always, 1.0, others / total * left)
        above = chances >= 1
        if (above == always).all():
            return chances
        always |= above


def _check_placement(placement: Ints, layers: int, experts: int, gpus: int) -> None:
    if len(placement) != layers:
        raise invalid_argument(f"placement has {len(placement)} layers, but weights has {layers}")
    if placement.shape[1] % gpus:
        raise invalid_argument(f"placement has {placement.shape[1]} slots, must be a multiple of num_gpus = {gpus}")
    bad = np.argwhere((placement < -1) | (placement >= experts))
    if len(bad):
        layer, slot = bad[0]
        raise _invalid_placement(
            f"placement[layer {layer}, slot {slot}] is {placement[layer, slot]}, must be -1 to {experts - 1}"
        )
    for layer, row in enumerate(placement):
        missing = np.setdiff1d(np.arange(experts), row)
        if len(missing):
            raise _invalid_placement(f"expert {missing[0]} has no replica in layer {layer}")


def _invalid_placement(text: str) -> InvalidPlacement:
    return InvalidPlacement(text, STATUSES["invalid_placement"], "EPLB_INVALID_PLACEMENT")


def _check_picks(group: Ints, picks: int, groups_per_token: Any) -> int:
    """The most groups that a token can use."""
    sizes = np.sort(np.bincount(group))[::-1]
    most = min(integer("groups_per_token", groups_per_token, 1), len(sizes), picks)
    if sizes[:most].sum() < picks:
        raise invalid_argument(f"picks is {picks}, but the {most} largest groups have {sizes[:most].sum()} experts")
    return most
