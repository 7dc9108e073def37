"""Policy SOFT in plain Python: docs/algorithms.md, section 15.

Groups of experts have home nodes, and load that is served elsewhere has a price. This file holds the flow;
soft_homes.py chooses homes, soft_state.py the next change.
"""

import itertools
import math

from philox import below
from rebalance import UNIT, Rebalance
from rebalance_state import ANY, FASTEST
from soft_homes import Homes, Node
from soft_state import MOST_GAIN, URGENCIES, SoftArranged, StepRules, best_change, full

PRICE = 64
MOST_STEPS = 60  # of a round, with each urgency
MOVE_PARTS = 80  # of 1024: what a move costs at least
ROUNDS = {"fast": (0, 16), "normal": (100, 200), "max": (300, 600)}  # done, while there is excess


class Soft(Rebalance):
    """nodes, groups: as asked; asked.target: there always is one; prices: the caller's own, [node][column]."""

    arranged = SoftArranged

    def __init__(self, old, asked, nodes, groups, max_replicas=ANY, prices=None):
        super().__init__(old, asked, None, 1)
        self.groups, self.max_replicas = min(groups, len(old.weights)), max_replicas
        self.number_nodes(nodes)
        self.urgency, self.move_price = URGENCIES[1], 0
        self.touched = set()  # GPUs, by the changes since what was kept last
        old.largest = 4 * self.mean // 5
        self.homes = self.all_homes()
        self.prices = prices and self.units_of(prices)

    def load(self):
        return max(full(sum(weights), share) for share, weights in self.old.windows)

    def number_nodes(self, nodes):
        """Those with GPUs by their first one, if there are more nodes than GPUs."""
        self.nodes = min(nodes, len(self.old.slots))
        self.numbers = list(range(nodes))  # that they had
        if nodes > self.nodes:
            self.numbers = list(dict.fromkeys(self.old.node))
            self.nodes = len(self.numbers)
            self.old.node = [self.numbers.index(node) for node in self.old.node]

    def group(self, expert):
        return expert * self.groups // len(self.old.weights)

    def on_node(self, node):
        return [gpu for gpu in self.old.gpus if self.old.node[gpu] == node]

    def slots_of(self, node):
        return sum(self.old.slots[gpu] for gpu in self.on_node(node))

    # --------------------------------------------------------------------------------------------------- homes

    def all_homes(self):
        old, loads = self.old, [0] * self.groups
        held = [[0] * self.nodes for _ in loads]
        for expert, weight in enumerate(old.paid_for):
            loads[self.group(expert)] += weight
        for gpu in old.gpus:
            for expert in set(old.was[gpu]) - {-1}:
                held[self.group(expert)][old.node[gpu]] += 1
        paces = [sum(old.pace[gpu] for gpu in self.on_node(node) if old.slots[gpu]) for node in range(self.nodes)]
        most = sum(loads) * self.asked.target // UNIT
        nodes = [
            Node(most * pace // sum(paces), -(-self.groups * self.slots_of(node) // sum(old.slots)))
            for node, pace in enumerate(paces)
        ]
        return Homes(loads, nodes, held)

    def set_homes(self, choose):
        """Of experts, and the prices of load."""
        home = self.cheapest_homes() if self.prices else choose()
        self.home = [home[self.group(expert)] for expert in range(len(self.old.weights))]
        if self.prices:
            self.old.price = [[row[node] for node in self.old.node] for row in self.prices]
            self.least_cost = self.least_prices()
        else:
            self.old.price = [[0 if node == at else PRICE for node in self.old.node] for at in self.home]
            self.least_cost = PRICE * self.homes.above(home)[0]

    def units_of(self, prices):
        """[expert][node]."""
        highest, columns, experts = max(map(max, prices)), len(prices[0]), len(self.old.weights)
        used = [prices[number] for number in self.numbers[: self.nodes]]
        of_expert = [[row[expert * columns // experts] for row in used] for expert in range(experts)]
        return [[(math.floor(2 * PRICE * (price / highest)) + 1) // 2 for price in row] for row in of_expert]

    def cheapest_homes(self):
        home = [None] * self.groups
        for group in self.homes.order:
            experts = [e for e in range(len(self.old.weights)) if self.group(e) == group]
            cost = [sum(self.old.paid_for[e] * self.prices[e][node] for e in experts) for node in range(self.nodes)]
            home[group] = min(self.homes.with_room(home), key=lambda node, cost=cost: (cost[node], node))
        return home

    def least_prices(self):
        open_nodes = [node for node in range(self.nodes) if self.slots_of(node)]
        least = [min(row[node] for node in open_nodes) for row in self.prices]
        return sum(weight * price for weight, price in zip(self.old.paid_for, least, strict=True))

    # -------------------------------------------------------------------------------------------------- starts

    def start_at_home(self):
        at = [[None] * slots for slots in self.old.slots]
        load = [0] * len(at)
        for expert in sorted(range(len(self.old.weights)), key=lambda e: (-self.old.weights[e], e)):
            free = [gpu for gpu in self.on_node(self.home[expert]) if self.has_room(at[gpu], gpu)]
            if free:
                gpu = min(free, key=lambda g: (load[g] * FASTEST // self.old.pace[g], g))
                at[gpu][at[gpu].index(None)] = expert
                load[gpu] += self.old.weights[expert]
        self.now = self.arranged(self.old, at)
        self.now.aim(self.asked_time)
        self.create_lost()

    def has_room(self, experts, gpu):
        """So that the GPUs of a node hold about equally many."""
        node, slots = self.old.node[gpu], self.old.slots[gpu]
        held = sum(expert is not None for expert in experts)
        return slots > 0 and held < min(slots, -(-self.home.count(node) * slots // self.slots_of(node)))

    def create(self, lost, most_arrivals):
        now, arrivals, found = self.now, self.now.arrivals(), []
        above, cost = now.above() + self.own_oversize(lost), now.cost()
        for order, place in enumerate(self.old.places):
            before = now.expert(place)
            if (before is None or now.copies(before) > 1) and arrivals[place[1]] < most_arrivals:
                undo = now.make({place: lost})
                growth = URGENCIES[1] * min(MOST_GAIN, now.above() - above) + now.cost() - cost
                now.make(undo)
                found.append((growth, order, place))
        if found:
            now.become(min(found)[2], lost)
        return bool(found)

    def own_oversize(self, expert):
        """Of its only copy: the same everywhere."""
        return self.now.tally.replica(expert, 1)[2]

    # ---------------------------------------------------------------------------------------------------- fill

    def fill(self):
        for place in self.old.places:
            if self.now.expert(place) is None:
                expert = self.cheapest_in(place)
                if expert is not None:
                    self.now.become(place, expert)

    def cheapest_in(self, place):
        now, found = self.now, []
        excess, cost = now.excess(), now.cost()
        for expert in range(len(self.old.weights)):
            if now.may_become(place, expert):
                size = self.old.paid_for[expert] // now.copies(expert)
                undo = now.make({place: expert})
                found.append((URGENCIES[1] * (now.excess() - excess) + now.cost() - cost, -size, expert))
                now.make(undo)
        return min(found)[2] if found else None

    def fill_with_duplicates(self):
        """What even so is empty."""
        for place in self.old.places:
            if self.now.expert(place) is None:
                experts = [e for e in range(len(self.old.weights)) if self.now.copies(e) < self.max_replicas]
                self.now.become(place, min(experts, key=lambda e: (self.old.weights[e], e)))

    # ------------------------------------------------------------------------------------------------ settling

    def rules(self, turn):
        return StepRules(self.budget, self.moves_cost, turn, self.urgency)

    def make(self, change):
        self.now.make(change)
        self.changed += 1
        self.touched |= {gpu for _, gpu in change}

    def become(self, place, expert):
        self.make({place: expert})

    def swap(self, one, other):
        self.make({one: self.now.expert(other), other: self.now.expert(one)})

    def keep(self):
        self.changed = 0
        self.touched = set()

    def most_changes(self):
        return 1024 + 4 * self.old.rows * len(self.old.slots)

    def step(self, turn, all_heads=False):
        for head in self.now.heads():
            change = best_change(self.now, head, self.rules(turn))
            if change:
                self.make(change)
                return True
            if not all_heads and len(self.old.windows) == 1:
                break
        return False

    def polish(self, turn, due):
        due = set(due)
        for gpu in itertools.cycle(self.old.gpus):
            if not due or self.changed == self.most_changes():
                return
            if gpu in due:
                change = best_change(self.now, gpu, self.rules(turn))
                if change:
                    self.make(change)
                else:
                    due.remove(gpu)

    def improve(self, urgency):
        self.urgency = urgency
        self.descend(0, True)
        if not self.moves_cost:
            self.polish(0, self.old.gpus)
        self.keep()

    def standing(self):
        return self.now.excess(), self.now.cost() + self.move_price * self.now.moves()

    def settle(self, fills):
        done, missed = ROUNDS[self.asked.effort]
        for urgency in URGENCIES:
            self.improve(urgency)
        if fills and self.now.copies(None):
            self.run_rounds(done // 4, done // 4)
            self.fill()
            self.improve(URGENCIES[1])
        self.run_rounds(done, missed)

    def run_rounds(self, done, missed):
        best = self.standing()
        for turn in itertools.count(1):
            excess, cost = best
            if turn > (missed if excess else done):
                return
            if not excess and cost <= self.least_cost + self.least_cost // 100:
                return
            before = self.now.copy()
            self.run_round(turn, excess)
            now = self.standing()
            if now <= best and self.is_within():
                best = now
            else:
                self.now = before
            self.keep()

    def run_round(self, turn, excess):
        for _ in range(1 + below(self.draw(), 3)):
            self.ruin(excess)
        for urgency in URGENCIES:
            self.urgency = urgency
            end = min(self.most_changes(), self.changed + MOST_STEPS)
            while self.changed < end and self.step(turn, True):
                pass
        if not self.moves_cost and self.now.excess() <= excess:
            self.polish(turn, self.touched)

    def ruin(self, excess):
        word = self.draw()
        if self.moves_cost and word >= 1 << 30:
            self.take_one_back()
        elif not (excess and word % 2 and self.shake_head()):
            self.bring_home()

    def price_at(self, place, expert):
        return self.old.price_on(place[1], expert)

    def bring_home(self):
        now = self.now
        priced = [place for place in self.old.places if self.price_at(place, now.expert(place))]
        if not priced:
            return
        place = priced[below(self.draw(), len(priced))]
        if now.copies(now.expert(place)) > 1:
            self.give_way(place)
        else:
            self.go_home(place)

    def give_way(self, place):
        experts = [
            e
            for e in range(len(self.old.weights))
            if self.now.copies(e) < self.old.most_copies and not self.price_at(place, e)
        ]
        if experts:
            expert = experts[below(self.draw(), len(experts))]
            if self.now.may_become(place, expert):
                self.become(place, expert)

    def go_home(self, place):
        now = self.now
        home = [other for other in self.old.places if not self.price_at(other, now.expert(place))]
        no_dearer = [
            other
            for other in home
            if self.price_at(place, now.expert(other)) <= self.price_at(other, now.expert(other))
        ]
        choice = no_dearer or home
        if choice:
            other = choice[below(self.draw(), len(choice))]
            if now.may_swap(place, other):
                self.swap(place, other)

    # -------------------------------------------------------------------------------------------- whole answers

    def path(self, most, has_load):
        self.set_homes(self.homes.kept_if_good)
        return super().path(most, has_load)

    def solve(self, has_load):
        """REBALANCE, by slot; -1: nothing."""
        self.set_homes(self.homes.kept_if_good)
        if not self.start() or not has_load:
            return self.slots()
        self.move_price = max(MOVE_PARTS * self.mean // 1024, self.asked.price * self.mean // UNIT)
        self.settle(False)
        if self.now.excess() and not self.is_limited():
            self.try_at_home()
        return self.slots()

    def try_at_home(self):
        before, self.move_price = self.now, 0
        self.settle_fresh()
        if self.now.excess() >= before.excess() or not self.is_within():
            self.now = before

    def solve_fresh(self):
        """BEST, by slot."""
        self.set_homes(self.homes.best)
        self.settle_fresh()
        return self.slots()

    def settle_fresh(self):
        self.moves_cost = False
        self.start_at_home()
        self.settle(not self.asked.allow_empty)
        if not self.asked.allow_empty:
            self.fill_with_duplicates()
