"""Philox4x32-10, the hash behind all chance in libeplb.

Chance is a pure function of what it is for (seed, stage, node, chain, draw), never a stream: no state has to be
carried or shared, so chains can run in any order and on any machine. There is no layer number in it, because a
layer's answer must not depend on the layers beside it.

Source: Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3 (SC11).
"""

WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1: what the key grows by after every round
ROUNDS = 10


def philox4x32_10(counter, key):
    """Four 32-bit words from a counter of four and a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        left, right = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (right >> 32) ^ c1 ^ k0, right & WORD, (left >> 32) ^ c3 ^ k1, left & WORD
        k0, k1 = (k0 + KEY_STEPS[0]) & WORD, (k1 + KEY_STEPS[1]) & WORD
    return c0, c1, c2, c3


def below(word, n):
    """A number from 0 to n - 1."""
    return word * n >> 32


class Chance:
    """The chance of one packing or search: what it is for (stage) and where (node) under which seed."""

    GROUPS_ON_NODES = 1
    REPLICAS_ON_GPUS = 2
    NOISY_COUNTS = 3
    RETARGET = 6
    SEARCH = 7
    KICK = 8
    PROPOSAL = 9

    def __init__(self, seed, stage, node):
        self.key = (seed & WORD, seed >> 32)
        self.stage = stage
        self.node = node

    def word(self, chain, item):
        """32 bits: output word 0 for counter (draw, chain, node, stage). In packing the draw is the item."""
        return philox4x32_10((item, chain, self.node, self.stage), self.key)[0]

    def fraction(self, chain, item):
        """u of 24 bits: the top ones of the word. It stands for u / 2^24 in [0, 1)."""
        return self.word(chain, item) >> 8
