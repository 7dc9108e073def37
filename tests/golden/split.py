"""The best split of tokens over the replicas of a given placement, in plain Python, for one layer."""

from fractions import Fraction

SWEEPS = 4
SHARES = 1 << 16  # of an expert, over its slots
UNIT = 1 << 16  # of a tolerance


def by_weight(total, weights):
    """total in proportion to weights, rounded down; what is left goes to the first, one each."""
    whole = [total * weight // sum(weights) for weight in weights]
    left = total - sum(whole)
    return [part + (order < left) for order, part in enumerate(whole)]


def by_remainder(total, weights):
    """The same, but what is left goes to the largest remainders; ties: the first."""
    everything = sum(weights)
    whole = [total * weight // everything for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % everything), i))
    for i in order[: total - sum(whole)]:
        whole[i] += 1
    return whole


class Graph:
    """Which experts can be split, and over which GPUs. row: the expert of each slot, -1: none; paces: by GPU."""

    def __init__(self, row, paces):
        self.row, self.paces, self.each = row, paces, len(row) // len(paces)
        self.copies = {}  # by expert: by GPU, in ascending order
        for slot, expert in enumerate(row):
            if expert >= 0:
                on = self.copies.setdefault(expert, {})
                on[slot // self.each] = on.get(slot // self.each, 0) + 1
        self.alone = {expert: min(on) for expert, on in self.copies.items() if len(on) == 1}
        self.split = [expert for expert in sorted(self.copies) if expert not in self.alone]
        self.on = [[expert for expert in self.split if gpu in self.copies[expert]] for gpu in range(len(paces))]
        self.component = self.components()

    def components(self):
        """By GPU: the lowest one that tokens can get to, by any number of experts."""
        lowest, before = list(range(len(self.paces))), None
        while lowest != before:
            before = lowest[:]
            for expert in self.split:
                for gpu in self.copies[expert]:
                    lowest[gpu] = min(lowest[host] for host in self.copies[expert])
        return lowest

    def weights(self, expert):
        """What an even split goes by: an equal part for each copy, times the pace of its GPU."""
        return [count * self.paces[gpu] for gpu, count in self.copies[expert].items()]


class Split:
    """Tokens of each expert for each of its GPUs, such that the busiest one has as little as can be.

    bound: no split has less on all of the GPUs in `tight`, by their paces; missed: the waves ended too early for it.
    """

    def __init__(self, graph, tokens, tolerance=0, most_waves=1 << 12):
        self.graph, self.tokens, self.tolerance = graph, tokens, tolerance
        self.quota, self.waves = {}, 0
        self.split_evenly()
        if len(set(graph.paces)) == 1:
            for expert in SWEEPS * graph.split:
                self.pour(expert)
        self.aim(*self.first_bound())
        while self.is_missed() and self.waves < most_waves:
            self.improve()
            self.waves += 1
        self.missed = self.is_missed()

    def move(self, expert, gpu, tokens):
        self.quota[expert, gpu] += tokens
        self.load[gpu] += tokens

    # ------------------------------------------------------------------------------------------- start

    def split_evenly(self):
        self.base = [0] * len(self.graph.paces)  # what cannot move
        for expert, gpu in self.graph.alone.items():
            self.base[gpu] += self.tokens[expert]
        self.load = self.base[:]
        for expert in self.graph.split:
            parts = by_weight(self.tokens[expert], self.graph.weights(expert))
            for gpu, part in zip(self.graph.copies[expert], parts, strict=True):
                self.quota[expert, gpu] = 0
                self.move(expert, gpu, part)

    def pour(self, expert):
        """Its tokens like water over its GPUs."""
        wet, before = list(self.graph.copies[expert]), None
        for gpu in wet:
            self.move(expert, gpu, -self.quota[expert, gpu])
        while wet != before:
            total, before = self.tokens[expert] + sum(self.load[gpu] for gpu in wet), wet
            wet = [gpu for gpu in wet if self.load[gpu] <= total // len(wet)]
        for gpu, level in zip(wet, by_weight(total, [1] * len(wet)), strict=True):
            self.move(expert, gpu, level - self.load[gpu])

    # ------------------------------------------------------------------------------------------- bound

    def densest(self, gpus):
        """Of these, those of the component with most tokens by pace; ties: the lowest."""
        found = []
        for component in sorted({self.graph.component[gpu] for gpu in gpus}):
            members = [gpu for gpu in gpus if self.graph.component[gpu] == component]
            tokens, pace = sum(self.load[gpu] for gpu in members), sum(self.graph.paces[gpu] for gpu in members)
            found.append((Fraction(tokens, pace), -component, members))
        density, _, members = max(found)
        return density, members

    def first_bound(self):
        bound, tight = self.densest(range(len(self.load)))
        alone = [Fraction(base, pace) for base, pace in zip(self.base, self.graph.paces, strict=True)]
        return (bound, tight) if max(alone) <= bound else (max(alone), [alone.index(max(alone))])

    def aim(self, bound, tight):
        self.bound, self.tight = bound, tight
        goal = bound * (UNIT + self.tolerance) / UNIT
        self.most = [-(-goal.numerator * pace // goal.denominator) for pace in self.graph.paces]

    def is_missed(self):
        return any(load > most for load, most in zip(self.load, self.most, strict=True))

    # ------------------------------------------------------------------------------------------- waves

    def improve(self):
        """A wave, or a higher bound if it would reach nobody."""
        steps, steps_of = self.steps_to_room()
        over = [gpu for gpu, load in enumerate(self.load) if load > self.most[gpu]]
        if not any(gpu in steps for gpu in over):
            self.aim(*self.densest([gpu for gpu in range(len(self.load)) if gpu not in steps]))
            return
        for step in range(max(steps.values()), 0, -1):
            self.push(step, steps, steps_of)

    def steps_to_room(self):
        """By GPU: how many experts its tokens must go by to one with room; by expert: after it. Not there: never."""
        steps = {gpu: 0 for gpu, load in enumerate(self.load) if load < self.most[gpu]}
        step, steps_of, last = 0, {}, set(steps)
        while last:
            met = {expert for gpu in last for expert in self.graph.on[gpu]} - steps_of.keys()
            givers = ((expert, gpu) for expert in met for gpu in self.graph.copies[expert])
            last = {gpu for expert, gpu in givers if self.quota[expert, gpu]} - steps.keys()
            steps_of |= dict.fromkeys(met, step)
            step += 1
            steps |= dict.fromkeys(last, step)
        return steps, steps_of

    def push(self, step, steps, steps_of):
        """One step of what is too much on the GPUs that are so far away, all of them at once."""
        loads, offers = self.load[:], {}
        for gpu in (gpu for gpu in steps if steps[gpu] == step):
            left = max(loads[gpu] - self.most[gpu], 0)
            for expert in (expert for expert in self.graph.on[gpu] if steps_of.get(expert) == step - 1):
                offers[expert, gpu] = min(left, self.quota[expert, gpu])
                left -= offers[expert, gpu]
        for expert in (expert for expert in self.graph.split if steps_of.get(expert) == step - 1):
            givers = [gpu for gpu in self.graph.copies[expert] if offers.get((expert, gpu))]
            takers = [gpu for gpu in self.graph.copies[expert] if steps.get(gpu) == step - 1]
            left = sum(offers[expert, gpu] for gpu in givers)
            taken = 0
            for order, gpu in enumerate(takers):
                even = -(-left // (len(takers) - order))
                part = even if step > 1 else min(left, max(self.most[gpu] - loads[gpu], 0))
                self.move(expert, gpu, part)
                left, taken = left - part, taken + part
            for gpu in givers:
                part = min(taken, offers[expert, gpu])
                self.move(expert, gpu, -part)
                taken -= part

    # ------------------------------------------------------------------------------------------- maps

    def quotas(self):
        """Tokens by slot. Of several slots of an expert on a GPU, the lowest has all."""
        return self.by_slot(self.tokens_on)

    def shares(self):
        """The same in SHARES of the expert; if it has no tokens, as an even split has them."""
        return self.by_slot(lambda expert: by_remainder(SHARES, self.tokens_on(expert) or self.graph.weights(expert)))

    def tokens_on(self, expert):
        """By GPU that has it. Empty if there are none."""
        gpus = self.graph.copies[expert]
        tokens = [self.quota.get((expert, gpu), self.tokens[expert]) for gpu in gpus]
        return tokens if any(tokens) else []

    def by_slot(self, parts_of):
        found = [0] * len(self.graph.row)
        for expert, copies in self.graph.copies.items():
            for gpu, part in zip(copies, parts_of(expert), strict=False):
                found[self.graph.row.index(expert, gpu * self.graph.each)] = part
        return found
