"""The rows of rebalance.py: loads, shapes and clusters, and what the study reached there.

The study was a prototype in C++ on one core with AVX2. FAST, NORMAL and MAX were 0, 150 and 600 rounds there.
"""

from dataclasses import dataclass

TARGETS = (1.05, 1.02, 1.01)
BUDGETS = (8, 16, 25)
# Microseconds per layer of its heap greedy, from and to.
STUDY_HEAP = {
    (288, 32): (21.5, 24.5),
    (320, 64): (22, 30),
    (288, 72): (22, 30),
    (72, 8): (6, 6),
    (40, 8): (4, 4),
}


@dataclass(frozen=True)
class Pair:
    """Loads before and after. Study: by whether slots may stay empty, and effort, the moves to TARGETS, where known
    the imbalance with BUDGETS; and ms at the second target."""

    name: str
    names: tuple[str, str]
    shape: tuple[int, int]
    stride: int
    study: dict


_IN512, _IN1024, _IN2048 = (f"deepseek-v3_prefill-in{tokens}" for tokens in (512, 1024, 2048))
_DECODE_500, _DECODE_1000 = (f"deepseek-v3_decode-in{tokens}" for tokens in ("500out1500", "1000out1000"))
_PREFILL = "V3 prefill in512 -> in2048", (_IN512, _IN2048)
_TO_DECODE = "V3 prefill in1024 -> decode", (_IN1024, _DECODE_1000)
_DECODE = "V3 decode -> decode", (_DECODE_500, _DECODE_1000)
_OLMOE = "olmoe-1b-7b_7domains"
_GPT_OSS = "gpt-oss-20b_mmlu-test-decode-steps"

PAIRS = (
    Pair(
        *_PREFILL,
        (288, 32),
        1,
        {
            False: {
                "fast": ((10.2, 21.6, 28.7, 1.0616, 1.0298, 1.0133), 0.09),
                "normal": ((8.0, 16.62, 22.7, 1.0534, 1.0216, 1.0079), 3.2),
                "max": ((7.8, 15.14, 20.8, 1.0517, 1.0195, 1.0064), 12.4),
            },
            True: {
                "fast": ((9.3, 20.6, 27.7, 1.0571, 1.0265, 1.0119), 0.09),
                "normal": ((7.3, 15.24, 21.5, 1.0458, 1.0189, 1.0069), 2.6),
                "max": ((7.3, 14.48, 19.95, 1.0451, 1.0178, 1.0057), 7.0),
            },
        },
    ),
    Pair(
        *_TO_DECODE,
        (288, 32),
        2,
        {
            False: {
                "fast": ((14.9, 25.3, 31.5), 0.10),
                "normal": ((12.3, 19.7, 24.6), 4.1),
                "max": ((11.9, 18.4, 22.5), 15.8),
            },
            True: {"normal": ((8.7, 16.9, 21.9), 2.8), "max": ((8.5, 15.7, 20.2), 7.6)},
        },
    ),
    Pair(
        *_DECODE,
        (288, 32),
        2,
        {
            False: {
                "fast": ((1.5, 11.3, 19.8), 0.03),
                "normal": ((1.3, 9.2, 16.8), 1.1),
                "max": ((1.3, 9.0, 16.4), 3.7),
            }
        },
    ),
    Pair(
        *_PREFILL,
        (320, 64),
        4,
        {
            False: {
                "fast": ((26.4, 47.5, 59.9), 0.19),
                "normal": ((21.3, 39.1, 52.2), 3.9),
                "max": ((20.3, 35.7, 47.9), 15.2),
            },
            True: {"normal": ((19.5, 37.7, 50.5), 2.7), "max": ((18.2, 34.4, 45.5), 9.2)},
        },
    ),
    Pair(
        *_DECODE,
        (320, 64),
        4,
        {
            False: {
                "fast": ((5.3, 28.3, 43.7), 0.08),
                "normal": ((4.7, 23.3, 38.6), 2.2),
                "max": ((4.6, 22.4, 36.8), 7.8),
            }
        },
    ),
    Pair(
        *_TO_DECODE,
        (320, 64),
        4,
        {
            False: {
                "fast": ((30.1, 49.7, 60.9), 0.22),
                "normal": ((25.1, 41.3, 53.3), 4.1),
                "max": ((23.7, 37.7, 48.3), 16.6),
            }
        },
    ),
    Pair(
        *_PREFILL,
        (288, 72),
        4,
        {
            False: {
                "fast": ((37.3, 56.9, 66.6), 0.16),
                "normal": ((34.7, 55.7, 69.7), 2.3),
                "max": ((33.0, 52.5, 65.0), 8.6),
            }
        },
    ),
    Pair(
        *_DECODE,
        (288, 72),
        4,
        {
            False: {
                "fast": ((12.1, 38.4, 53.1), 0.09),
                "normal": ((10.5, 35.0, 49.7), 1.1),
                "max": ((10.4, 33.7, 48.9), 3.5),
            }
        },
    ),
    Pair(
        "OLMoE domain 0 -> 1",
        (f"{_OLMOE}@0-0", f"{_OLMOE}@1-1"),
        (72, 8),
        1,
        {
            False: {
                "fast": ((7.7, 9.1, 11.0), 0.02),
                "normal": ((5.5, 7.1, 8.1), 1.0),
                "max": ((5.5, 6.9, 7.9), 4.2),
            },
            True: {"normal": ((4.5, 6.3, 7.9), 0.4)},
        },
    ),
    Pair(
        "gpt-oss mmlu, steps 64-95 -> 384-415",
        (f"{_GPT_OSS}@64-95", f"{_GPT_OSS}@384-415"),
        (40, 8),
        1,
        {
            False: {
                "fast": ((2.9, 5.8, 8.6), 0.01),
                "normal": ((2.3, 4.2, 6.4), 0.4),
                "max": ((2.3, 4.1, 6.2), 1.6),
            },
            True: {"normal": ((2.0, 3.9, 6.0), 0.3)},
        },
    ),
)


