"""The rows of soft.py: traces, shapes and combined cases, and what the studies reached there.

FRESH and DRIFTS are of a prototype in C++ on one core with AVX2, whose FAST, NORMAL and MAX were 0, 100 and 300 rounds
from a start with everything at home; from an old placement it made 150. Its plans could leave slots empty. SENDS are of
an earlier study, which planned groups by node first. Shares are in percent. Nobody has studied COMBINED.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

EFFORTS = ("fast", "normal", "max")
GROUPS = 8
TARGET = 1.01
TARGETS = (1.05, 1.02, 1.01)
# A layer may be this much above its target: both studies counted like that.
SLACK = 0.0002


class Shape(NamedTuple):
    """Nodes, GPUs, and the slots of a layer over all GPUs."""

    nodes: int
    gpus: int
    slots: int

    def __str__(self):
        return f"{self.nodes} nodes, {self.slots}/{self.gpus}"

    @property
    def heap(self):
        """What the heap greedy knows of it."""
        return self.slots, self.gpus


FOUR, EIGHT, EIGHT_OF_FOUR, NINE = Shape(4, 32, 288), Shape(8, 64, 320), Shape(8, 32, 288), Shape(9, 72, 288)


@dataclass(frozen=True)
class Reached:
    """Off-home share, ms per layer, the part of the layers that reach the target, the worst of them; None: not known.

    ms are from and to where the study gives no more than that.
    """

    off_home: float
    ms: float | None = None
    within: float | None = None
    worst: float | None = None


NOT_KNOWN = Reached(None)


@dataclass(frozen=True)
class Fresh:
    """A trace and a shape, stride of layers, the study's bound, and what it reached by effort."""

    name: str
    shape: Shape
    stride: int
    bound: float
    study: dict
    held_out: bool = False

    @property
    def file(self):
        """Its name up to the sizes."""
        return self.name if self.name.startswith("deepseek") else f"deepseek-v3_{self.name}"


_DECODE_1000, _DECODE_500 = "decode-in1000out1000", "decode-in500out1500"
_IN512, _IN1024, _IN2048 = (f"prefill-in{tokens}" for tokens in (512, 1024, 2048))
TRACES = (_DECODE_1000, _DECODE_500, _IN512, _IN1024, _IN2048)


def _four(name, bound, fast, fast_ms, normal, normal_ms, worst):
    return Fresh(name, FOUR, 1, bound, {"fast": Reached(fast, fast_ms), "normal": Reached(normal, normal_ms, 1, worst)})


def _eight(name, bound, shares, ms, within, worst):
    fast, normal = (Reached(*each) for each in zip(shares[:2], ms[:2], (each / 58 for each in within), strict=True))
    return Fresh(name, EIGHT, 1, bound, {"fast": fast, "normal": normal, "max": Reached(shares[2], ms[2], 1, worst)})


def _nine(name, bound, shares, ms, within):
    normal, most = Reached(shares[0], ms[0]), Reached(shares[1], ms[1], within / 15, 1.012)
    return Fresh(name, NINE, 4, bound, {"normal": normal, "max": most})


def _held_out(name, shape, stride, bound, effort, share, worst):
    return Fresh(name, shape, stride, bound, {effort: Reached(share, None, 1, worst)}, held_out=True)


