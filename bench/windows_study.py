"""The rows of windows.py: series of windows, phases and shapes, and what the study reached there.

The study was a prototype in C++ on one core with AVX2. Its FAST was a descent with a target that falls to 1/4, then 1/2
of the excess; its NORMAL went on with 100 rounds (288/32: 1/4, 1/2, 3/4); it had no MAX. Both started from a placement
for the mean of the windows, that of phases with decode three times. What it did not print was taken from its driver,
which repeats all that it did: INSIDE, and the means of two shapes.
"""

from dataclasses import dataclass

# Methods: objective and effort. MEAN is the sum of phases that the study compared with.
SUM = "sum", "normal"
MEAN = "sum, decode three times", "normal"
FAST, NORMAL, MAX = (("windows", effort) for effort in ("fast", "normal", "max"))


@dataclass(frozen=True)
class Turns:
    """Which windows are to come; memory: how many before them the placement is made for; None: for all others."""

    memory: int | None = None
    first: int = 0
    step: int = 1


@dataclass(frozen=True)
class Series:
    """Windows of a series, one of which is to come.

    Attributes:
        key: what --series calls it.
        traces: names of files up to the sizes; windows of several take turns.
        shape: slots and GPUs.
        stride: of layers.
        cases: of the study, windows to come times layers.
        together: consecutive windows that are added up to one.
        held_out: nothing may be chosen by it, it only judges.
    """

    key: str
    name: str
    traces: tuple[str, ...]
    shape: tuple[int, int]
    turns: Turns
    stride: int
    cases: int
    together: int = 1
    held_out: bool = False

    def study(self, method):
        """Imbalance of the next window, mean inside the windows, and ms of a method; None where the study has none."""
        mean, fast, fast_ms, normal, normal_ms = STUDY[self.key]
        found = {SUM: (mean, None), FAST: (fast, fast_ms), NORMAL: (normal, normal_ms)}
        after, ms = found.get(method, (None, None))
        inside = dict(zip(found, INSIDE.get(self.key, ()), strict=False))
        return after, inside.get(method), ms


_MIX = tuple(f"deepseek-v2-lite_{task}-requests" for task in ("law", "translation", "intent"))
_TRANSLATION, _INTENT, _SUMMARY = _MIX[1:2], _MIX[2:], ("deepseek-v2-lite_summary-requests",)
_SUBJECTS, _CATEGORIES = ("gpt-oss-20b_mmlu-test-subjects",), ("gpt-oss-20b_mmlu-pro*categories",)
_GPQA, _MMLU = ((f"gpt-oss-20b_{each}-decode-steps",) for each in ("gpqa", "mmlu-test"))
_OLMOE, _DEEPSEEK_MOE, _QWEN = ((f"{each}_7domains",) for each in ("olmoe-1b-7b", "deepseek-moe-16b-base", "qwen1.5*"))
_LEAVE_ONE_OUT = Turns()

SERIES = (
    Series("mix", "three-task mix", _MIX, (72, 8), Turns(16, 16, 4), 3, 189),
    Series("subjects", "MMLU subjects", _SUBJECTS, (40, 8), Turns(16, 16, 2), 2, 252),
    Series("subjects-16", "MMLU subjects", _SUBJECTS, (48, 16), Turns(16, 16, 2), 2, 252),
    Series("olmoe", "OLMoE 7 domains", _OLMOE, (72, 8), _LEAVE_ONE_OUT, 1, 112),
    Series("deepseek-moe", "DeepSeekMoE base 7 domains", _DEEPSEEK_MOE, (72, 8), _LEAVE_ONE_OUT, 1, 189),
    Series("translation", "V2-Lite translation", _TRANSLATION, (72, 8), Turns(16, 16, 3), 2, 104),
    Series("intent", "V2-Lite intent", _INTENT, (72, 8), Turns(16, 16, 8), 2, 182),
    Series("gpqa", "gpqa, 8 decode steps", _GPQA, (40, 8), Turns(16, 16, 4), 2, 144, together=8),
    Series("mmlu", "mmlu, 8 decode steps", _MMLU, (40, 8), Turns(16, 16, 4), 2, 144, together=8),
    Series("mmlu-steps", "mmlu, single decode steps", _MMLU, (40, 8), Turns(16, 16, 40), 3, 104),
    # Kept back, so their names are a guess. Two more are missing: how the study chose their cases is not known.
    Series("mmlu-pro", "MMLU-Pro categories", _CATEGORIES, (40, 8), _LEAVE_ONE_OUT, 1, 336, held_out=True),
    Series("summary", "V2-Lite summary", _SUMMARY, (72, 8), _LEAVE_ONE_OUT, 2, 169, held_out=True),
    Series("qwen1.5", "qwen1.5 7 domains", _QWEN, (72, 8), _LEAVE_ONE_OUT, 1, 168, held_out=True),
)

