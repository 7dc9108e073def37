"""How a placement changes by few moves until its tokens can be split well, in plain Python, for one layer."""

from dataclasses import dataclass
from fractions import Fraction

from split import Graph, Split

FASTEST = 1 << 16
HEAVY = 64  # an expert with less than this part of the goal does not matter


class SplitTo(Split):
    """As few tokens as can be above a goal. closed: GPUs whose tokens cannot get to one with room."""

    def __init__(self, graph, tokens, goal):
        self.goal, self.done = goal, False
        super().__init__(graph, tokens)
        steps, _ = self.steps_to_room()
        self.closed = {gpu for gpu in range(len(self.load)) if gpu not in steps}
        self.room = [max(0, most - load) for most, load in zip(self.most, self.load, strict=True)]
        self.above = sum(max(0, load - most) for most, load in zip(self.most, self.load, strict=True))

    def first_bound(self):
        return self.goal, []

    def is_missed(self):
        return not self.done and super().is_missed()

    def improve(self):
        steps, steps_of = self.steps_to_room()
        if not any(self.load[gpu] > self.most[gpu] for gpu in steps):
            self.done = True
            return
        for step in range(max(steps.values()), 0, -1):
            self.push(step, steps, steps_of)


@dataclass
class Limits:
    moves: int
    arrivals: int
    most_replicas: int
    tries: int  # of a step, if one of them helped


def score_of(tokens, moves):
    return tokens * (8 if moves <= 0 else 2 if moves == 1 else 1)


class SplitMoves:
    """was, row: the expert of each slot before and now, -1 for none; paces: by GPU, of FASTEST; node: by GPU."""

    def __init__(self, was, row, tokens, paces, node, goal, limits):
        self.was, self.row, self.tokens, self.paces, self.node = was, row[:], tokens, paces, node
        self.goal, self.limits, self.each = goal, limits, len(row) // len(paces)

    def run(self):
        split = self.split()
        while split.above:
            change = self.best_change(split)
            if change is None:
                break
            self.make(change)
            split = self.split()
        self.put_back()
        return self.row

    def split(self):
        return SplitTo(Graph(self.row, self.paces), self.tokens, Fraction(self.goal, FASTEST))

    def gpu(self, slot):
        return slot // self.each

    def on(self, row, gpu):
        return {expert for expert in row[gpu * self.each : (gpu + 1) * self.each] if expert >= 0}

    def arrivals(self, row):
        return [len(self.on(row, gpu) - self.on(self.was, gpu)) for gpu in range(len(self.paces))]

    # A change is a slot and another one, or a slot and an expert: (is_exchange, slot, other).

    def make(self, change):
        exchange, slot, other = change
        if exchange:
            self.row[slot], self.row[other] = self.row[other], self.row[slot]
        else:
            self.row[slot] = other

    def with_change(self, change):
        before, self.row = self.row, self.row[:]
        self.make(change)
        after, self.row = self.row, before
        return after

    def best_change(self, split):
        best, found, tried = 0, None, 0
        for most, change, moves in self.changes(split):
            if most <= best or (found and tried >= self.limits.tries):
                break
            before, self.row = self.row, self.with_change(change)
            less = split.above - self.split().above
            self.row, tried = before, tried + 1
            if less > 0 and score_of(less, moves) > best:
                best, found = score_of(less, moves), change
        return found

    def changes(self, split):
        """Those that could help: what they could score at most, and their moves; the most promising first."""
        copies = {expert: self.row.count(expert) for expert in set(self.row) - {-1}}
        opened = [slot for slot in range(len(self.row)) if self.gpu(slot) not in split.closed]
        inside = {e for e in copies if all(self.gpu(s) in split.closed for s, held in enumerate(self.row) if held == e)}
        could = [
            *self.replacements(opened, inside, copies),
            *self.exchanges(opened, inside, copies, split.closed),
        ]
        before, found = sum(self.arrivals(self.row)), []
        for change, gpu, less in could:
            arrivals = self.arrivals(self.with_change(change))
            if sum(arrivals) <= self.limits.moves and max(arrivals) <= self.limits.arrivals:
                moves = sum(arrivals) - before
                found.append((score_of(min(less, split.above), moves), split.room[gpu], change, moves))
        found.sort(key=lambda each: (-each[0], -each[1], each[2]))
        return [(score, change, moves) for score, _, change, moves in found]

    def home(self, expert):
        return self.node[self.gpu(self.row.index(expert))]

    def replacements(self, opened, inside, copies):
        heavy = [
            e for e in sorted(inside) if self.tokens[e] * HEAVY > self.goal and copies[e] < self.limits.most_replicas
        ]
        for slot in opened:
            gpu = self.gpu(slot)
            if self.row[slot] >= 0 and copies[self.row[slot]] == 1:
                continue
            for expert in heavy:
                if self.home(expert) == self.node[gpu] and expert not in self.on(self.row, gpu):
                    yield (False, slot, expert), gpu, self.tokens[expert]

    def exchanges(self, opened, inside, copies, closed):
        slots = (s for s, e in enumerate(self.row) if e in inside and copies[e] == 1 and self.gpu(s) in closed)
        for slot in slots:
            expert = self.row[slot]
            for other in opened:
                held, gpus = self.row[other], (self.gpu(slot), self.gpu(other))
                if held < 0 or self.node[gpus[0]] != self.node[gpus[1]]:
                    continue
                smaller = self.tokens[held] < self.tokens[expert] * copies[held]
                if smaller and held not in self.on(self.row, gpus[0]) and expert not in self.on(self.row, gpus[1]):
                    less = self.tokens[expert] - (self.tokens[held] if copies[held] == 1 else 0)
                    yield (True, slot, other), gpus[1], less

    def put_back(self):
        """An expert on a GPU that had it returns to its slot."""
        for slot in range(len(self.row)):
            while (home := self.lost_home(slot)) is not None:
                self.row[slot], self.row[home] = self.row[home], self.row[slot]

    def lost_home(self, slot):
        expert, first = self.row[slot], self.gpu(slot) * self.each
        if expert < 0 or self.was[slot] == expert:
            return None
        slots = (s for s in range(first, first + self.each) if self.was[s] == expert and self.row[s] != expert)
        return next(slots, None)
