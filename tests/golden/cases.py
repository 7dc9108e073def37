"""The inputs of the golden vectors: what is solved, and why. Refusals are in refused_cases.py."""

from dataclasses import dataclass, field

from arithmetic import float32
from packing import STRATEGIES
from reference import Options, Problem

BEST = ("best", "best_fast")  # at the default effort, and at FAST
ALL = (*STRATEGIES, *BEST)
OURS = ALL[1:]  # integers: all but greedy
CHANCE = ("random_restarts", "noise_spectrum", "hybrid_init", *BEST)
FAST = ("greedy", "lpt_swap", *BEST)

README_WEIGHTS = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]

# Tokens routed to the first 32 experts of MoE layer 15 of OLMoE-1B-7B-0924: examples/data/README.md names the source.
MEASURED = [
    234450,
    284555,
    146664,
    161190,
    78391,
    90681,
    209317,
    222645,
    322663,
    79317,
    134806,
    102748,
    144622,
    140602,
    113278,
    132169,
    109055,
    461052,
    55720,
    85864,
    109344,
    171218,
    98764,
    97641,
    115820,
    94053,
    175821,
    87293,
    107011,
    219363,
    367276,
    202534,
]


@dataclass
class Case:
    """weights: [L][E], or [T][L][E]. `refused` is (status, text), for a strategy if one is named."""

    name: str
    why: str
    weights: list
    problem: Problem
    dtype: str = "float32"
    options: Options = field(default_factory=Options)
    strategies: tuple = ALL
    refused: tuple = None

    @property
    def windows(self):
        return self.weights if self.weights and isinstance(self.weights[0][0], list) else [self.weights]

    @property
    def shape(self):
        return len(self.windows), len(self.windows[0]), len(self.windows[0][0])

    @property
    def flat(self):
        """As the caller's array holds them: a float32 case can name no value that float32 does not have."""
        values = [value for window in self.windows for layer in window for value in layer]
        if self.dtype.startswith("int"):
            return values
        return [float32(value) if self.dtype == "float32" else float(value) for value in values]


