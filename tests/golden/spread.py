"""A placement made for splits, for one layer, in plain Python: docs/algorithms.md, section 18."""

import itertools
from dataclasses import dataclass

from philox import Chance, below

FASTEST = 1 << 16
STAGE = 10
PARTS, MOST_PARTS, SOFTENING = 1 << 10, 1 << 16, 1 << 10
DEAREST = 1 << 24
PROPOSALS = {"fast": 4, "normal": 16, "max": 64}


def cost_of_scarcity(load, usual):
    parts = min(load * PARTS // usual, MOST_PARTS)
    return DEAREST * SOFTENING // (parts * parts + SOFTENING)


@dataclass
class Layer:
    """Of each GPU: its open slots, pace and node; replicas stay on their nodes."""

    weights: list  # as integers
    rows: int  # slots of a GPU, closed ones included
    slots: list
    pace: list
    node: list

    @property
    def open(self):
        return [gpu for gpu, slots in enumerate(self.slots) if slots]

    def mean(self):
        """Time, in parts of 2^-8."""
        return (sum(self.weights) << 24) // sum(self.pace[gpu] for gpu in self.open)

    def limit(self, target):
        """A time; target: in parts of 2^-20."""
        time = self.mean() * target >> 28
        return max(-(-self.mean() // 256), time - min(2 * self.rows, time // 1024))


class Spread:
    """placement: by slot. A replica is (expert, its number among all, the largest first)."""

    def __init__(self, layer, placement, target, seed):
        self.layer, self.chance, self.drawn = layer, Chance(seed, STAGE, 0), itertools.count()
        self.was = placement
        count = {expert: placement.count(expert) for expert in placement if expert >= 0}
        self.size = {expert: layer.weights[expert] // copies for expert, copies in count.items()}
        self.split = {expert for expert, copies in count.items() if copies > 1}
        slots = [slot for slot, expert in enumerate(placement) if expert >= 0]
        slots.sort(key=lambda slot: (-self.size[placement[slot]], slot % layer.rows, slot // layer.rows))
        self.expert = [placement[slot] for slot in slots]  # by replica
        self.gpu = [slot // layer.rows for slot in slots]
        time = max(-(-load * FASTEST // pace) for load, pace in zip(self.loads(), layer.pace, strict=True))
        self.limit = [max(time, layer.limit(target)) * pace // FASTEST for pace in layer.pace]

    def loads(self, among=None):
        """By GPU, of all experts or of some."""
        load = [0] * len(self.layer.slots)
        for expert, gpu in zip(self.expert, self.gpu, strict=True):
            load[gpu] += self.size[expert] if among is None or expert in among else 0
        return load

    # -------------------------------------------------------------------------------------------- cost

    def cost(self):
        """Components of the graph come first."""
        mean, nodes = -(-self.layer.mean() // 256), len(set(self.layer.node))
        usual = [max(1, mean * pace // FASTEST) for pace in self.layer.pace]
        movable = self.loads(self.split)
        components, bridges = self.cost_of_graph(nodes)
        return components, bridges + sum(cost_of_scarcity(movable[gpu], usual[gpu]) for gpu in self.layer.open)

    def cost_of_graph(self, nodes):
        mean = max(1, sum(self.loads()) // len(self.layer.open))
        together = len(self.layer.open) // nodes
        edges = {edge for edge in zip(self.expert, self.gpu, strict=True) if edge[0] in self.split}
        components = {min(reachable(gpu, edges)) for gpu in self.layer.open}
        cost = 0
        for expert, gpu in edges:
            sides = [reachable(gpu, edges - {(expert, gpu)}), reachable(gpu, edges)]
            behind = sides[0] if min(sides[1]) not in sides[0] else sides[1] - sides[0]
            if sides[0] != sides[1]:
                narrow = cost_of_scarcity(self.size[expert], mean)
                cost += narrow * max(0, min(len(behind), together - len(behind)))
        return len(components), cost

    # ------------------------------------------------------------------------------------------ search

    def draw(self, n):
        return below(self.chance.word(0, next(self.drawn)), n)

    def run(self, effort):
        replicas, nodes = len(self.expert), len(set(self.layer.node))
        cost = self.cost()
        for _ in range(PROPOSALS[effort] * nodes * replicas if self.split else 0):
            one = self.draw(replicas)
            other = one + 1 + self.draw(max(16, replicas // 8))
            if other >= replicas or not self.is_possible(one, other):
                continue
            self.swap(one, other)
            then = self.cost()
            if then < cost:
                cost = then
            else:
                self.swap(one, other)

    def swap(self, one, other):
        self.gpu[one], self.gpu[other] = self.gpu[other], self.gpu[one]

    def is_possible(self, one, other):
        expert, gpu = [self.expert[one], self.expert[other]], [self.gpu[one], self.gpu[other]]
        there = set(zip(self.expert, self.gpu, strict=True))
        if gpu[0] == gpu[1] or expert[0] == expert[1] or not self.split & set(expert):
            return False
        if (expert[0], gpu[1]) in there or (expert[1], gpu[0]) in there:
            return False
        if self.layer.node[gpu[0]] != self.layer.node[gpu[1]]:
            return False
        self.swap(one, other)
        load = self.loads()
        self.swap(one, other)
        return all(load[g] <= self.limit[g] for g in gpu)

    # ------------------------------------------------------------------------------------------- slots

    def placement(self):
        """What stays on a GPU stays in its slot; the rest in ascending order."""
        found = []
        for gpu, slots in enumerate(self.layer.slots):
            left = [expert for expert, on in zip(self.expert, self.gpu, strict=True) if on == gpu]
            row = [-1] * self.layer.rows
            for slot in range(slots):
                expert = self.was[gpu * self.layer.rows + slot]
                if expert in left:
                    row[slot] = expert
                    left.remove(expert)
            for expert in sorted(left):
                row[row.index(-1)] = expert
            found += row
        return found


def reachable(gpu, edges):
    """GPUs, over the experts that they share."""
    found, more = set(), {gpu}
    while more != found:
        found = more
        experts = {expert for expert, on in edges if on in found}
        more = found | {on for expert, on in edges if expert in experts}
    return found