FRESH = (
    _four(_DECODE_1000, 7.73, 7.88, 0.9, 7.79, 4.1, 1.0100),
    _four(_DECODE_500, 8.29, 8.45, 0.9, 8.33, 3.6, 1.0100),
    _four(_IN512, 3.16, 3.23, 0.8, 3.19, 3.1, 1.0101),
    _four(_IN1024, 4.27, 4.36, 0.8, 4.31, 3.4, 1.0100),
    _four(_IN2048, 6.05, 6.16, 0.9, 6.09, 4.0, 1.0100),
    _eight(_DECODE_1000, 16.46, (16.92, 16.76, 16.61), (2.1, 7.6, 15), (3, 50), 1.0100),
    _eight(_DECODE_500, 17.04, (17.45, 17.34, 17.20), (2.1, 7.6, 15), (3, 51), 1.0101),
    _eight(_IN512, 11.11, (11.72, 11.47, 11.32), (2.1, 7.2, 15), (1, 48), 1.0102),
    _eight(_IN1024, 13.08, (13.68, 13.41, 13.26), (2.0, 7.3, 15), (1, 51), 1.0100),
    _eight(_IN2048, 15.74, (16.36, 16.07, 15.94), (2.3, 8.2, 17), (3, 52), 1.0100),
    Fresh(_DECODE_1000, EIGHT_OF_FOUR, 2, 16.11, {"normal": Reached(16.39, 5, 1, 1.0100)}),
    Fresh(_IN1024, EIGHT_OF_FOUR, 2, 12.62, {"normal": Reached(12.96, 6, 1, 1.0100)}),
    # Eight of nine nodes are homes.
    _nine(_DECODE_1000, 20.65, (25.3, 24.7), (51, 110), 13),
    _nine(_IN1024, 18.53, (22.0, 21.4), (32, 63), 12),
    # Kept back, so the name of the last one is a guess.
    _held_out("prefill-in4096", FOUR, 2, 7.97, "normal", 8.02, 1.0101),
    _held_out("decode-in2000out100", FOUR, 2, 5.89, "normal", 5.93, 1.0101),
    _held_out("deepseek-r1*", FOUR, 2, 3.14, "normal", 3.18, 1.0101),
    _held_out("prefill-in4096", EIGHT, 4, 18.75, "max", 18.98, 1.0100),
    _held_out("decode-in2000out100", EIGHT, 4, 15.38, "max", 15.56, 1.0100),
    _held_out("deepseek-r1*", EIGHT, 4, 11.73, "max", 12.00, 1.0100),
)

# Marks of the design, over all layers of the five traces, and each of these: points above the bound, and times the heap
# greedy; None where there is no mark.
MARKS = ((FOUR, "normal", 0.06, 150), (FOUR, "fast", None, 35), (EIGHT, "max", 0.21, 600))


@dataclass(frozen=True)
class Drift:
    """Loads before and after, shape, stride of layers. Study, with NORMAL: the imbalance if nothing moves; by target
    moves, off-home share, its bound, and the part of the layers that reach it."""

    name: str
    names: tuple[str, str]
    shape: Shape
    stride: int
    kept: float
    study: tuple


_DECODE = "decode -> decode", (_DECODE_1000, _DECODE_500)
_PREFILL = "prefill -> prefill", (_IN1024, _IN2048)
DRIFTS = (
    Drift(*_DECODE, FOUR, 2, 1.064, ((3.6, 7.30, 6.26, 1), (13.9, 7.48, 7.19, 1), (26.9, 7.70, 7.53, 1))),
    Drift(*_PREFILL, FOUR, 2, 1.189, ((12.2, 5.15, 4.54, 1), (26.8, 5.77, 5.53, 1), (39.8, 6.09, 5.92, 1))),
    Drift(*_DECODE, EIGHT, 4, 1.107, ((14.9, 15.7, 14.6, 1), (44.5, 16.2, 15.6, 1), (76.6, 16.6, 16.0, 1))),
    Drift(*_PREFILL, EIGHT, 4, 1.265, ((30.8, 15.5, 14.7, 1), (64.2, 16.3, 15.7, 1), (92.9, 16.7, 16.1, 14 / 15))),
)


