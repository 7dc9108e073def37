"""The two kinds of numbers that a layer's weights become: float32 for GREEDY, integers for all that is ours."""

import math
import struct
from fractions import Fraction

FLOAT32_DIGITS = 24
QUANTA = 1 << 29  # a quantised layer sums to less than this, so every load and score fits an int32


def float32(x):
    """The float32 nearest to x, ties to even; infinity above its range. x is an int or a float and is rounded once.

    An int above 2^53 must not pass through a double on the way: it would be rounded twice. The result of + or / of two
    float32 in double may: 53 digits are more than 2 * 24 + 2, so the second rounding sees all it needs.
    """
    if isinstance(x, int):
        dropped = max(x.bit_length() - FLOAT32_DIGITS, 0)
        kept, rest, half = x >> dropped, x & ((1 << dropped) - 1), (1 << dropped) >> 1
        if dropped and (rest > half or (rest == half and kept & 1)):
            kept += 1
        x = float(kept << dropped)
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.inf


class Float32:
    """The published program's numbers: every operation is rounded to float32, in the program's order."""

    @staticmethod
    def read(weights):
        """Weights as float32. If all are 0 there, they count as ones: also a layer that was not 0 in float64."""
        read = [float32(w) + 0.0 for w in weights]  # + 0.0: -0.0 is 0
        return read if any(read) else [1.0] * len(read)

    @staticmethod
    def add(a, b):
        return float32(a + b)

    @staticmethod
    def share(weight, copies):
        return float32(weight / copies)

    @staticmethod
    def heavier(weight_a, copies_a, weight_b, copies_b):
        """Whether a replica of a carries more than one of b."""
        return Float32.share(weight_a, copies_a) > Float32.share(weight_b, copies_b)


class Integer:
    """Our numbers: exact, so that any order of summation, any machine and any number of lanes agree."""

    @staticmethod
    def read(weights):
        return quantise(weights)

    @staticmethod
    def add(a, b):
        return a + b

    @staticmethod
    def share(weight, copies):
        """Size of a replica: rounded down. What is lost is below one quantum."""
        return weight // copies

    @staticmethod
    def heavier(weight_a, copies_a, weight_b, copies_b):
        """Cross-multiplied: the quotients themselves are never rounded."""
        return weight_a * copies_b > weight_b * copies_a


def quanta(weights, p):
    """max(1, weight * 2^p rounded half up), exactly. A weight of 0 gets 1 too: an expert always needs a place."""
    scale = Fraction(2) ** p
    return [max(1, math.floor(w * scale + Fraction(1, 2))) for w in weights]


def quantise(weights):
    """A layer's weights as integers: quanta() at the largest p for which they sum to less than 2^29. p may be negative.

    Weights are taken exactly: ints as they are, floats with all their digits, denormals too. All zeros count as ones.
    """
    exact = [Fraction(w) for w in weights]
    if not any(exact):
        exact = [Fraction(1)] * len(exact)
    # The sum grows with p. Start where the heaviest alone is at least 2^29 and come down to the first p that fits.
    heaviest = max(exact)
    p = heaviest.denominator.bit_length() - heaviest.numerator.bit_length() + QUANTA.bit_length()
    while sum(quanta(exact, p)) >= QUANTA:
        p -= 1
    return quanta(exact, p)
