"""BEST: the search for counts on two slots per GPU. docs/algorithms.md section 7.9."""

from best_counts import Replicas
from philox import WORD, Chance, below

GOLDEN = 0x9E3779B1
GUIDED = 26  # of 32 proposals look at a pair above the target
STALE = 600
KICK_MOVES = 3


def pair_loads(replicas):
    """The largest with the smallest, and so on inwards: pair i is replicas i and S - 1 - i."""
    size = replicas.size
    return [size[i] + size[-1 - i] for i in range(len(size) // 2)]


def pair_up(replicas):
    """The partner of each replica i < G: S - 1 - i, but no expert meets itself where that can be avoided."""
    expert, gpus = replicas.expert, len(replicas.expert) // 2
    partner = [2 * gpus - 1 - i for i in range(gpus)]
    for i in reversed(range(gpus)):
        if expert[i] != expert[partner[i]]:
            continue
        for j in reversed(range(i)):
            if expert[i] not in (expert[j], expert[partner[j]]):
                partner[i], partner[j] = partner[j], partner[i]
                break
    return partner


def place_pairs(node, count):
    """(largest load, expert in each slot) of counts."""
    replicas = Replicas(node.weights, count)
    partner = pair_up(replicas)
    loads = [replicas.size[i] + replicas.size[j] for i, j in enumerate(partner)]
    return max(loads), [replicas.expert[replica] for pair in enumerate(partner) for replica in pair]


class CountSearch:
    """One chain. `kept` are the counts with the least largest pair."""

    def __init__(self, node, chain, count):
        self.node, self.chain = node, chain
        self.draws = self.stale = 0
        self.take(count)
        self.best, self.kept = max(self.loads), count
        self.aim()

    def take(self, count):
        """Goes on from these counts."""
        self.count = list(count)
        self.replicas = Replicas(self.node.weights, self.count)
        self.loads = pair_loads(self.replicas)

    def aim(self):
        """A target below the best load; what pairs exceed it by is to become 0."""
        self.target = self.best - self.best * 6 // 1024
        self.violation = self.violation_of(self.loads)

    def violation_of(self, loads):
        return sum(max(0, load - self.target) for load in loads)

    def keep_if_best(self):
        if max(self.loads) < self.best:
            self.best, self.kept, self.stale = max(self.loads), self.count, 0

    def split_experts(self):
        """Experts that can give a copy, in order of their first replica."""
        count = self.replicas.count
        return [expert for expert in dict.fromkeys(self.replicas.expert) if count[expert] > 1]

    def moved(self, a, b):
        """The counts with one copy less of a and one more of b."""
        count = list(self.count)
        count[a] -= 1
        count[b] += 1
        return count

    def run(self, proposals):
        for _ in range(proposals):
            self.propose()

    def propose(self):
        split = self.split_experts()
        r = self.node.u(Chance.PROPOSAL, self.chain, 2 * self.draws)
        s = self.node.u(Chance.PROPOSAL, self.chain, 2 * self.draws + 1)
        self.draws += 1
        a, b = split[below(r, len(split))], self.receiver(r, s)
        self.stale += 1
        if self.stale > STALE:
            self.kick(split)
            return
        if a == b or self.count[b] >= self.node.most or self.cannot_help(a, b):
            return
        count = self.moved(a, b)
        violation = self.violation_of(pair_loads(Replicas(self.node.weights, count)))
        if violation >= self.violation:
            return
        self.take(count)
        self.violation = violation
        self.keep_if_best()
        if violation == 0:
            self.aim()

    def receiver(self, r, s):
        """Mostly the owner of a pair above the target, mostly of its larger replica."""
        over = [i for i, load in enumerate(self.loads) if load > self.target]
        if over and (r * GOLDEN & WORD) >> 27 < GUIDED:
            i = over[below(s, len(over))]
            return self.replicas.expert[-1 - i if s % 4 == 0 else i]
        return below(s, self.node.experts)

    def too_many(self):
        """The sizes of which there are more than fit partners, as disjoint ranges."""
        size, ranges = self.replicas.size, []
        for i, load in enumerate(self.loads):
            if load > self.target:
                ranges.append((max(self.target - size[-1 - i], self.target // 2), size[i]))
        merged, end = [], 0
        for low, high in sorted(ranges):
            if high > max(low, end):
                merged.append((max(low, end), high))
                end = high
        return merged

    def cannot_help(self, a, b):
        """Prices show that V does not fall."""
        ranges = self.too_many()

        def below_size(x):
            return sum(max(0, min(x, high) - low) for low, high in ranges)

        def price(expert, copies):
            size = self.node.weights[expert] // copies
            return copies * (below_size(size) - below_size(self.target - size))

        give = price(a, self.count[a] - 1) - price(a, self.count[a])
        take = price(b, self.count[b] + 1) - price(b, self.count[b])
        return give + take >= 0

    def kick(self, split):
        """Back to the best counts, and three moves from there."""
        self.take(self.kept)
        for _ in range(KICK_MOVES):
            a = split[below(self.node.u(Chance.KICK, self.chain, self.draws), len(split))]
            b = below(self.node.u(Chance.KICK, self.chain, self.draws + 1), self.node.experts)
            self.draws += 2
            if a != b and self.count[a] > 1 and self.count[b] < self.node.most:
                self.take(self.moved(a, b))
        self.stale = 0
        self.aim()
        self.keep_if_best()
