"""Inputs of the golden vectors of the policy SOFT: what is solved, and why. They are small, as their file is."""

from dataclasses import dataclass

from cases import ONE_HOT, README_WEIGHTS, skewed
from reference import Problem
from soft_layers import Question, solve

QUICK = ("fast",)
BOTH = ("fast", "normal")


@dataclass
class SoftCase:
    name: str
    why: str
    question: Question
    efforts: tuple = QUICK


def question(weights, sizes, **others):
    """One window. sizes: slots, GPUs, nodes, groups."""
    return Question([weights], Problem(*sizes, "soft"), **others)


def rebalanced(weights, sizes, options=None, before=None, **others):
    """From what BEST makes of other loads, those of which experts trade places; or from `before`, [L][S]."""
    asked = question(weights, sizes, options=options or {}, **others)
    if before is None:
        other = [row[len(row) // 2 :] + row[: len(row) // 2] for row in weights]
        before = solve(question(other, sizes, effort="fast"))
    asked.strategy, asked.current = "rebalance", before
    return asked


SEED = {"seed": 2**64 - 1}

BEST = [
    SoftCase("soft_readme", "the published example", question(README_WEIGHTS, (16, 8, 2, 4))),
    SoftCase(
        "soft_readme_one_layer",
        "groups that share nodes evenly",
        question(README_WEIGHTS[:1], (16, 4, 2, 4)),
        BOTH,
    ),
    SoftCase("soft_few_slots", "no replica is left: experts change places", question([skewed(9, 200)], (9, 3, 3, 3))),
    SoftCase(
        "soft_uneven_groups", "five groups of ten experts on three nodes", question([skewed(10, 201)], (12, 6, 3, 5))
    ),
    SoftCase(
        "soft_odd_groups", "three groups of eight experts", question([skewed(8, 202)], (10, 5, 2, 3), options=SEED)
    ),
    SoftCase(
        "soft_more_nodes_than_groups",
        "two nodes are nobody's home",
        question([skewed(8, 203)], (12, 4, 4, 2)),
        BOTH,
    ),
    SoftCase(
        "soft_four_nodes", "eight groups on four nodes: more than pairs", question([skewed(9, 204)], (12, 4, 4, 9))
    ),
    SoftCase("soft_one_group", "all experts are at home on one of two nodes", question([skewed(6, 205)], (8, 4, 2, 1))),
    SoftCase(
        "soft_one_expert_has_all",
        "a group that no node can hold",
        question(ONE_HOT, (12, 4, 2, 4)),
        BOTH,
    ),
    SoftCase(
        "soft_no_load", "a layer of zeros counts as one of ones", question([[0] * 6, skewed(6, 206)], (8, 4, 2, 3))
    ),
    SoftCase(
        "soft_equal",
        "ties everywhere",
        question([[1] * 8], (12, 4, 2, 4)),
        BOTH,
    ),
    SoftCase(
        "soft_strict", "a target that cannot be reached", question([skewed(8, 207)], (9, 3, 3, 4), off_home_target=1.0)
    ),
    SoftCase(
        "soft_wide", "a target that needs no balance", question([skewed(8, 207)], (9, 3, 3, 4), off_home_target=2.0)
    ),
    SoftCase(
        "soft_some_closed",
        "GPUs with fewer slots, one with none",
        question([skewed(7, 208)], (12, 4, 2, 3), cluster={"slots": [3, 2, 0, 3]}),
    ),
    SoftCase(
        "soft_speeds",
        "nodes of different speeds: unequal caps of homes",
        question([skewed(8, 209)], (12, 4, 2, 3), cluster={"speeds": [1.0, 0.5, 1.0, 1.0]}),
        BOTH,
    ),
    SoftCase(
        "soft_nodes",
        "nodes of one and of three GPUs, which are not neighbours",
        question([skewed(8, 210)], (12, 4, 2, 4), cluster={"nodes": [1, 0, 1, 1], "slots": [3, 3, 3, 2]}),
        BOTH,
    ),
    SoftCase(
        "soft_dead_node",
        "a node without slots, and more nodes than GPUs",
        question([skewed(6, 211)], (12, 4, 6, 3), cluster={"nodes": [5, 2, 2, 0], "slots": [3, 3, 3, 0]}),
    ),
    SoftCase(
        "soft_may_stay_empty",
        "slots that nothing needs stay empty",
        question([skewed(6, 212)], (12, 4, 2, 3), options={"allow_empty": True}),
    ),
    SoftCase(
        "soft_too_many_slots",
        "duplicates fill what is left",
        question([skewed(4, 213)], (12, 2, 2, 2)),
        BOTH,
    ),
    SoftCase(
        "soft_capped",
        "at most two copies",
        question([skewed(7, 214)], (10, 5, 2, 3), options={"max_replicas": 2}),
        BOTH,
    ),
    SoftCase(
        "soft_windows",
        "three windows that are balanced apart, one of them empty",
        Question([[skewed(6, 215)], [[0] * 6], [skewed(6, 216)]], Problem(8, 4, 2, 3, "soft"), apart=True),
    ),
]

FAR = [[0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4]]  # two experts are nowhere
REBALANCE = [
    SoftCase("soft_few_moves", "a target", rebalanced([skewed(8, 220)], (12, 4, 2, 4))),
    SoftCase(
        "soft_homes_move",
        "others are better by more than a hundredth",
        rebalanced([skewed(9, 221)], (12, 4, 2, 3)),
        BOTH,
    ),
    SoftCase(
        "soft_own_target",
        "instead of off_home_target",
        rebalanced([skewed(8, 222)], (12, 4, 2, 3), {"target": 1.3}),
        BOTH,
    ),
    SoftCase("soft_limited", "two moves", rebalanced([skewed(8, 223)], (12, 4, 2, 4), {"max_moves": 2})),
    SoftCase("soft_few_arrivals", "one on each GPU", rebalanced([skewed(8, 224)], (12, 4, 2, 4), {"max_arrivals": 1})),
    SoftCase("soft_dear", "moves have a price", rebalanced([skewed(8, 225)], (12, 4, 2, 4), {"move_price": 0.25})),
    SoftCase("soft_from_afar", "experts are nowhere", rebalanced([skewed(6, 226)], (12, 4, 2, 3), before=FAR)),
    SoftCase(
        "soft_shared_moves",
        "layers share three moves; one has no load",
        rebalanced([skewed(8, 227), [0] * 8, skewed(8, 228)], (12, 4, 2, 4), {"max_moves_total": 3}),
    ),
    SoftCase(
        "soft_lost_gpu",
        "slots are closed that hold something, and slots may become empty",
        rebalanced([skewed(6, 229)], (12, 4, 2, 3), {"allow_empty": True, **SEED}, cluster={"slots": [3, 0, 3, 2]}),
        BOTH,
    ),
    SoftCase(
        "soft_of_no_load", "all stays", rebalanced([[0] * 6], (8, 4, 2, 3), before=[[0, 1, 2, 3, 4, 5, 0, 1]]), QUICK
    ),
]

SOFT_CASES = BEST + REBALANCE