# The next window: the mean; the efforts, with ms per layer without the search for the start.
STUDY = {
    "mix": (1.351, 1.144, 0.40, 1.148, 6.1),
    "subjects": (1.319, 1.211, 0.17, 1.177, 3.0),
    "subjects-16": (1.563, 1.373, 0.32, 1.333, 4.2),
    "olmoe": (1.497, 1.371, 0.19, 1.367, 2.9),
    "deepseek-moe": (1.273, 1.245, 0.13, 1.249, 2.2),
    "translation": (1.110, 1.101, 0.37, 1.103, 6.7),
    "intent": (1.188, 1.150, 0.42, 1.152, 6.8),
    "gpqa": (1.112, 1.095, 0.13, 1.096, 3.1),
    "mmlu": (1.082, 1.074, 0.13, 1.070, 3.4),
    "mmlu-steps": (1.178, 1.148, 0.11, 1.154, 2.5),
    "mmlu-pro": (1.500, 1.243, 0.12, 1.214, 2.1),
    "summary": (1.137, 1.122, 0.28, 1.117, 4.7),
    "qwen1.5": (1.207, 1.206, 0.16, 1.202, 3.2),
}

# Inside the windows: the mean, FAST, NORMAL.
INSIDE = {
    "mix": (1.3361, 1.0694, 1.0586),
    "subjects": (1.3413, 1.1426, 1.1066),
    "subjects-16": (1.5889, 1.2562, 1.2184),
    "olmoe": (1.3748, 1.0479, 1.0369),
    "deepseek-moe": (1.2093, 1.0268, 1.0211),
    "translation": (1.1151, 1.0427, 1.0355),
    "intent": (1.1751, 1.0595, 1.0497),
    "gpqa": (1.0972, 1.0561, 1.0472),
    "mmlu": (1.0705, 1.0422, 1.0349),
    "mmlu-steps": (1.1898, 1.1006, 1.0947),
}

# Windows of an engine that serves both phases; the last one is not seen by the search.
PHASES = (
    ("prefill in512", "deepseek-v3_prefill-in512"),
    ("prefill in1024", "deepseek-v3_prefill-in1024"),
    ("prefill in2048", "deepseek-v3_prefill-in2048"),
    ("decode in500out1500", "deepseek-v3_decode-in500out1500"),
    ("unseen: decode in1000out1000", "deepseek-v3_decode-in1000out1000"),
)
# How often the study's mean had each window that it saw.
PHASES_OF_MEAN = (1, 1, 1, 3)


@dataclass(frozen=True)
class Phases:
    """Slots and GPUs; stride of layers; by method, imbalance in PHASES and ms per layer without the start."""

    shape: tuple[int, int]
    stride: int
    figures: dict

    @property
    def key(self):
        return "phases-{}-{}".format(*self.shape)

    def study(self, method):
        """Imbalance by window and ms of a method; None where the study has none."""
        return self.figures.get(method, ((None,) * len(PHASES), None))


BOTH_PHASES = (
    Phases(
        (288, 32),
        2,
        {
            FAST: ((1.007, 1.008, 1.008, 1.006, 1.052), 2.7),
            NORMAL: ((1.006, 1.006, 1.006, 1.006, 1.051), 14),
            MEAN: ((1.239, 1.188, 1.185, 1.189, 1.171), None),
        },
    ),
    Phases(
        (320, 64),
        4,
        {
            FAST: ((1.030, 1.018, 1.023, 1.025, 1.082), 5.3),
            NORMAL: ((1.021, 1.017, 1.020, 1.019, 1.082), 22),
            MEAN: ((1.356, 1.293, 1.310, 1.256, 1.225), None),
        },
    ),
    Phases(
        (288, 72),
        4,
        {
            FAST: ((1.065, 1.039, 1.051, 1.066, 1.115), 4.4),
            NORMAL: ((1.052, 1.035, 1.045, 1.055, 1.105), 11),
            MEAN: ((1.441, 1.340, 1.333, 1.304, 1.289), None),
        },
    ),
)

# Marks of the design. By series: FAST, and NORMAL; the ms are for FAST.
MARKS = {"mix": (1.15, 1.15), "subjects": (1.215, 1.18), "subjects-16": (1.375, 1.34), "olmoe": (1.385, 1.38)}
MARK_OF_MS = 0.4
# Of 288/32: the worst prefill window, and the decode that is not seen.
MARKS_OF_PHASES = (1.011, 1.053)