@dataclass(frozen=True)
class Case:
    """A cluster that changes, and the study's figures.

    Attributes:
        before: slots and GPUs of the current placement.
        slots: by GPU, of the new cluster; speed as well.
        lost, start: forced moves, and the imbalance over the bound after them.
        moves, ms: to TARGETS, and time at the second, at `effort`.
        gap: mean and worst without a limit on moves.
        drained: GPUs without slots can be read.
    """

    name: str
    before: tuple[int, int]
    slots: tuple[int, ...]
    lost: float
    start: float
    moves: tuple[float, float, float]
    ms: float
    gap: tuple[float, float]
    speed: tuple[float, ...] | None = None
    effort: str = "normal"
    drained: bool = False

    @property
    def gpus(self):
        return len(self.slots)

    @property
    def places(self):
        """Of each GPU in the rectangle that holds both placements."""
        return max(*self.slots, self.before[0] // self.before[1])


def _dead(gpus, places, dead):
    lost = {(i * 7 + 3) % gpus for i in range(dead)}
    return tuple(0 if gpu in lost else places for gpu in range(gpus))


CASES = (
    Case("nothing, 288/32", (288, 32), (9,) * 32, 0, 1.116, (4.0, 11.9, 20.0), 2.3, (0.0001, 0.0001)),
    Case("1 dead of 32, 9 slots", (288, 32), _dead(32, 9, 1), 6.9, 1.186, (12.5, 21.0, 26.9), 0.9, (0.0001, 0.0001)),
    Case("2 dead of 32, 9 slots", (288, 32), _dead(32, 9, 2), 14.0, 1.193, (19.8, 27.8, 33.6), 0.7, (0.0001, 0.0001)),
    Case("4 dead of 32, 10 slots", (320, 32), _dead(32, 10, 4), 26.4, 1.135, (27.5, 30.6, 34.0), 0.7, (0, 0.0001)),
    Case("2 dead of 64, 5 slots", (320, 64), _dead(64, 5, 2), 6.9, 1.315, (24.1, 42.1, 54.1), 3.7, (0.0003, 0.0004)),
    Case(
        "every second of 32 at 0.7",
        (288, 32),
        (9,) * 32,
        0,
        1.330,
        (15.7, 23.9, 28.1),
        6.1,
        (0.0001, 0.0001),
        speed=(0.7, 1.0) * 16,
    ),
    Case(
        "every second of 64 at 0.7",
        (320, 64),
        (5,) * 64,
        0,
        1.402,
        (38.7, 58.8, 70.3),
        0.4,
        (0.0002, 0.0003),
        speed=(0.7, 1.0) * 32,
        effort="fast",
    ),
    Case(
        "one of 32 at 0.5",
        (288, 32),
        (9,) * 32,
        0,
        1.988,
        (7.3, 15.9, 22.5),
        3.7,
        (0.0001, 0.0001),
        speed=(1.0,) * 5 + (0.5,) + (1.0,) * 26,
    ),
    Case(
        "every second of 32: 9 -> 8 slots",
        (288, 32),
        (8, 9) * 16,
        1.7,
        1.392,
        (16.1, 24.1, 30.6),
        3.9,
        (0.0001, 0.0001),
    ),
    Case(
        "every second of 64: 5 -> 4 slots",
        (320, 64),
        (4, 5) * 32,
        3.5,
        1.722,
        (50, 67, 79),
        0.6,
        (0.0003, 0.0005),
        effort="fast",
    ),
    Case("32 -> 40 GPUs, 9 slots", (288, 32), (9,) * 40, 0, 1.395, (33.8, 40.5, 45.5), 2.0, (0.0001, 0.0002)),
    Case("32 -> 40 GPUs, 9 -> 8 slots", (288, 32), (8,) * 40, 6.2, 2.032, (37.0, 45.7, 50.7), 1.0, (0.0003, 0.0011)),
    Case(
        "40 -> 32 GPUs, 8 -> 9 slots",
        (320, 40),
        (9,) * 32 + (0,) * 8,
        45.9,
        1.229,
        (47.3, 48.9, 50.4),
        0.8,
        (0.0001, 0.0001),
        drained=True,
    ),
)

# By moves per layer: mean and worst imbalance of equal budgets, then of one for the model; 100 rounds.
MODEL = (
    (
        *_PREFILL,
        {
            4: (1.0993, 1.207, 1.0892, 1.190),
            8: (1.0524, 1.124, 1.0480, 1.080),
            16: (1.0211, 1.044, 1.0205, 1.043),
            25: (1.0078, 1.018, 1.0085, 1.035),
        },
    ),
    (*_TO_DECODE, {8: (1.1042, 1.562, 1.0938, 1.170)}),
)

# Marks of the design. Of the first pair, by effort and whether slots may stay empty: most moves to 1.02, in how many
# heap greedy times; and the largest imbalance with 16 moves.
MARKS_OF_MOVES = (
    (("fast", False), 21.6, 5),
    (("normal", False), 16.6, 150),
    (("max", False), 15.2, 570),
    (("normal", True), 15.3, 110),
)
MARKS_AT_16 = ((("normal", False), 1.0220), (("max", False), 1.0200))
# By GPUs: the largest mean gap of a cluster. Of 40 the design says nothing: it is the study's.
MARKS_OF_GAPS = ((32, 0.0002), (40, 0.0003), (64, 0.0004))
