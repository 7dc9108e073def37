"""REBALANCE in plain Python: docs/algorithms.md, section 12, for one layer."""

import itertools
from dataclasses import dataclass

from philox import Chance, below
from rebalance_state import ANY, Arranged, best_step

STAGE = 10
UNIT = 1 << 20
LONGEST = 1 << 30  # a time that searches know
ROUNDS = {"fast": (0, 240, 24), "normal": (200, 800, 100), "max": (720, 2880, 360)}  # done, while missed, after late


@dataclass
class Asked:
    budget: int = ANY  # max_moves, or a share of max_moves_total
    target: int = 0  # in UNITs, like price; 0: none
    price: int = 0
    shares_a_total: bool = False
    allow_empty: bool = False
    effort: str = "normal"
    seed: int = 0


def homes(old, nodes, groups):
    """The node of each expert: 12.1."""
    each, used, home = len(old.weights) // groups, [0] * nodes, {}
    for group in range(groups):
        members = range(group * each, (group + 1) * each)
        pairs = [0] * nodes
        for gpu in old.gpus:
            pairs[old.node[gpu]] += len(set(members) & set(old.was[gpu]))
        free = [node for node in range(nodes) if used[node] < groups // nodes]
        chosen = max(free, key=lambda node: (pairs[node], -node))
        used[chosen] += 1
        home.update(dict.fromkeys(members, chosen))
    return home


class Rebalance:
    """fresh: BEST's placement; nodes: of the hierarchical policy."""

    arranged = Arranged

    def __init__(self, old, asked, fresh, nodes):
        self.old, self.asked, self.fresh, self.nodes = old, asked, fresh, nodes
        self.budget = asked.budget
        self.moves_cost = self.is_limited() or asked.target or asked.price or asked.shares_a_total
        self.chance = Chance(asked.seed, STAGE, 0)
        self.drawn = itertools.count()
        self.changed = 0  # since what was kept last
        self.choose_times()

    def is_limited(self):
        return self.budget < self.old.rows * len(self.old.slots)

    def choose_times(self):
        paces = sum(pace for pace, slots in zip(self.old.pace, self.old.slots, strict=True) if slots)
        mean_time = (self.load() << 24) // paces
        self.mean = self.asked_time = -(-mean_time // 256)
        target = self.asked.target
        if target:
            time = mean_time * target >> 28 if target < 32 * UNIT else mean_time * (target // 32) >> 23
            self.asked_time = max(self.mean, time - min(2 * self.old.rows, time // 1024))
        self.least = min(self.asked_time, LONGEST)

    def load(self):
        return sum(self.old.weights)

    def solve(self, has_load):
        """By slot; -1: nothing."""
        if self.start() and has_load:
            if self.asked.price:
                self.budget = self.paying_moves()
            self.search()
        return self.slots()

    # ------------------------------------------------------------------------------------------- start and end

    def kept_rows(self, gpu):
        was = self.old.was[gpu]
        return [
            row
            for row, expert in enumerate(was)
            if expert >= 0 and self.old.may_be_on(gpu, expert) and was.index(expert) == row
        ]

    def start(self):
        keepers = {}
        for gpu in self.old.gpus:
            for row in self.kept_rows(gpu):
                keepers[self.old.was[gpu][row]] = keepers.get(self.old.was[gpu][row], 0) + 1
        self.now = self.arranged(self.old, [self.keep_on(gpu, keepers) for gpu in self.old.gpus])
        self.now.aim(self.asked_time)
        self.now.most_empty = ANY if self.asked.allow_empty else self.now.copies(None)
        return self.create_lost()

    def keep_on(self, gpu, keepers):
        was, slots, rows = self.old.was[gpu], self.old.slots[gpu], self.kept_rows(gpu)
        while len(rows) > slots:
            given_up = min(
                rows, key=lambda row: (keepers[was[row]] == 1, self.old.weights[was[row]] // keepers[was[row]])
            )
            keepers[was[given_up]] -= 1
            rows.remove(given_up)
        at = [was[row] if row in rows else None for row in range(slots)]
        for row in rows:
            if row >= slots:
                at[at.index(None)] = was[row]
        return [was[row] if expert is None and was[row] in at else expert for row, expert in enumerate(at)]

    def worth_keeping(self, expert, keepers):
        return keepers[expert] == 1, self.old.weights[expert] // keepers[expert]

    def create_lost(self):
        fits = True
        for expert in sorted(range(len(self.old.weights)), key=lambda e: (-self.old.weights[e], e)):
            if not self.now.copies(expert) and not self.create(expert, self.old.most_arrivals):
                fits = False
                self.create(expert, ANY)
        return fits

    def create(self, lost, most_arrivals):
        arrivals, found = self.now.arrivals(), []
        for order, (row, gpu) in enumerate(self.old.places):
            before = self.now.at[gpu][row]
            may_go = before is None or self.now.copies(before) > 1
            if may_go and arrivals[gpu] < most_arrivals and self.old.may_be_on(gpu, lost):
                then = self.now.copy()
                then.become((row, gpu), lost)
                found.append((then.excess(), order, then))
        if found:
            self.now = min(found)[2]
        return bool(found)

    def slots(self):
        everything = []
        for gpu in self.old.gpus:
            left = [expert for expert in self.now.at[gpu] if expert is not None]
            slots = [-1] * self.old.rows
            for row in range(self.old.slots[gpu]):
                if self.old.was[gpu][row] in left:
                    slots[row] = self.old.was[gpu][row]
                    left.remove(slots[row])
            for expert in sorted(left):
                slots[slots.index(-1)] = expert
            everything += slots
        return everything

    # ------------------------------------------------------------------------------------- descents and ruins

    def is_within(self):
        return self.now.moves() <= self.budget and max(self.now.arrivals()) <= self.old.most_arrivals

    def become(self, place, expert):
        self.now.become(place, expert)
        self.changed += 1

    def swap(self, one, other):
        self.now.swap(one, other)
        self.changed += 1

    def step(self, turn, all_heads=False):
        for head in self.now.heads():
            change = best_step(self.now, head, self.budget, self.moves_cost, turn)
            if change:
                for place, expert in change.items():
                    self.now.become(place, expert)
                self.changed += 1
                return True
            if not all_heads:
                break
        return False

    def descend(self, turn, all_heads):
        while self.changed < 1024 + 4 * self.old.rows * len(self.old.slots) and self.step(turn, all_heads):
            pass
        return self.now.excess() == 0

    def draw(self):
        return self.chance.word(0, next(self.drawn))

    def place_of(self, word):
        row, gpu = divmod(below(word, self.old.rows * len(self.old.slots)), len(self.old.slots))
        return row, gpu

    def is_open(self, place):
        return place[0] < self.old.slots[place[1]]

    def take_one_back(self):
        now = self.now
        moved = [place for place in self.old.places if now.is_new(place[1], now.expert(place))]
        if not moved:
            return
        place = moved[below(self.draw(), len(moved))]
        lost = [f for f in self.old.was[place[1]] if f >= 0 and f not in now.at[place[1]]]
        word = self.draw()
        f, e = lost[below(word, len(lost))] if lost else None, now.expert(place)
        if now.copies(e) > 1:
            if now.may_become(place, f):
                self.become(place, f)
            return
        for other in moved:
            if other[1] == place[1] or e not in self.old.was[other[1]]:
                continue
            if now.expert(other) == f:
                if now.may_swap(place, other):
                    return self.swap(place, other)
            elif now.may_become(other, e):
                self.become(other, e)
                if now.may_become(place, f):
                    self.become(place, f)
                return

    def shaken(self, place, word):
        other, now = self.place_of(self.draw()), self.now
        if not self.is_open(place) or not self.is_open(other):
            return False
        if word % 2 == 0:
            if now.may_swap(place, other):
                self.swap(place, other)
                return True
        elif now.expert(place) is not None and now.may_become(other, now.expert(place)):
            self.become(other, now.expert(place))
            return True
        return False

    def shake_head(self):
        heads = self.now.heads()
        for _ in range(8 if heads else 0):
            word = self.draw()
            if self.shaken((below(word, self.old.rows), heads[0]), word):
                return True
        return False

    def shake(self):
        for _ in range(16):
            word = self.draw()
            if self.shaken(self.place_of(word), word):
                return

    def take_some_back(self):
        for _ in range(1 + below(self.draw(), 3)):
            self.take_one_back()

    def shake_some(self):
        for _ in range(1 + below(self.draw(), 3)):
            if self.draw() % 2 and self.shake_head():
                continue
            self.take_one_back() if self.moves_cost else self.shake()

    # -------------------------------------------------------------------------------------------------- modes

    def search(self):
        if self.asked.target:
            if self.reach_target():
                return
            if not self.is_limited():
                return self.try_fresh()
            self.start()
        self.reach_balance()
        if self.now.time() > self.least + self.least // 4096:
            self.try_fresh()

    def reach_target(self):
        last, missed, later = ROUNDS[self.asked.effort]
        budget, self.changed = self.budget, 0
        reached = self.descend(0, False)
        for turn in itertools.count(1):
            before, moves = self.now.copy(), self.now.moves()
            if turn > (last if reached else missed) or (reached and not moves):
                return reached
            self.changed = 0
            self.take_some_back() if reached else self.shake_some()
            self.budget = min(budget, moves) if reached else budget
            reaches = self.descend(turn, not reached)
            self.budget = budget
            if reaches != reached:
                replaces = reaches
            else:
                replaces = self.now.moves() <= moves if reaches else self.now.excess() <= before.excess()
            if not replaces or not self.is_within():
                self.now = before
                continue
            if reaches and not reached:
                last = max(last, turn + later)
            reached = reaches

    def bisect(self):
        start = best = self.now
        low, high = self.least, start.time()
        for i in range(7):
            if high - low <= self.least // 4096:
                break
            aim = low + (high - low) // (3 if i else 6)
            self.now, self.changed = start.copy(), 0
            self.now.aim(aim)
            self.descend(0, False)
            time = self.now.time()
            if time < best.time() and self.is_within():
                best = self.now
            low, high = (low, time) if time <= aim else (aim, high)
            high = min(high, max(low, best.time()))
        return best

    def aim_below(self, time):
        step = time // 1024 * 3 if self.moves_cost else (time - self.least) // 2
        self.now.aim(max(self.least, time - step))

    def reach_balance(self):
        best = self.bisect()
        self.now = best.copy()
        self.aim_below(best.time())
        for turn in range(1, ROUNDS[self.asked.effort][0] + 1):
            if best.time() <= self.least:
                break
            before, self.changed = self.now.copy(), 0
            self.take_some_back() if self.moves_cost else self.shake_some()
            self.descend(turn, not self.moves_cost)
            better = self.now.time() < best.time()
            if not self.is_within() or (not better and self.now.excess() > before.excess()):
                self.now = before
            elif better:
                best = self.now.copy()
                self.aim_below(best.time())
        self.now = best

    def overlap(self, fresh_gpu, gpus):
        rows = self.old.rows
        fresh = self.fresh[fresh_gpu * rows : (fresh_gpu + 1) * rows]
        return sum(expert in self.old.was[gpu] for expert in fresh for gpu in gpus)

    def try_fresh(self):
        before = self.now.copy()
        if all(slots == self.old.rows for slots in self.old.slots) and len(set(self.old.pace)) == 1:
            self.place_renumbered()
        else:
            for gpu, slots in enumerate(self.old.slots):
                self.now.at[gpu] = self.fresh[gpu * self.old.rows :][:slots]
        is_better = max(self.now.time(), self.least) < max(before.time(), self.least)
        if not is_better or not self.is_within():
            self.now = before

    def place_renumbered(self):
        each, rows = len(self.old.slots) // self.nodes, self.old.rows
        gpus = [range(node * each, (node + 1) * each) for node in range(self.nodes)]
        nodes = numbered([[sum(self.overlap(g, there) for g in own) for there in gpus] for own in gpus])
        for own, node in zip(gpus, nodes, strict=True):
            numbers = numbered([[self.overlap(g, [there]) for there in gpus[node]] for g in own])
            for fresh, number in zip(own, numbers, strict=True):
                self.now.at[gpus[node][number]] = self.fresh[fresh * rows : (fresh + 1) * rows]

    # -------------------------------------------------------------------------------------------------- paths

    def path(self, most, has_load):
        """Least times with at most so many moves; ANY for fewer than the start has."""
        if not self.start() or self.now.moves() > most:
            return [ANY] * (most + 1)
        moves = self.now.moves()
        path = self.follow(most if has_load else moves)
        return [ANY] * moves + path[moves:] + [path[-1]] * (most + 1 - len(path))

    def follow(self, most):
        before, budget = self.now.copy(), self.budget
        self.budget, self.changed = min(budget, most), 0
        path, aim = [ANY] * (most + 1), ANY
        while True:
            time, moves = self.now.time(), self.now.moves()
            if moves <= most:
                path[moves] = min(path[moves], time)
            aim = min(aim, self.least + max(0, time - self.least) // 4)
            self.now.aim(aim)
            if not self.step(0):
                break
        self.now, self.budget = before, budget
        return list(itertools.accumulate(path, min))

    def paying_moves(self):
        path = self.follow(min(self.budget, self.old.rows * len(self.old.slots)))
        least = self.now.moves()
        moves = [least, *(m for m in range(least + 1, len(path)) if path[m - 1] > self.least)]
        if least >= len(path):
            return least
        return min(moves, key=lambda m: (path[m] * UNIT + m * self.asked.price * self.mean, m))


def numbered(overlaps):
    """A number for each unit: the pair with the largest overlap first; ties: lowest unit, lowest number."""
    units = range(len(overlaps))
    number = {}
    while True:
        pairs = [
            (-overlaps[u][n], u, n)
            for u in units
            for n in units
            if u not in number and n not in number.values() and overlaps[u][n]
        ]
        if not pairs:
            break
        number[min(pairs)[1]] = min(pairs)[2]
    for u in units:
        if u not in number:
            number[u] = min(set(units) - set(number.values()))
    return [number[u] for u in units]
