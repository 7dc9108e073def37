"""BEST: replicas in order of size, what counts of them can reach, and the rules that choose counts.

docs/algorithms.md sections 7.1 and 7.2.
"""

from dataclasses import dataclass

from philox import Chance


@dataclass(frozen=True)
class Node:
    """One node of a layer, or a whole layer: what is to be placed, and under which chance."""

    weights: list  # integers, by expert
    slots: int
    gpus: int
    max_replicas: int  # 0: no cap
    seed: int
    index: int  # which node of the layer

    @property
    def experts(self):
        return len(self.weights)

    @property
    def per_gpu(self):
        return self.slots // self.gpus

    @property
    def mean(self):
        return sum(self.weights) // self.gpus

    @property
    def most(self):
        """The largest number of copies of an expert. Where experts are too few for the slots it exceeds the GPUs."""
        cap = min(self.gpus, self.max_replicas) if self.max_replicas else self.gpus
        return max(cap, -(-self.slots // self.experts))

    def u(self, stage, chain, draw):
        return Chance(self.seed, stage, self.index).word(chain, draw)


class Replicas:
    """Replicas numbered by (size descending, expert): copies of an expert are neighbours."""

    def __init__(self, weights, count):
        self.count = list(count)
        self.size, self.expert, self.first = [], [], [0] * len(weights)
        share = [weight // copies for weight, copies in zip(weights, count, strict=True)]
        for expert in sorted(range(len(weights)), key=lambda e: (-share[e], e)):
            self.first[expert] = len(self.size)
            self.size += [share[expert]] * count[expert]
            self.expert += [expert] * count[expert]

    def of(self, expert):
        return range(self.first[expert], self.first[expert] + self.count[expert])

    def largest(self, n):
        return sum(self.size[:n])

    def smallest(self, n):
        return sum(self.size[len(self.size) - n :])


BOUND_DEPTH = 64


def bound(node, replicas):
    """No placement of these replicas has a largest load below this."""
    gpus, per_gpu, size = node.gpus, node.per_gpu, replicas.size
    least = -(-sum(size) // gpus)
    for j in range(min(per_gpu, BOUND_DEPTH)):  # of jG + 1 replicas some j + 1 share a GPU
        together = sum(size[j * gpus - j : j * gpus + 1])
        least = max(least, together + replicas.smallest(per_gpu - 1 - j))
    if per_gpu > 1:
        for m in range(2, gpus + 1):  # the m largest are on m GPUs, or two of them share one
            apart = -(-(replicas.largest(m) + replicas.smallest((per_gpu - 1) * m)) // m)
            shared = size[m - 1] + size[m - 2] + replicas.smallest(per_gpu - 2)
            least = max(least, min(apart, shared))
    return least


@dataclass(frozen=True)
class Rule:
    floors: int  # in twentieths of what a GPU can give one replica; 0: no floors
    b: int  # an extra goes to the largest 8 v / (16 c + b); 0: D'Hondt


RULES = (Rule(0, 0), Rule(0, 16), Rule(17, -14), Rule(0, 4), Rule(0, -6), Rule(0, 8), Rule(0, -10), Rule(20, -14))


def floors(node, weights, rule):
    """The copies that each expert has before extras are given; None if the rule fails."""
    if rule.floors == 0:
        return [1] * node.experts
    fill = sum(sorted(weights)[: node.per_gpu - 1])
    cap = (node.mean + node.mean // 1000 - fill) * rule.floors // 20
    if cap <= 0:
        return None
    count = [-(-weight // cap) if weight > cap else 1 for weight in weights]
    return None if max(count) > node.most or sum(count) > node.slots else count


def count_by_rule(node, weights, rule):
    """The copies of each expert, or None if the rule fails."""
    count = floors(node, weights, rule)
    if count is None:
        return None
    for _ in range(node.slots - sum(count)):
        open_experts = [e for e in range(node.experts) if count[e] < node.most]
        count[max(open_experts, key=lambda e: 8 * weights[e] // (16 * count[e] + rule.b))] += 1
    return count


def count_by_noisy_rule(node, rule, depth, chain):
    """The rule on weights that chance makes smaller by up to 1 / 2^depth of each."""
    chance = Chance(node.seed, Chance.NOISY_COUNTS, node.index)
    noisy = [
        weight - (weight * chance.fraction(chain, expert) >> (24 + depth)) for expert, weight in enumerate(node.weights)
    ]
    return count_by_rule(node, noisy, rule)
