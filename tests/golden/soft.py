"""Policy SOFT in plain Python: docs/algorithms.md, section 15.

Groups of experts have home nodes, and load that is served elsewhere has a price. This file holds the flow;
soft_homes.py chooses homes, soft_state.py the next change.
"""

import itertools
import math
from dataclasses import dataclass, field

from arithmetic import quantise
from move_shares import shares
from philox import below
from rebalance import UNIT, Asked, Rebalance
from rebalance_state import ANY, FASTEST
from soft_homes import Homes, Node
from soft_state import MOST_GAIN, SHARE, URGENCIES, SoftArranged, StepRules, Wished, best_change, full
from unequal import gpus_of

PRICE = 64
MOST_STEPS = 60  # of a round, with each urgency
MOVE_PARTS = 80  # of 1024: what a move costs at least
ROUNDS = {"fast": (0, 16), "normal": (100, 200), "max": (300, 600)}  # done, while there is excess


def windows_of(rows, importance=None):
    """(share, weights) of the windows of a layer that are balanced apart: 14.1. rows: [T][E]."""
    importance = importance or [1] * len(rows)
    shares = [(math.floor(2**17 * (x / max(importance))) + 1) // 2 for x in importance]
    kept = [(share, row) for share, row in zip(shares, rows, strict=True) if share and any(row)]
    if len(kept) < 2:
        return [(SHARE, quantise(kept[0][1] if kept else [sum(column) for column in zip(*rows, strict=True)]))]
    return scaled([(share, quantise(row)) for share, row in kept], (1 << 28) // len(kept))


def scaled(windows, most):
    """As much as the window matters."""
    return [
        (share, [max(1, weight * (most * share // SHARE) // sum(weights)) for weight in weights])
        for share, weights in windows
    ]


def prices_paid_for(windows):
    shares = sum(share for share, _ in windows)
    sums = [sum(column) for column in zip(*(weights for _, weights in windows), strict=True)]
    return [max(1, total * SHARE // shares // 64) for total in sums]


def wished(windows, rows, gpus, was=None, most_copies=ANY, most_arrivals=ANY):
    """A layer. windows: as windows_of() has them; gpus: (slots, pace, node), a list of each; no `was`: nothing is."""
    windows = scaled(windows, min(1 << 23, (1 << 26) // len(windows)))
    slots, pace, node = gpus
    summed = [sum(column) for column in zip(*(weights for _, weights in windows), strict=True)]
    old = Wished(summed, rows, slots, pace, node, was or [[-1] * rows for _ in slots])
    old.most_copies, old.most_arrivals = min(most_copies, sum(map(bool, slots))), most_arrivals
    old.windows, old.paid_for = windows, prices_paid_for(windows)
    return old


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
        self.now.aim(self.least)
        self.create_lost()

    def has_room(self, experts, gpu):
        """So that the GPUs of a node hold about equally many."""
        node, slots = self.old.node[gpu], self.old.slots[gpu]
        held = sum(expert is not None for expert in experts)
        return slots > 0 and held < min(slots, -(-self.home.count(node) * slots // self.slots_of(node)))

    def create(self, lost, most_arrivals):
        now, arrivals, found = self.now, self.now.arrivals(), []
        above, cost = now.above(), now.cost()
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
        before, self.moves_cost, self.move_price = self.now, False, 0
        self.start_at_home()
        self.settle(not self.asked.allow_empty)
        if self.now.excess() >= before.excess() or not self.is_within():
            self.now = before

    def solve_fresh(self):
        """BEST, by slot."""
        self.set_homes(self.homes.best)
        self.moves_cost = False
        self.start_at_home()
        self.settle(not self.asked.allow_empty)
        if not self.asked.allow_empty:
            self.fill_with_duplicates()
        return self.slots()


# ------------------------------------------------------------------------------------------------- all layers


@dataclass
class Question:
    """What is solved. weights: [T][L][E]; cluster: lists by GPU, as eplb_upload_cluster takes them; current: [L][S]."""

    weights: list
    problem: object  # of reference.py
    off_home_target: float = 1.01
    strategy: str = "best"
    effort: str = "normal"
    apart: bool = False  # are windows balanced apart?
    importance: list = None  # of windows
    prices: list = None  # by node, and by expert or group
    cluster: dict = field(default_factory=dict)  # slots, speeds, nodes
    options: dict = field(default_factory=dict)  # fields of eplb_solve_options
    current: list = None

    @property
    def rows(self):
        return self.problem.num_slots // self.problem.num_gpus

    @property
    def layers(self):
        """[L][T][E]."""
        return [list(rows) for rows in zip(*self.weights, strict=True)]

    def gpus(self):
        """Slots, pace and node, by GPU."""
        gpus, rows = self.problem.num_gpus, self.rows
        slots, speeds = self.cluster.get("slots") or [rows] * gpus, self.cluster.get("speeds") or [1] * gpus
        pace = list(gpus_of(rows, slots, speeds).pace)
        if len({each for each, count in zip(pace, slots, strict=True) if count}) == 1:
            pace = [FASTEST] * gpus
        node = self.cluster.get("nodes") or [gpu * self.problem.num_nodes // gpus for gpu in range(gpus)]
        return slots[:], pace, node[:]

    def asked(self):
        limits, own = self.options, self.options.get("target", 0) if self.strategy == "rebalance" else 0
        return Asked(
            limits.get("max_moves", ANY),
            int((own if own > 0 else self.off_home_target) * UNIT),
            int(limits.get("move_price", 0) * UNIT),
            "max_moves_total" in limits,
            bool(limits.get("allow_empty")),
            self.effort,
            limits.get("seed", 0),
        )

    def program(self, layer):
        windows = self.layers[layer]
        if not self.apart:
            windows = [[sum(column) for column in zip(*windows, strict=True)]]
        cap, was = self.options.get("max_replicas") or ANY, None
        if self.strategy == "rebalance":
            flat, rows = self.current[layer], self.rows
            was = [flat[gpu * rows : (gpu + 1) * rows] for gpu in range(self.problem.num_gpus)]
        read = windows_of(windows, self.importance if self.apart else None)
        old = wished(read, self.rows, self.gpus(), was, cap, self.options.get("max_arrivals", ANY))
        return Soft(old, self.asked(), self.problem.num_nodes, self.problem.groups, cap, self.prices)

    def has_load(self, layer):
        return any(map(any, self.layers[layer]))


def solve(question):
    """[L][S]; -1: nothing."""
    layers = range(len(question.layers))
    programs = [question.program(layer) for layer in layers]
    if question.strategy == "best":
        return [program.solve_fresh() for program in programs]
    if "max_moves_total" in question.options:
        total = question.options["max_moves_total"]
        most = min(question.problem.num_slots, programs[0].budget, total)
        paths = [program.path(most, question.has_load(layer)) for layer, program in enumerate(programs)]
        share = shares(paths, [program.mean for program in programs], total)
        for program, budget in zip(programs, share, strict=True):
            program.budget = min(program.budget, budget)
    return [program.solve(question.has_load(layer)) for layer, program in enumerate(programs)]