# By shape and trace: sends of a token, and into the busiest node, both hierarchical, soft and global; imbalance of the
# hierarchical policy.
SENDS = {
    (FOUR, _DECODE_1000): ((2.337, 2.428, 2.717), (0.651, 0.619, 0.680), 1.310),
    (FOUR, _DECODE_500): ((2.338, 2.435, 2.717), (0.655, 0.621, 0.681), 1.331),
    (FOUR, _IN512): ((2.333, 2.373, 2.715), (0.613, 0.600, 0.680), 1.119),
    (FOUR, _IN1024): ((2.338, 2.390, 2.717), (0.622, 0.606, 0.681), 1.160),
    (FOUR, _IN2048): ((2.343, 2.415, 2.719), (0.636, 0.614, 0.681), 1.228),
    (EIGHT, _DECODE_1000): ((3.393, 3.880, 4.652), (0.662, 0.527, 0.588), 2.014),
    (EIGHT, _DECODE_500): ((3.392, 3.893, 4.655), (0.672, 0.530, 0.588), 2.061),
    (EIGHT, _IN512): ((3.410, 3.747, 4.651), (0.574, 0.500, 0.589), 1.547),
    (EIGHT, _IN1024): ((3.407, 3.799, 4.654), (0.601, 0.509, 0.588), 1.672),
    (EIGHT, _IN2048): ((3.398, 3.866, 4.663), (0.635, 0.520, 0.590), 1.860),
}
# The effort that soft groups need there.
SENDS_EFFORT = {FOUR: "normal", EIGHT: "max"}


@dataclass(frozen=True)
class Terms:
    """What a combined case asks for.

    Attributes:
        shape: slots are places of the rectangle, closed and spare ones included.
        speed, slots: by GPU; None: equal.
        empty: slots may stay, or become, empty.
        arrivals: most experts that a GPU gets in a layer.
        dead: a GPU that is lost between the placement before and the rebalance.
    """

    shape: Shape
    target: float
    policy: str = "soft"
    objective: str = "windows"
    speed: tuple[float, ...] | None = None
    slots: tuple[int, ...] | None = None
    empty: bool = True
    arrivals: int | None = None
    dead: int | None = None


@dataclass(frozen=True)
class Combined:
    """A case: its terms; by name what it is without one of them, as the terms that change; stride of layers. With a
    shape before it is a rebalance from a placement in that shape, for the windows before."""

    name: str
    terms: Terms
    without: dict = field(default_factory=dict)
    stride: int = 4
    before: Shape | None = None


SEEN = (_IN512, _IN1024, _IN2048, _DECODE_500)
# What a rebalance gets: the decode phase has changed.
LATER = (_IN512, _IN1024, _IN2048, _DECODE_1000)
_SLOW = (1.0, 0.7) * 16
_FEWER = tuple(3 if gpu in (0, 33) else 5 for gpu in range(64))
_SUM = {"sum of the windows": {"objective": "sum"}}
_GLOBAL = {"global policy": {"policy": "global"}}
_FILLED = {"all slots filled": {"empty": False}}
_EQUAL_SPEEDS = {"equal speeds": {"speed": None}}

COMBINED = (
    Combined(
        "fresh, every second GPU at speed 0.7",
        Terms(FOUR, TARGET, speed=_SLOW),
        {**_SUM, **_GLOBAL, **_EQUAL_SPEEDS, **_FILLED},
    ),
    Combined(
        "rebalance of that, GPU 5 dead, one spare place on each GPU, 2 arrivals",
        Terms(Shape(4, 32, 320), 1.02, speed=_SLOW, arrivals=2, dead=5),
        {
            **_SUM,
            **_GLOBAL,
            **_EQUAL_SPEEDS,
            "any arrivals": {"arrivals": None},
            "no GPU dead": {"dead": None},
            "no slot becomes empty": {"empty": False},
        },
        before=FOUR,
    ),
    Combined(
        "fresh, GPUs 0 and 33 with 3 of 5 slots",
        Terms(EIGHT, TARGET, slots=_FEWER),
        {**_SUM, **_GLOBAL, "equal slots": {"slots": None}, **_FILLED},
    ),
)
