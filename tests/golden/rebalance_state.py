"""An arrangement of a rebalance and the choice of a step, in plain Python: docs/algorithms.md, 12.1 and 12.3."""

from dataclasses import dataclass, field

WORD = 0xFFFFFFFF
FASTEST = 1 << 16
ANY = 1 << 40  # more than there are of anything


@dataclass
class Old:
    """A layer that has a current placement; was[gpu][row] is an expert or -1. The void is None."""

    weights: list  # as integers
    rows: int  # of a GPU
    slots: list  # open ones, by GPU; like pace and node
    pace: list
    node: list
    was: list
    most_copies: int = ANY
    most_arrivals: int = ANY
    home: dict = field(default_factory=dict)  # the only node of an expert, if there is one

    @property
    def gpus(self):
        return range(len(self.slots))

    @property
    def places(self):
        """(row, GPU) of the open slots, in order of places."""
        return [(row, gpu) for row in range(self.rows) for gpu in self.gpus if row < self.slots[gpu]]

    def number(self, row, gpu):
        return row * (-(-len(self.slots) // 16) * 16) + gpu

    def may_be_on(self, gpu, expert):
        return self.home.get(expert, self.node[gpu]) == self.node[gpu]


class Arranged:
    """at[gpu][row], open slots only."""

    def __init__(self, old, at, limit=None, most_empty=0):
        self.old, self.at, self.limit, self.most_empty = old, at, limit, most_empty

    def copy(self):
        return Arranged(self.old, [row[:] for row in self.at], self.limit, self.most_empty)

    def copies(self, expert):
        return sum(row.count(expert) for row in self.at)

    def is_new(self, gpu, expert):
        return expert is not None and expert not in self.old.was[gpu]

    def arrivals(self):
        return [sum(self.is_new(gpu, expert) for expert in row) for gpu, row in enumerate(self.at)]

    def moves(self):
        return sum(self.arrivals())

    def loads(self):
        count = {}
        for row in self.at:
            for expert in row:
                count[expert] = count.get(expert, 0) + 1
        share = {e: self.old.weights[e] // copies for e, copies in count.items() if e is not None}
        return [sum(share.get(expert, 0) for expert in row) for row in self.at]

    def aim(self, time):
        self.limit = [time * pace // FASTEST for pace in self.old.pace]

    def excess_by_gpu(self):
        return [max(0, load - limit) for load, limit in zip(self.loads(), self.limit, strict=True)]

    def excess(self):
        return sum(self.excess_by_gpu())

    def time(self):
        times = (-(-load * FASTEST // pace) for load, pace in zip(self.loads(), self.old.pace, strict=True))
        return min(max(times), 2**30)

    def heads(self):
        """GPUs that have excess, by (excess, largest first; GPU)."""
        excess = self.excess_by_gpu()
        return sorted((gpu for gpu in self.old.gpus if excess[gpu]), key=lambda gpu: (-excess[gpu], gpu))

    def may_come(self, gpu, expert):
        return expert is None or (expert not in self.at[gpu] and self.old.may_be_on(gpu, expert))

    def may_swap(self, one, other):
        """Places are (row, GPU)."""
        e, f = self.expert(one), self.expert(other)
        return one[1] != other[1] and e != f and self.may_come(other[1], e) and self.may_come(one[1], f)

    def may_become(self, place, expert):
        before = self.expert(place)
        if before == expert or (before is not None and self.copies(before) == 1):
            return False
        if expert is None:
            return self.copies(None) < self.most_empty
        return self.copies(expert) < self.old.most_copies and self.may_come(place[1], expert)

    def expert(self, place):
        return self.at[place[1]][place[0]]

    def become(self, place, expert):
        self.at[place[1]][place[0]] = expert

    def swap(self, one, other):
        e, f = self.expert(one), self.expert(other)
        self.become(one, f)
        self.become(other, e)


def scrambled(x, salt):
    y = ((x ^ salt) & WORD) * 0x9E3779B1 & WORD
    return (y ^ y >> 15) * 0x85EBCA6B & WORD


def noise(there, here, turn):
    """Of round `turn`, in which `there` is the other place or an expert and `here` a row and a kind of change."""
    return scrambled(there, scrambled(turn, 0)) >> 24 ^ scrambled(here, ~turn & WORD) >> 24


def changes(now, head):
    """All changes at a head in the order of ties: (kind, row of the head, what noise knows it by, changed places)."""
    old = now.old
    elsewhere = [place for place in old.places if place[1] != head]
    for row in range(old.slots[head]):
        own = (row, head)
        expert = now.expert(own)
        if expert is not None:
            for place in elsewhere:
                if now.may_swap(own, place):
                    yield 0, row, old.number(*place), {own: now.expert(place), place: expert}
            for place in elsewhere:
                if now.may_become(place, expert):
                    yield 1, row, old.number(*place), {place: expert}
        for other in [*range(len(old.weights)), None]:
            if now.may_become(own, other):
                number = len(old.weights) if other is None else other
                yield 2, row, old.number(old.rows, 0) + number, {own: other}


def best_step(now, head, budget, moves_cost, turn):
    """{place: expert} of the best change, or None. No noise in round 0."""
    excess, arrived = now.excess(), now.arrivals()
    moves, most = sum(arrived), now.old.most_arrivals
    best, best_score = None, 0
    for kind, row, number, change in list(changes(now, head)):
        then = now.copy()
        for place, expert in change.items():
            then.become(place, expert)
        gain, arrivals = excess - then.excess(), then.arrivals()
        added = sum(arrivals) - moves
        if gain <= 0 or added > min(budget - moves, 2):
            continue
        if any(after > before >= most for before, after in zip(arrived, arrivals, strict=True)):
            continue
        score = min(gain, 1 << 27) << ({1: 1, 2: 0}.get(added, 3) if moves_cost else 0)
        if turn:
            score += score // 1024 * noise(number, 3 * row + kind, turn)
        if score > best_score:
            best, best_score = change, score
    return best
