"""Inputs that are refused, with the status and the text written by hand: reference.py must come to the same words."""

from cases import Case, Options, Problem

NAN, INFINITE = float("nan"), float("inf")
WEIGHT, ARGUMENT = "EPLB_INVALID_WEIGHT", "EPLB_INVALID_ARGUMENT"
SMALL = Problem(8, 4)


def layers(count, experts, bad):
    """[count][experts] of 1, 2, 3 ... with the values of bad[layer, expert] put in."""
    return [[bad.get((layer, e), 1 + e) for e in range(experts)] for layer in range(count)]


def bad_weight(name, why, weights, text, dtype="float32", **more):
    return Case("refuse_" + name, why, weights, SMALL, dtype, refused=(WEIGHT, text), **more)


BAD_WEIGHTS = [
    Case(
        "refuse_nan",
        "the error names the argument and the numbers",
        layers(4, 18, {(3, 17): NAN}),
        Problem(20, 4),
        refused=(WEIGHT, "weights[layer 3, expert 17] is NaN"),
    ),
    bad_weight(
        "infinite",
        "the lowest (layer, expert) is named",
        layers(3, 6, {(1, 2): INFINITE, (1, 4): NAN, (2, 0): -1}),
        "weights[layer 1, expert 2] is infinite",
    ),
    bad_weight(
        "minus_infinity",
        "minus infinity is negative",
        layers(1, 6, {(0, 5): -INFINITE}),
        "weights[layer 0, expert 5] is negative",
    ),
    bad_weight(
        "negative",
        "a negative weight",
        layers(2, 6, {(0, 2): -0.5}),
        "weights[layer 0, expert 2] is negative",
        "float64",
    ),
    bad_weight(
        "negative_int32",
        "a negative integer",
        layers(2, 6, {(1, 3): -1}),
        "weights[layer 1, expert 3] is negative",
        "int32",
    ),
    bad_weight(
        "negative_int64",
        "the most negative integer",
        layers(1, 6, {(0, 0): -(2**63)}),
        "weights[layer 0, expert 0] is negative",
        "int64",
    ),
    bad_weight(
        "nan_in_window",
        "several windows: the window is named; the lower expert goes before the lower window",
        [layers(1, 6, {(0, 4): -1}), layers(1, 6, {(0, 2): NAN})],
        "weights[window 1, layer 0, expert 2] is NaN",
    ),
    bad_weight(
        "layer_sum",
        "each weight is finite, their sum is not",
        layers(1, 6, {(0, 1): 1e308, (0, 3): 1e308}),
        "weights[layer 0] sum to more than a float64 holds",
        "float64",
    ),
    bad_weight(
        "window_sum",
        "a sum over windows that is not finite",
        [layers(1, 6, {(0, 1): 1e308})] * 2,
        "weights[layer 0, expert 1] sum over windows to more than a float64 holds",
        "float64",
    ),
    bad_weight(
        "window_sum_int64",
        "a sum over windows of 2^63 is refused, never wrapped",
        [layers(1, 6, {(0, 1): 2**62}), layers(1, 6, {(0, 1): 2**62})],
        "weights[layer 0, expert 1] sum over windows to more than 2^63 - 1",
        "int64",
    ),
    bad_weight(
        "above_float32",
        "greedy computes in float32",
        layers(2, 6, {(1, 1): 1e39}),
        "weights[layer 1, expert 1] is above what the float32 of greedy holds",
        "float64",
        strategies=("greedy",),
    ),
    bad_weight(
        "above_float32_windows",
        "each window fits a float32, their sum does not",
        [layers(1, 6, {(0, 1): 3e38})] * 2,
        "weights[layer 0, expert 1] is above what the float32 of greedy holds",
        strategies=("greedy",),
    ),
    bad_weight(
        "above_float32_sum",
        "each weight fits a float32, their sum does not",
        layers(1, 6, {(0, 1): 3e38, (0, 2): 3e38}),
        "weights[layer 0] sum to more than the float32 of greedy holds",
        strategies=("greedy",),
    ),
]


def bad_problem(name, why, text, problem, experts=12, **more):
    return Case("refuse_" + name, why, layers(1, experts, {}), problem, refused=(ARGUMENT, text), **more)


BAD_PROBLEMS = [
    bad_problem(
        "slots_not_of_gpus",
        "the error names the argument and the numbers",
        "num_slots is 290, must be a multiple of num_gpus = 32 (288 or 320)",
        Problem(290, 32),
        256,
    ),
    bad_problem(
        "slots_not_of_gpus_above_only",
        "the multiple below is less than the experts",
        "num_slots is 13, must be a multiple of num_gpus = 8 (16)",
        Problem(13, 8),
    ),
    bad_problem(
        "slots_below_gpus",
        "less than one slot per GPU",
        "num_slots is 3, must be a multiple of num_gpus = 8 (16)",
        Problem(3, 8),
    ),
    bad_problem(
        "slots_below_experts",
        "the nearest legal value is a multiple of the GPUs",
        "num_slots is 8, must be at least num_experts = 12 (16)",
        Problem(8, 8),
    ),
    bad_problem(
        "slots_below_experts_exactly",
        "here the experts are a multiple of the GPUs",
        "num_slots is 8, must be at least num_experts = 12 (12)",
        Problem(8, 4),
    ),
    bad_problem(
        "gpus_not_of_nodes",
        "hierarchical, by the published rule",
        "num_gpus is 6, must be a multiple of num_nodes = 4 (4 or 8)",
        Problem(12, 6, 4, 4),
    ),
    bad_problem(
        "gpus_below_nodes",
        "fewer GPUs than nodes",
        "num_gpus is 2, must be a multiple of num_nodes = 4 (4)",
        Problem(12, 2, 4, 4),
    ),
    bad_problem(
        "groups_not_of_nodes",
        "hierarchical asked for; auto would be global",
        "num_groups is 3, must be a multiple of num_nodes = 2 (2 or 4)",
        Problem(16, 8, 2, 3, "hierarchical"),
    ),
    bad_problem(
        "groups_zero",
        "num_groups 0 means 1, and 1 is what is named",
        "num_groups is 1, must be a multiple of num_nodes = 2 (2)",
        Problem(16, 8, 2, 0, "hierarchical"),
    ),
    bad_problem(
        "experts_not_of_groups",
        "groups of unequal size",
        "num_experts is 12, must be a multiple of num_groups = 5 (10 or 15)",
        Problem(15, 5, 1, 5),
    ),
    bad_problem("no_slots", "num_slots that was never set", "num_slots is 0, must be at least 1", Problem(0, 4)),
    bad_problem("no_gpus", "num_gpus that was never set", "num_gpus is 0, must be at least 1", Problem(16, 0)),
    bad_problem(
        "no_nodes",
        "nodes are checked under every policy",
        "num_nodes is 0, must be at least 1",
        Problem(16, 4, 0, 1, "global"),
    ),
    bad_problem("negative_groups", "below zero", "num_groups is -1, must be at least 0", Problem(16, 4, 1, -1)),
    bad_problem("negative_slots", "below zero", "num_slots is -16, must be at least 1", Problem(-16, 4)),
    bad_problem(
        "cap_too_low",
        "no counts sum to the slots",
        "max_replicas is 1, too few: 16 slots of 12 experts need at least 2",
        Problem(16, 8),
        options=Options(max_replicas=1),
    ),
    bad_problem(
        "cap_negative",
        "below zero",
        "max_replicas is -1, must be at least 0",
        Problem(16, 8),
        options=Options(max_replicas=-1),
    ),
]
