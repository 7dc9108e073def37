"""BEST: the search on three or more slots per GPU. docs/algorithms.md sections 7.6 and 7.7."""

import itertools

from best_counts import Replicas
from best_state import State
from philox import WORD, Chance, below

PATIENCE = 20
TENURE, TENURE_SPREAD = 4, 8
GOLDEN = 0x9E3779B1  # spreads a word over 32 bits: a second number from one draw
PAIR_PER_GPU = range(4, 17)
PAIR_GPUS, PAIR_BLOCK = 64, 16
WALK_LOOKS = 8
RETARGET_TRIES = 8


class Search:
    """One chain. `bound` is that of the counts; a load is good enough mean / 2^fine above the mean."""

    def __init__(self, state, chain, bound, fine):
        self.node, self.state, self.chain = state.node, state, chain
        self.fine = fine
        self.best = max(state.load)
        self.enough = max(bound, self.nearly_mean())
        self.tabu_until = [0] * self.node.slots
        self.saved = None  # the state before a re-target that has not brought a best state yet
        self.log = []  # swaps since the best state
        self.patience = PATIENCE
        self.step = self.stale = self.turn = self.draws = self.spent = 0

    def nearly_mean(self):
        return self.node.mean + (self.node.mean >> self.fine)

    def draw(self):
        self.draws += 1
        return self.node.u(Chance.SEARCH, self.chain, self.draws - 1)

    def run(self, budget):
        """Leaves the best state. The budget counts steps; what is dearer counts as several."""
        while self.spent < budget and self.take_step():
            pass
        if max(self.state.load) < self.best:
            self.keep()
        self.go_back()

    def keep(self):
        """The present state is the best, or as good."""
        load = max(self.state.load)
        if load < self.best or self.saved:
            self.saved = None
            self.patience = PATIENCE
        if load < self.best:
            self.stale = 0
        self.best = load
        self.log = []

    def go_back(self):
        if self.saved:
            self.state, self.saved = self.saved, None
            self.tabu_until = [0] * self.node.slots
            self.log = []
        while self.log:
            self.state.exchange(*self.log.pop())

    def take_step(self):
        """False when the best is good enough."""
        if max(self.state.load) <= self.best:
            self.keep()
        if self.best <= self.enough:
            return False
        self.spent += 1
        self.step += 1
        if self.stale < self.patience and self.swap(self.state.heaviest()):
            return True
        self.go_back()
        self.stale, self.patience = 0, PATIENCE
        self.shake(self.state.heaviest())
        return True

    def shake(self, heaviest):
        if self.node.slots > self.node.experts and self.best > self.node.mean + self.node.mean // 512:
            self.turn += 1
            if self.turn % 4 == 0 and self.retarget(heaviest):
                return
        if self.node.per_gpu not in PAIR_PER_GPU or not self.pair_swap(heaviest):
            self.walk(heaviest)

    def is_tabu(self, replica):
        return self.tabu_until[replica] > self.step

    def swap(self, heaviest):
        """The best swap of a replica on the heaviest GPU with a smaller one, even if it makes something worse."""
        state, size = self.state, self.state.replicas.size
        limit, chosen = 2 * state.load[heaviest] - min(state.load), None
        for give in state.on(heaviest):
            for take in range(self.node.slots):
                if size[take] >= size[give] or state.gpu(take) == heaviest:
                    continue
                value = max(state.loads_after(give, take))
                if value >= limit or (value >= self.best and (self.is_tabu(give) or self.is_tabu(take))):
                    continue
                if not state.clash(give, take):
                    limit, chosen = value, (give, take)
        if chosen is None:
            return False
        state.exchange(*chosen)
        random = self.draw()
        for replica, word in zip(chosen, (random, random * GOLDEN & WORD), strict=True):
            self.tabu_until[replica] = self.step + TENURE + below(word, TENURE_SPREAD)
        self.log.append(chosen)
        self.stale += 1
        return True

    def pair_blocks(self):
        """Blocks of GPUs in which partners for a pair are looked for."""
        rows = -(-self.node.gpus // PAIR_BLOCK) * PAIR_BLOCK
        count = min(rows, PAIR_GPUS)
        first = 0 if count == rows else PAIR_BLOCK * below(self.draw(), rows // PAIR_BLOCK)
        pairs = self.node.per_gpu * (self.node.per_gpu - 1) // 2
        self.spent += 1 + pairs * pairs * count // 4096
        for block in range(first, first + count, PAIR_BLOCK):
            from_gpu = block % rows
            yield range(from_gpu, min(from_gpu + PAIR_BLOCK, self.node.gpus))

    def pair_swap(self, heaviest):
        """Two replicas of the heaviest GPU for two of another, if both loads stay below."""
        state, size = self.state, self.state.replicas.size
        mine = list(itertools.combinations(state.on(heaviest), 2))
        limit, chosen = 2 * state.load[heaviest], None
        for gpus in self.pair_blocks():
            slot_pairs = itertools.combinations(range(self.node.per_gpu), 2)
            for (i, j), gpu in itertools.product(slot_pairs, gpus):
                if gpu == heaviest:
                    continue
                theirs = state.on(gpu)[i], state.on(gpu)[j]
                both, apart = state.load[heaviest] + state.load[gpu], state.load[heaviest] - state.load[gpu]
                for pair in mine:
                    shift = size[pair[0]] + size[pair[1]] - size[theirs[0]] - size[theirs[1]]
                    value = both + abs(2 * shift - apart)
                    if value < limit and not self.pairs_clash(pair, theirs):
                        limit, chosen = value, (pair, theirs)
        if chosen is None:
            return False
        for give, take in zip(*chosen, strict=True):
            state.exchange(give, take)
        return True

    def pairs_clash(self, mine, theirs):
        state, expert = self.state, self.state.replicas.expert
        return any(
            state.copies_on(state.gpu(leaving[0]), expert[replica], leaving) > 0
            for arriving, leaving in ((mine, theirs), (theirs, mine))
            for replica in arriving
        )

    def walk(self, heaviest):
        """A few exchanges among the other GPUs that keep every load below the heaviest."""
        state, size = self.state, self.state.replicas.size
        self.spent += 1
        for _ in range(min(max(self.node.gpus // 8, 2), 16)):
            p = below(self.draw(), self.node.slots)
            if state.gpu(p) == heaviest:
                continue
            after = state.replicas.of(state.replicas.expert[p]).stop
            for q in range(after, min(after + WALK_LOOKS, self.node.slots)):
                fits = state.load[state.gpu(q)] + size[p] - size[q] < state.load[heaviest]
                if state.gpu(q) not in (heaviest, state.gpu(p)) and fits and not state.clash(p, q):
                    state.exchange(p, q)
                    break

    def retarget(self, heaviest):
        """A replica changes its expert: of eight tries the one with the least load where load is gained."""
        least, chosen = None, None
        for _ in range(RETARGET_TRIES):
            r = self.node.u(Chance.RETARGET, self.chain, 2 * self.draws)
            s = self.node.u(Chance.RETARGET, self.chain, 2 * self.draws + 1)
            self.draws += 1
            p, gets = below(r, self.node.slots), self.expert_for(s, heaviest)
            value = self.retarget_value(p, gets)
            if value is not None and (least is None or value < least):
                least, chosen = value, (p, gets)
        if chosen is None:
            return False
        self.saved = self.state.copy()
        self.state = change_expert(self.state, *chosen)
        self.tabu_until = [0] * self.node.slots
        self.spent += self.node.slots // 12
        self.patience = max(2 * PATIENCE, self.node.slots // 4)
        self.log = []
        self.enough = self.nearly_mean()
        return True

    def expert_for(self, word, heaviest):
        """Which expert is to get a copy: one of the heaviest GPU, or any."""
        expert = self.state.replicas.expert
        if word % 2 == 1:
            return expert[self.state.on(heaviest)[below(word, self.node.per_gpu)]]
        return expert[below(word, self.node.slots)]

    def retarget_value(self, p, b):
        """The largest load of the GPUs that gain; None if the replica p cannot become one of expert b."""
        state, count, weights = self.state, self.state.replicas.count, self.node.weights
        a, gpu, size = state.replicas.expert[p], state.gpu(p), state.replicas.size[p]
        if count[a] == 1 or a == b or count[b] >= self.node.most or state.copies_on(gpu, b) > 0:
            return None
        gained = [state.load[gpu] - size + weights[b] // (count[b] + 1)]
        others = [other for other in state.replicas.of(a) if other != p]
        gained += [state.load[state.gpu(other)] - size + weights[a] // (count[a] - 1) for other in others]
        return max(gained)


def change_expert(state, p, b):
    """The slot of replica p holds the last copy of expert b; all other copies keep their slots and their order."""
    node, old = state.node, state.replicas
    slots_of = [[state.slot[replica] for replica in old.of(expert) if replica != p] for expert in range(node.experts)]
    slots_of[b].append(state.slot[p])
    replicas = Replicas(node.weights, [len(slots) for slots in slots_of])
    slot = [0] * node.slots
    for expert, slots in enumerate(slots_of):
        for replica, own in zip(replicas.of(expert), slots, strict=True):
            slot[replica] = own
    return State(node, replicas, slot)
