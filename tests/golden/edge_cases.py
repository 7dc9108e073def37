"""Inputs on which one small rule of the reference decides the answer: each was searched for with that rule changed."""

from cases import OURS, Case, Problem, skewed

GREEDY = ("greedy",)


def near(base, spread, count, seed):
    """Weights that differ little: packing is nearly free then, and many swaps are worth while."""
    return [base + weight % spread for weight in skewed(count, seed)]


TIES = [
    Case(
        "two_heaviest_packs",
        "refinement meets several heaviest packs: the lowest is relieved",
        [[8, 5, 6, 9, 1, 9, 7, 19, 15, 18, 7, 9]],
        Problem(12, 4),
        "int32",
        strategies=OURS,
    ),
    Case(
        "two_heaviest_and_lightest_packs",
        "random_restarts: several heaviest packs (layer 0), several lightest (layer 1): the lowest ones swap",
        [
            [7, 13, 20, 8, 5, 7, 7, 6, 1, 9, 18, 5, 9, 6, 17],
            [6, 1, 9, 7, 7, 9, 8, 18, 6, 4, 10, 7, 3, 4, 17],
        ],
        Problem(15, 3),
        "int32",
        strategies=OURS,
    ),
    Case(
        "half_rounds_up",
        "a weight halfway between two quanta rounds up, not to even",
        [[402653188, 536870919, 1073741830, 134217731, 536870914, 805306371]],
        Problem(9, 3),
        "int32",
    ),
    Case(
        "noisy_groups",
        "chance of its own (stage 1) puts groups on nodes: two problems, as each strategy minds in other ones",
        [skewed(24, 301), skewed(24, 352)],
        Problem(32, 8, 2, 12),
    ),
]

ROUNDINGS = [
    Case(
        "float32_loads",
        "greedy: loads are rounded to float32 after every addition",
        [[9437183, 6291456, 9437183, 12582913, 15728642, 6291458, 15728641, 6291456]],
        Problem(12, 3),
        strategies=GREEDY,
    ),
    Case(
        "float32_group_sums",
        "greedy: so are the sums of groups",
        [[18874369, 1048574, 1048577, 6291455, 2097150, 15728638, 15728639, 6291454]],
        Problem(12, 4, 2, 4),
        "int32",
        strategies=GREEDY,
    ),
    Case(
        "float32_shares",
        "greedy: weights per replica are rounded to float32, so that near ones tie",
        [[3145726, 15728638, 5242880, 6291458, 4194304, 2097150, 5242879, 6291455]],
        Problem(12, 2),
        strategies=GREEDY,
    ),
]

# Here one step less and one step more would both give another answer.
LIMITS = [
    Case(
        "lpt_swap_stops",
        "more than 50 swaps would help",
        [near(1000, 1009, 144, 7)],
        Problem(144, 48),
        "int32",
        strategies=("lpt_swap",),
    ),
    Case(
        "l2_swap_stops",
        "more than 50 swaps would help",
        [skewed(144, 100)],
        Problem(144, 48),
        "int32",
        strategies=("l2_swap",),
    ),
    Case(
        "random_restarts_stops",
        "more than 20 swaps would help",
        [near(2916, 54, 180, 54)],
        Problem(180, 20),
        "int32",
        strategies=("random_restarts",),
    ),
    Case(
        "noise_spectrum_stops",
        "more than 20 swaps would help",
        [[1000 + i * i for i in range(72)]],
        Problem(72, 24),
        "int32",
        strategies=("noise_spectrum",),
    ),
    Case(
        "hybrid_init_stops",
        "more than 20 swaps would help",
        [[50 + i * i % 997 for i in range(120)]],
        Problem(120, 24),
        "int32",
        strategies=("hybrid_init",),
    ),
]
