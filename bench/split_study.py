"""The rows of split.py: drifts and shapes, and what the study of splits (background/quota.md) reached there.

The study was a prototype in C++ on one core with AVX2 that it shared; its placements were BEST's of an earlier
version. TIMES are from its section 2, DRIFTS from 3a, STEPS and SERIES from 3b, MOVES from 3c, SPREAD from 4; the
traces that it held out are not in ../shared/data. "In integers": the best split of the tokens of the next window. Its
figures of SPREAD are of every second layer.
"""

from dataclasses import dataclass

TRACES = {
    "in512": "prefill-in512",
    "in1024": "prefill-in1024",
    "in2048": "prefill-in2048",
    "dec500": "decode-in500out1500",
    "dec1000": "decode-in1000out1000",
}
# Slots and GPUs.
SHAPES = ((288, 32), (320, 64), (288, 72), (384, 128), (288, 144))


@dataclass(frozen=True)
class Times:
    """Microseconds of a split per layer, mean and worst, next to those of the heap greedy in the same run."""

    before: str
    after: str
    shape: tuple[int, int]
    spread: bool  # is the placement one that was made for splits?
    heap: float
    mean: float
    worst: float
    waves: float  # the mean of the form that devices can have


TIMES = (
    Times("in512", "in512", (288, 32), False, 19.5, 2.4, 9, 2.6),
    Times("in512", "in2048", (288, 32), False, 24.2, 4.2, 17, 5.7),
    Times("in512", "in2048", (320, 64), False, 27.9, 8.0, 43, 11.3),
    Times("in512", "in2048", (288, 72), False, 15.1, 2.2, 5, 2.2),
    Times("in512", "in2048", (384, 128), False, 62.6, 16.1, 71, 20.6),
    Times("in512", "in2048", (288, 144), False, 20.5, 3.2, 4, 3.2),
    Times("dec500", "dec1000", (288, 32), False, 28, 3.1, 9, 3.5),
    Times("dec500", "dec1000", (320, 64), False, 29, 4.1, 12, 4.3),
    Times("dec500", "dec1000", (384, 128), False, 52, 7.4, 17, 7.8),
    Times("in512", "in2048", (288, 32), True, 24, 9.5, 29, 13),
    Times("in512", "in2048", (320, 64), True, 31, 22.7, 66, 36),
    Times("dec500", "dec1000", (288, 32), True, 29, 18, 44, 25),
    Times("dec500", "dec1000", (320, 64), True, 32, 42, 108, 68),
    Times("dec500", "dec1000", (384, 128), True, 62, 88, 298, 157),
)

# Before, after: by shape, imbalance after with an even split, and with the best one, on BEST's placement.
DRIFTS = {
    ("in512", "in1024"): ((1.123, 1.050), (1.194, 1.067), (1.232, 1.182), (1.285, 1.116), (1.457, 1.444)),
    ("in1024", "in2048"): ((1.113, 1.041), (1.168, 1.064), (1.200, 1.157), (1.249, 1.079), (1.456, 1.448)),
    ("in512", "in2048"): ((1.265, 1.126), (1.405, 1.178), (1.494, 1.403), (1.602, 1.294), (1.944, 1.931)),
    ("dec500", "dec1000"): ((1.054, 1.032), (1.081, 1.061), (1.099, 1.094), (1.119, 1.085), (1.256, 1.250)),
    ("in1024", "dec1000"): ((1.423, 1.274), (1.649, 1.515), (1.840, 1.767), (2.065, 1.800), (2.480, 2.462)),
    ("dec1000", "in1024"): ((1.480, 1.350), (1.784, 1.545), (2.007, 1.903), (2.193, 1.897), (2.962, 2.946)),
}


@dataclass(frozen=True)
class Spread:
    """Imbalance in the next window, of every second layer: of an even split and the best one on BEST's placement, and
    of the best one on placements made for splits with a target of 1.01. own: the last in the window they were made for.
    """

    even: float
    best: float
    spread: float
    own: float | None = None


SPREAD = {
    ("in1024", "in2048"): {
        (288, 32): Spread(1.121, 1.038, 1.008, 1.0001),
        (320, 64): Spread(1.159, 1.064, 1.023, 1.0000),
        (384, 128): Spread(1.255, 1.080, 1.055, 1.0027),
        (288, 72): Spread(1.198, 1.148, 1.151),
    },
    ("dec500", "dec1000"): {
        (288, 32): Spread(1.055, 1.037, 1.002, 1.0002),
        (320, 64): Spread(1.084, 1.063, 1.012, 1.0022),
        (384, 128): Spread(1.121, 1.090, 1.018, 1.0031),
        (288, 72): Spread(1.100, 1.095, 1.076),
    },
    ("in512", "in2048"): {
        (288, 32): Spread(1.261, 1.126, 1.081, 1.0001),
        (320, 64): Spread(1.400, 1.190, 1.127, 1.0001),
        (384, 128): Spread(1.613, 1.311, 1.235),
        (288, 72): Spread(1.499, 1.403, 1.336),
    },
    ("in1024", "dec1000"): {
        (288, 32): Spread(1.415, 1.265, 1.214),
        (320, 64): Spread(1.630, 1.483, 1.332),
        (384, 128): Spread(2.031, 1.715, 1.555),
        (288, 72): Spread(1.793, 1.730, 1.653),
    },
}
# With placements made for splits, at most.
MARKS = {("in1024", "in2048", (288, 32)): 1.010, ("dec500", "dec1000", (288, 32)): 1.003}

