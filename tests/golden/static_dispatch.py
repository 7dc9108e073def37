"""Static dispatch of a layer in plain Python: each source rank uses one replica of an expert, for all of its tokens.

Ranks have equally many tokens of every expert. With R of them an expert has R units, and a replica those of the ranks
that use it. Loads are in R-ths of a token.
"""

from fractions import Fraction

from split import UNIT, Graph, Split, by_remainder

FASTEST = 1 << 16
SHORT, LONG = (1, 2), (3, 4)  # moves of a chain
MOST_TRIES = 1 << 14  # moves that are tried for chains
MOST_LOOKS = 1 << 28  # at GPUs, and at pairs of slots for swaps


class StaticDispatch:
    """Who uses which slot, such that the busiest GPU has little: `table`[rank][expert] is a slot, -1: there is none.

    Units are first as close to the best split as they can be. Then the busiest GPU is relieved, by chains of moves of
    one unit each, or by swaps of two slots' experts, until its time is within `tolerance` of the bound, or nothing
    helps. row: the expert of each slot, as they are after the swaps. bound: no split of tokens has a lower largest
    time, which is that of the placement given if `most_swaps` is 0, and of any placement otherwise. closed: GPUs that
    have no slots.
    """

    def __init__(
        self, row, paces, tokens, ranks=None, nodes=None, tolerance=0, most_swaps=0, within_nodes=False, closed=()
    ):
        self.paces, self.tokens = paces, tokens
        self.row, self.each, self.ranks = row[:], len(row) // len(paces), ranks or len(paces)
        self.node = nodes or [0] * len(paces)
        self.within_nodes, self.most_swaps = within_nodes, most_swaps
        split = Split(Graph(row, paces), tokens)
        self.units = self.start(split)
        self.slots = {expert: [] for expert in split.graph.copies}
        for slot, expert in enumerate(row):
            if expert >= 0:
                self.slots[expert].append(slot)
        self.load = [0] * len(paces)
        for slot, units in enumerate(self.units):
            self.load[self.gpu(slot)] += units * tokens[row[slot]]
        self.bound = split.bound
        if most_swaps:
            open_paces = sum(pace for gpu, pace in enumerate(paces) if gpu not in closed)
            self.bound = Fraction(sum(self.load), self.ranks * open_paces)
        self.tries = self.swaps = self.looks = 0
        self.improve(self.bound * self.ranks * FASTEST * (UNIT + tolerance) / UNIT)
        self.table = self.assign()

    def start(self, split):
        """Of the best split, in units."""

        def in_units(expert):
            return by_remainder(self.ranks, split.tokens_on(expert) or split.graph.weights(expert))

        return split.by_slot(in_units)

    def gpu(self, slot):
        return slot // self.each

    def time(self, gpu, more=0):
        return (self.load[gpu] + more) * FASTEST // self.paces[gpu]

    def busiest(self, gpus):
        return max(gpus, key=lambda gpu: (self.time(gpu), -gpu))

    def improve(self, goal):
        while self.looks < MOST_LOOKS:
            head = self.busiest(range(len(self.load)))
            if self.time(head) <= goal or not self.relieve(head):
                return
            self.looks += len(self.load)

    def relieve(self, head):
        return self.relieve_by_chain(head, SHORT) or self.relieve_by_swap(head) or self.relieve_by_chain(head, LONG)

    # ----------------------------------------------------------------------------------------- chains

    def move(self, source, target, units=1):
        for slot, change in ((source, -units), (target, units)):
            self.units[slot] += change
            self.load[self.gpu(slot)] += change * self.tokens[self.row[slot]]

    def relieve_by_chain(self, head, lengths):
        """The chain with the lowest largest time of the GPUs that it touches; of equals the first, and few moves."""
        for moves in lengths:
            self.best, self.chain = self.time(head), None
            self.follow([], [head], moves)
            if self.chain:
                for move in self.chain:
                    self.move(*move)
                return True
        return False

    def follow(self, chain, touched, moves):
        """All chains that go on from here: the busiest of the GPUs that were touched gives a unit."""
        source_gpu = self.busiest(touched)
        if self.time(source_gpu) < self.best:
            self.best, self.chain = self.time(source_gpu), chain[:]
        if sum(self.time(gpu) >= self.best for gpu in touched) > moves or not moves:
            return
        for source in range(source_gpu * self.each, (source_gpu + 1) * self.each):
            if not self.units[source]:
                continue
            for target in self.slots[self.row[source]]:
                if self.gpu(target) == source_gpu:
                    continue
                if self.tries == MOST_TRIES:
                    return
                self.tries += 1
                self.move(source, target)
                gpus = touched if self.gpu(target) in touched else [*touched, self.gpu(target)]
                self.follow([*chain, (source, target)], gpus, moves - 1)
                self.move(target, source)

    # ------------------------------------------------------------------------------------------ swaps

    def load_of(self, slot):
        return self.units[slot] * self.tokens[self.row[slot]] if self.row[slot] >= 0 else 0

    def can_swap(self, mine, other):
        gpus = self.gpu(mine), self.gpu(other)
        if gpus[0] == gpus[1] or min(self.row[mine], self.row[other]) < 0:
            return False
        if self.within_nodes and self.node[gpus[0]] != self.node[gpus[1]]:
            return False
        for slot, gpu in ((mine, gpus[1]), (other, gpus[0])):  # nowhere twice
            if any(self.gpu(there) == gpu for there in self.slots[self.row[slot]]):
                return False
        return True

    def relieve_by_swap(self, head):
        """The swap with the lowest largest time of the two GPUs; ties: the lowest other slot, then the lowest here."""
        looks = self.looks + len(self.row) * self.each
        if self.swaps == self.most_swaps or looks > MOST_LOOKS:
            return False
        self.looks = looks
        swaps = []
        for mine in range(head * self.each, (head + 1) * self.each):
            for other in range(len(self.row)):
                less = self.load_of(mine) - self.load_of(other)
                if less > 0 and self.can_swap(mine, other):
                    swaps.append((max(self.time(head, -less), self.time(self.gpu(other), less)), other, mine))
        if not swaps or min(swaps)[0] >= self.time(head):
            return False
        _, other, mine = min(swaps)
        self.swap(mine, other)
        return True

    def swap(self, mine, other):
        less = self.load_of(mine) - self.load_of(other)
        self.load[self.gpu(mine)] -= less
        self.load[self.gpu(other)] += less
        for slot, new in ((mine, other), (other, mine)):
            there = self.slots[self.row[slot]]
            there[there.index(slot)] = new
        self.row[mine], self.row[other] = self.row[other], self.row[mine]
        self.units[mine], self.units[other] = self.units[other], self.units[mine]
        self.swaps += 1

    # ------------------------------------------------------------------------------------------ ranks

    def gpu_of_rank(self, rank):
        return rank * len(self.load) // self.ranks

    def assign(self):
        """By rank and expert: the rank's own GPU first, then its node, then the rest, each in order."""
        table = [[-1] * len(self.tokens) for _ in range(self.ranks)]
        for expert, slots in self.slots.items():
            left = {slot: self.units[slot] for slot in sorted(slots)}
            for near in (self.is_same_gpu, self.is_same_node, lambda rank, slot: True):
                for rank in range(self.ranks):
                    slot = next((slot for slot in left if left[slot] and near(rank, slot)), -1)
                    if table[rank][expert] < 0 and slot >= 0:
                        table[rank][expert] = slot
                        left[slot] -= 1
        return table

    def is_same_gpu(self, rank, slot):
        return self.gpu_of_rank(rank) == self.gpu(slot)

    def is_same_node(self, rank, slot):
        return self.node[self.gpu_of_rank(rank)] == self.node[self.gpu(slot)]
