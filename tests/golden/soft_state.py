"""An arrangement under the policy SOFT and the choice of a change, in plain Python: docs/algorithms.md, 15.1, 15.2.

Windows that are balanced apart: 14.2.
"""

import functools
from dataclasses import dataclass

from rebalance_state import FASTEST, Arranged, Old, changes, noise

SHARE = 1 << 16  # of the window that matters most
MOST_GAIN = 1 << 25
MOST_VALUE = 1 << 27
URGENCIES = (2, 20)


@dataclass
class Wished(Old):
    """`weights` are summed over windows."""

    windows: list = None  # (share, weights)
    paid_for: list = None  # by expert: the weight that prices are multiplied by
    price: list = None  # [expert][gpu]
    largest: int = 0  # size of a replica that is not too large

    def price_on(self, gpu, expert):
        return 0 if expert is None else self.price[expert][gpu]

    def replica(self, expert, copies):
        """By window its size; what prices are multiplied by; and how much too large all replicas are."""
        sizes = [weights[expert] // copies for _, weights in self.windows]
        most = [self.largest * share // SHARE for share, _ in self.windows]
        over = sum(max(0, size - limit) for size, limit in zip(sizes, most, strict=True))
        return sizes, self.paid_for[expert] // copies, 4 * copies * over


class Tally:
    """What follows from where replicas are, kept up to date: loads by window and GPU, cost, oversize, arrivals."""

    def __init__(self, old, replica=None):
        self.old = old
        self.hosts = {expert: [] for expert in [None, *range(len(old.weights))]}
        self.loads = [[0] * len(old.slots) for _ in old.windows]
        self.arrivals = [0] * len(old.slots)
        self.cost = self.oversize = 0
        self.replica = replica or functools.cache(old.replica)

    def copy(self):
        same = Tally(self.old, self.replica)
        same.hosts = {expert: gpus[:] for expert, gpus in self.hosts.items()}
        same.loads = [loads[:] for loads in self.loads]
        same.arrivals, same.cost, same.oversize = self.arrivals[:], self.cost, self.oversize
        return same

    def change(self, gpu, before, after):
        """A slot of the GPU."""
        self.count(before, -1)
        self.hosts[before].remove(gpu)
        self.count(before, 1)
        self.count(after, -1)
        self.hosts[after].append(gpu)
        self.count(after, 1)
        for expert, number in ((before, -1), (after, 1)):
            if expert is not None and expert not in self.old.was[gpu]:
                self.arrivals[gpu] += number

    def count(self, expert, sign):
        """All replicas of an expert are added, or taken off."""
        gpus = self.hosts[expert]
        if expert is None or not gpus:
            return
        sizes, paid, oversize = self.replica(expert, len(gpus))
        for loads, size in zip(self.loads, sizes, strict=True):
            for gpu in gpus:
                loads[gpu] += sign * size
        price = self.old.price[expert]
        self.cost += sign * paid * sum([price[gpu] for gpu in gpus])
        self.oversize += sign * oversize


class SoftArranged(Arranged):
    def __init__(self, old, at, limit=None, most_empty=0, tally=None):
        super().__init__(old, at, limit, most_empty)
        self.tally = tally or self.counted()

    def counted(self):
        tally = Tally(self.old)
        for gpu, row in enumerate(self.at):
            tally.hosts[None] += [gpu] * len(row)
            for expert in row:
                tally.change(gpu, None, expert)
        return tally

    def copy(self):
        return SoftArranged(self.old, [row[:] for row in self.at], self.limit, self.most_empty, self.tally.copy())

    def copies(self, expert):
        return len(self.tally.hosts[expert])

    def arrivals(self):
        return self.tally.arrivals[:]

    def become(self, place, expert):
        self.tally.change(place[1], self.expert(place), expert)
        super().become(place, expert)

    def aim(self, time):
        super().aim(time)
        self.limit = [[limit * share // SHARE for limit in self.limit] for share, _ in self.old.windows]

    def excess_by_window(self):
        return [
            [max(0, load - limit) for load, limit in zip(*window, strict=True)]
            for window in zip(self.tally.loads, self.limit, strict=True)
        ]

    def excess_by_gpu(self):
        """The largest of a window."""
        return [max(gpu) for gpu in zip(*self.excess_by_window(), strict=True)]

    def excess(self):
        return sum(map(sum, self.excess_by_window()))

    def above(self):
        """Excess and oversize."""
        return self.excess() + self.tally.oversize

    def cost(self):
        return self.tally.cost

    def time(self):
        times = (
            -(-full(load, share) * FASTEST // pace)
            for (share, _), loads in zip(self.old.windows, self.tally.loads, strict=True)
            for load, pace in zip(loads, self.old.pace, strict=True)
        )
        return min(max(times), 2**30)

    def make(self, change):
        """Returns what undoes it."""
        before = {place: self.expert(place) for place in change}
        for place, expert in change.items():
            self.become(place, expert)
        return before


def full(load, share):
    """A load as if its window mattered most."""
    return -(-load * SHARE // share)


@dataclass
class StepRules:
    budget: int
    moves_cost: bool
    turn: int  # no noise in round 0
    urgency: int

    def score(self, value, added):
        return min(value, MOST_VALUE) << ({1: 1, 2: 0}.get(added, 3) if self.moves_cost else 0)


def best_change(now, gpu, rules):
    """{place: expert} of the best change for a GPU, or None."""
    above, cost, arrived = now.above(), now.cost(), now.arrivals()
    moves, most = sum(arrived), now.old.most_arrivals
    best, best_score = None, 0
    for kind, row, number, change in list(changes(now, gpu)):
        undo = now.make(change)
        gain, paid, arrivals = above - now.above(), now.cost() - cost, now.arrivals()
        now.make(undo)
        value = rules.urgency * max(-MOST_GAIN, min(gain, MOST_GAIN)) - paid
        added = sum(arrivals) - moves
        if value <= 0 or added > min(rules.budget - moves, 2):
            continue
        if any(after > before >= most for before, after in zip(arrived, arrivals, strict=True)):
            continue
        score = rules.score(value, added)
        if rules.turn:
            score += score // 1024 * noise(number, 3 * row + kind, rules.turn)
        if score > best_score:
            best, best_score = change, score
    return best