# Moves per layer until no GPU is above 1.05, 1.02 and 1.01, with an even split, and with the best one. Section 3c,
# of the first 10 layers (288/32) or 5 (320/64); a prototype that took 1 to 9 s per layer.
MOVES = {
    ("in512", "in2048", (288, 32)): ((8.6, 16.9, 24.7), (1.4, 2.9, 3.7)),
    ("in1024", "in2048", (288, 32)): ((3.4, 12.6, 20.3), (0.3, 0.8, 1.6)),
    ("dec500", "dec1000", (288, 32)): ((1.0, 8.2, 17.0), (0.4, 1.6, 2.3)),
    ("in1024", "dec1000", (288, 32)): ((12.3, 19.6, 25.0), (4.0, 5.5, 7.0)),
    ("in512", "in2048", (320, 64)): ((20.6, 42.4, 54.6), (2.2, 6.2, 9.6)),
    ("in1024", "in2048", (320, 64)): ((11.0, 30.2, 45.2), (0.6, 2.2, 3.8)),
    ("dec500", "dec1000", (320, 64)): ((4.6, 26.6, 42.2), (1.0, 2.4, 3.6)),
}
TARGETS = (1.05, 1.02, 1.01)
# Of the time of the heap greedy, at most.
MARKS_OF_TIME = {(288, 32): 0.2, (320, 64): 0.3, (384, 128): 0.3}

# Static dispatch: loads that placements are made for, shapes, and at most so much after swaps, in the mean.
DISPATCH_LOADS = ("in512", "in2048", "dec1000")
DISPATCH_SHAPES = ((288, 32), (320, 64), (384, 128), (288, 72))
MARKS_OF_DISPATCH = {(288, 32): 1.001}


@dataclass(frozen=True)
class Steps:
    """Draws of some tokens with eight picks each, from the loads `after`, over placements of `before`: at 288/32 what
    split_steps.Draws has, and at 320/64 an even split and the best one."""

    before: str
    after: str
    tokens: int
    study: tuple[float, float, float, float, float]
    wider: tuple[float, float]


STEPS = (
    Steps("in1024", "in1024", 256, (1.245, 1.266, 1.119, 1.156, 1.245), (1.369, 1.241)),
    Steps("in1024", "in1024", 1024, (1.120, 1.130, 1.059, 1.080, 1.120), (1.185, 1.108)),
    Steps("in1024", "in1024", 16384, (1.029, 1.032, 1.013, 1.019, 1.029), (1.045, 1.026)),
    Steps("in512", "in2048", 1024, (1.299, 1.303, 1.146, 1.162, 1.185), (1.456, 1.218)),
    Steps("dec500", "dec1000", 1024, (1.130, 1.141, 1.070, 1.087, 1.122), (1.208, 1.133)),
)


@dataclass(frozen=True)
class Series:
    """Windows one after the other.

    Attributes:
        traces: that take turns.
        together: windows that are added up to one.
        first: windows that the placement is made for, and none of which judges it. The study does not say how many;
            these give its figure of an even split, in the first row nearly.
        study, connected: imbalance by column, on BEST's placement and on one that was made for splits.
    """

    name: str
    traces: tuple[str, ...]
    together: int
    shape: tuple[int, int]
    first: int
    study: dict[str, float]
    connected: dict[str, float]


_STEPS = ("gpt-oss-20b_mmlu-test-decode-steps_T511xL24xE32",)
_INTENT, _LAW, _TRANSLATION = (
    f"deepseek-v2-lite_{name}xL26xE64"
    for name in ("intent-requests_T127", "law-requests_T33", "translation-requests_T40")
)


def _figures(even, last, decayed4, decayed16, in_step):
    return {"even": even, "last": last, "decayed 4": decayed4, "decayed 16": decayed16, "in step": in_step}


def _connected(even, decayed16, in_step):
    return {"even": even, "decayed 16": decayed16, "in step": in_step}


SERIES = (
    Series(
        "gpt-oss mmlu, single decode steps", _STEPS, 1, (40, 8), 64,
        _figures(1.254, 1.215, 1.189, 1.189, 1.105), _connected(1.226, 1.143, 1.029),
    ),
    Series(
        "gpt-oss mmlu, 8 steps", _STEPS, 8, (40, 8), 8,
        _figures(1.230, 1.139, 1.134, 1.153, 1.090), _connected(1.204, 1.108, 1.017),
    ),
    Series(
        "gpt-oss mmlu, 8 steps", _STEPS, 8, (48, 16), 8,
        {"even": 1.388, "decayed 4": 1.225, "in step": 1.172}, {"in step": 1.128},
    ),
    Series(
        "V2-Lite intent prompts", (_INTENT,), 1, (72, 8), 32,
        _figures(1.181, 1.230, 1.186, 1.180, 1.070), _connected(1.187, 1.186, 1.026),
    ),
    Series(
        "gpt-oss MMLU subjects", ("gpt-oss-20b_mmlu-test-subjects_T57xL24xE32",), 1, (40, 8), 16,
        _figures(1.562, 1.542, 1.490, 1.485, 1.281), _connected(1.537, 1.454, 1.217),
    ),
    Series(
        "V2-Lite intent, law and translation by turns", (_INTENT, _LAW, _TRANSLATION), 1, (72, 8), 32,
        _figures(1.334, 1.501, 1.378, 1.345, 1.209), _connected(1.319, 1.327, 1.145),
    ),
)  # fmt: skip