def skewed(count, seed):
    """Seeded weights, skewed as measured ones are: whole numbers of 1 to 2^20, the product of three uniform numbers.

    x <- x * 6364136223846793005 + 1442695040888963407 mod 2^64 (Knuth's MMIX), three times a weight; a, b, c are the
    top ten bits of the three x; the weight is 1 + a * b * c // 1024.
    """
    weights, x = [], seed
    for _ in range(count):
        product = 1
        for _ in range(3):
            x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
            product *= x >> 54
        weights.append(1 + product // 1024)
    return weights


PUBLISHED = [
    Case(
        "readme",
        "the example of the published EPLB README: hierarchical, two layers",
        README_WEIGHTS,
        Problem(16, 8, 2, 4),
    ),
    Case(
        "readme_global",
        "the same with the global policy asked for: nodes and groups are ignored",
        README_WEIGHTS,
        Problem(16, 8, 2, 4, "global"),
    ),
    Case(
        "readme_int64",
        "the same as int64: the dtype must not matter",
        README_WEIGHTS,
        Problem(16, 8, 2, 4),
        "int64",
    ),
    Case(
        "pairs",
        "two slots per GPU; the optimum is 196.67, which needs other counts than the largest-first ones",
        [[600, 560, 120, 120, 20, 10, 10, 10]],
        Problem(16, 8),
    ),
    Case(
        "measured",
        "OLMoE-1B-7B, MoE layer 15, the first 32 experts (examples/data, Apache-2.0)",
        [MEASURED],
        Problem(40, 8),
        "int32",
    ),
]

EVEN = [
    Case("all_equal", "equal weights: extras go round from expert 0", [[5] * 8], Problem(12, 4)),
    Case("all_equal_hierarchical", "equal weights on two nodes", [[0.1] * 8], Problem(12, 4, 2, 4)),
    Case(
        "all_zero",
        "without any weight a layer is solved as all ones; the published program gives expert 0 all extras",
        [[0] * 8],
        Problem(12, 4, 2, 4),
    ),
    Case(
        "minus_zero",
        "-0.0 is zero: among others, and in a layer of nothing else",
        [[-0.0, 3, -0.0, 1], [-0.0] * 4],
        Problem(6, 2),
    ),
    Case(
        "zero_layer_between",
        "a layer of zeros must not touch its neighbours",
        [skewed(8, 1), [0] * 8, skewed(8, 2)],
        Problem(12, 4, 2, 4),
        "int32",
    ),
    Case(
        "ties",
        "small whole numbers: ties in counts, orders, packs and swaps",
        [[1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 3], [2, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4]],
        Problem(24, 6),
        "int32",
    ),
    Case(
        "ties_hierarchical",
        "the same on two nodes: tied group sums, and node-major ties of counts",
        [[1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 3], [2, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4]],
        Problem(24, 6, 2, 8),
        "int32",
    ),
]

ONE_HOT = [[0, 0, 100, 0, 0, 0, 0, 0]]
SHAPES = [
    Case("one_hot", "one expert has all the weight and gets all the extras", ONE_HOT, Problem(16, 4)),
    Case(
        "one_hot_hierarchical",
        "the same: only its own node's extras, the others are spread over zeros",
        ONE_HOT,
        Problem(16, 4, 2, 4),
    ),
    Case("one_place", "one slot per GPU: the identity, nothing is sorted", [skewed(6, 3)], Problem(8, 8)),
    Case(
        "one_place_hierarchical",
        "one slot per GPU, one group per node: both packings are the identity",
        [[1, 2, 3, 40, 50, 60]],
        Problem(8, 8, 2, 2),
    ),
    Case("two_places", "two slots per GPU", [skewed(12, 4), skewed(12, 5)], Problem(16, 8)),
    Case("no_redundancy", "as many slots as experts: only the packing is left", [skewed(16, 6)], Problem(16, 4)),
    Case("groups_do_not_divide", "auto with 3 groups on 2 nodes is global", [skewed(12, 7)], Problem(16, 8, 2, 3)),
    Case("no_groups", "num_groups 0 means 1", [skewed(8, 8)], Problem(12, 4, 1, 0)),
    Case(
        "groups_on_one_node",
        "several groups on one node: hierarchical, so ties fall by group sum, not by expert",
        [[1, 1, 2, 2, 3, 3, 3, 3]],
        Problem(12, 4, 1, 4),
    ),
    Case("one_gpu", "nothing to balance; the order of the slots is still told", [skewed(6, 9)], Problem(9, 1)),
    Case("one_gpu_per_node", "each node has one GPU", [skewed(8, 10)], Problem(12, 2, 2, 4)),
    Case("single_expert", "one expert in every slot", [[7]], Problem(4, 2)),
    Case("single_everything", "one expert, one slot, one GPU", [[7]], Problem(1, 1)),
    Case(
        "many_replicas",
        "far more slots than experts: several replicas of an expert on each GPU",
        [[3, 1]],
        Problem(16, 4),
    ),
    Case("forced_together", "an expert with more replicas than GPUs", [[50, 1, 1, 1]], Problem(8, 2)),
    Case("hierarchical", "64 experts in 8 groups on 4 nodes", [skewed(64, 11)], Problem(80, 16, 4, 8)),
    Case(
        "deepseek_sized",
        "256 experts, 288 slots, 32 GPUs, global; weights: skewed() of cases.py",
        [skewed(256, 12)],
        Problem(288, 32),
        "int32",
        strategies=FAST,
    ),
    Case(
        "deepseek_sized_hierarchical",
        "the same with 8 groups on 4 nodes",
        [skewed(256, 13)],
        Problem(288, 32, 4, 8),
        "int32",
        strategies=FAST,
    ),
]

TINY32, TINY64 = 2.0**-149, 2.0**-1074
NUMBERS = [
    Case(
        "windows",
        "three windows of two layers, summed first",
        [[skewed(6, 14), skewed(6, 15)], [skewed(6, 16), skewed(6, 17)], [skewed(6, 18), skewed(6, 19)]],
        Problem(8, 4),
    ),
    Case(
        "windows_int64",
        "windows of integers that reach 2^63 - 1 exactly",
        [[[2**62, 2**61, 5, 2**60]], [[2**62 - 1, 2**61, 7, 0]]],
        Problem(8, 4),
        "int64",
    ),
    Case(
        "windows_float64",
        "windows whose sum is above float32 are summed in double",
        [[[1e300, 2e299, 3e299, 4e298]], [[2e299, 2e299, 1e298, 0]]],
        Problem(8, 4),
        "float64",
        strategies=OURS,
    ),
    Case(
        "float64",
        "fractions that are not exact",
        [[0.1, 0.2, 0.3, 0.7, 1 / 3, 2 / 3, 1e-3, 1.1]],
        Problem(12, 4),
        "float64",
    ),
    Case(
        "int64_near_2_63",
        "each weight fits an int64, their sum does not",
        [[2**63 - 1, 2**63 - 1, 2**62, 2**62 + 1, 1, 0]],
        Problem(9, 3),
        "int64",
    ),
    Case(
        "int64_above_2_53",
        "doubles would tie these; at 29 bits they tie as well, and expert 0 is first",
        [[2**53, 2**53 + 1, 2**53 + 1, 2**53]],
        Problem(6, 2),
        "int64",
    ),
    Case(
        "int64_rounded_once",
        "2^60 + 2^36 + 1 as float32 is above 2^60; by way of a double it is 2^60, and expert 0 first",
        [[2**60, 2**60 + 2**36 + 1]],
        Problem(3, 1),
        "int64",
    ),
    Case(
        "float32_denormals",
        "denormal weights are weights",
        [[TINY32 * k for k in (1, 2, 3, 50, 700, 9000, 5, 6)]],
        Problem(12, 4),
    ),
    Case(
        "float64_denormals",
        "denormal in double, zero in float32: greedy sees a layer of zeros, the others do not",
        [[TINY64, 2 * TINY64, 1e-310, 3e-310, 4e-311, 1e-312, 9e-310, 0]],
        Problem(12, 4),
        "float64",
    ),
    Case(
        "tiny_and_huge",
        "the lightest are below one quantum and still get their place",
        [[1e-30, 3e30, 1e30, 1e-38, 2e29, 5, 1e25, 8e29]],
        Problem(12, 4),
    ),
    Case(
        "tiny_and_huge_float64",
        "magnitudes from denormal to the largest",
        [[TINY64, 1e308, 1e-300, 5e307, 1, 1e300, 0, 1e307]],
        Problem(12, 4),
        "float64",
        strategies=OURS,
    ),
    Case(
        "quantum_half",
        "a sum of exactly 2^29 is one too many: the scale halves, and odd weights round half up",
        [[2**28 + 1, 2**28 - 1, 2**28 - 3, 2**28 + 3]],
        Problem(6, 2),
        "int32",
    ),
]

TWO_HOT = [[1000, 300, 200, 100, 50, 20, 10, 5], [1, 1, 1, 1, 1, 1, 1, 900]]
OPTIONS = [
    Case(
        "capped",
        "at most 2 replicas: the extras of the hot experts go to the next",
        TWO_HOT,
        Problem(12, 4),
        options=Options(max_replicas=2),
        strategies=OURS,
    ),
    Case(
        "capped_hierarchical",
        "the same on two nodes",
        TWO_HOT,
        Problem(12, 4, 2, 4),
        options=Options(max_replicas=2),
        strategies=OURS,
    ),
    Case(
        "capped_to_the_last",
        "every expert must have exactly as many as the cap",
        TWO_HOT,
        Problem(16, 4),
        options=Options(max_replicas=2),
        strategies=OURS,
    ),
    Case(
        "capped_idle",
        "a cap that nothing reaches changes nothing, also for greedy",
        README_WEIGHTS,
        Problem(16, 8, 2, 4),
        options=Options(max_replicas=5),
    ),
    Case(
        "capped_greedy",
        "greedy takes no cap: it is refused where it would exceed one",
        TWO_HOT,
        Problem(12, 4),
        options=Options(max_replicas=2),
        strategies=("greedy",),
        refused=("EPLB_INVALID_ARGUMENT", "max_replicas is 2, but greedy gives expert 0 of layer 0 4 replicas"),
    ),
    Case(
        "seed_1",
        "another seed, other chances",
        [skewed(24, 20)],
        Problem(32, 8),
        options=Options(seed=1),
        strategies=CHANCE,
    ),
    Case(
        "seed_above_32_bits",
        "the high word of the seed counts",
        [skewed(24, 20)],
        Problem(32, 8),
        options=Options(seed=2**32),
        strategies=CHANCE,
    ),
    Case(
        "seed_largest",
        "the largest seed; two nodes, whose chances differ",
        [skewed(24, 21)],
        Problem(32, 8, 2, 4),
        options=Options(seed=2**64 - 1),
        strategies=CHANCE,
    ),
]
