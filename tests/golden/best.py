"""BEST: chains with different counts, each searched, and the best of them. docs/algorithms.md section 7.

This file holds the choice of counts and chains; best_counts.py replicas and rules, best_state.py the start,
best_search.py the search on three or more slots per GPU, two_slots.py that on two, group_search.py groups on nodes.
"""

from dataclasses import dataclass, replace

from best_counts import RULES, Node, Replicas, bound, count_by_noisy_rule, count_by_rule
from best_search import Search
from best_state import start
from packing import STRATEGIES, loads_of, run_chain
from philox import Chance
from two_slots import CountSearch, place_pairs

TINY = 24  # slots
COUNT_ROUNDS = 4  # what it costs to look at counts, and again to start a search from them
COUNT_STEPS = 20  # of such a search, at most
EXACT_GROUPS = 16  # on nodes, for which all assignments are tried
ATTEMPTS = 1 << 16  # to choose one of more groups


@dataclass(frozen=True)
class Effort:
    chains: int
    steps_per_slot: int  # in sixteenths
    steps_per_gpu: int  # in sixteenths
    slack: int  # a chain at most lower / slack above `lower` ends the choice
    fine: int  # a load is good enough mean / 2^fine above the mean
    two_slot_chains: int
    proposals: int  # in quarters of the slots
    presets: bool = False  # are their packings chains, too, where there is no redundancy?
    # Of tiny problems alone.
    rounds: int = 0  # all chains and tried counts together, in quarters of the slots
    group_attempts: int = 0  # to choose a group, per slot of the layer

    def steps(self, node):
        return (self.steps_per_slot * node.slots + self.steps_per_gpu * node.gpus) // 16


FAST = Effort(2, 5, 5, slack=100, fine=16, two_slot_chains=1, proposals=3)
NORMAL = Effort(3, 32, 8, slack=400, fine=16, two_slot_chains=1, proposals=16)
MAX = Effort(4, 96, 8, slack=32768, fine=17, two_slot_chains=4, proposals=40)
MAX_FEW_SLOTS = replace(MAX, chains=24, steps_per_slot=16, presets=True)
FAST_TINY = replace(FAST, chains=1, rounds=1, group_attempts=4)
NORMAL_TINY = replace(NORMAL, chains=1, steps_per_slot=8, proposals=8, rounds=4, group_attempts=8)
MAX_TINY = replace(MAX_FEW_SLOTS, chains=8, rounds=97, group_attempts=194)
FEW_SLOTS = 128


def effort_of(name, slots):
    if name == "max":
        return MAX_TINY if slots <= TINY else MAX_FEW_SLOTS if slots <= FEW_SLOTS else MAX
    if slots <= TINY:
        return {"fast": FAST_TINY, "normal": NORMAL_TINY}[name]
    return {"fast": FAST, "normal": NORMAL}[name]


def group_attempts(name, groups, nodes, slots):
    """How often the search for an assignment of groups to nodes may choose a group; None: any number."""
    if slots // nodes <= TINY:
        return min(ATTEMPTS, effort_of(name, slots // nodes).group_attempts * slots)
    return ATTEMPTS if groups > EXACT_GROUPS else None


class CountChoice:
    """Which counts each chain begins with."""

    def __init__(self, node):
        self.node = node
        dhondt = Replicas(node.weights, self.rule(0))
        together = dhondt.size[0] + dhondt.smallest(node.per_gpu - 1)
        self.lower = max(node.mean, bound(node, dhondt) if node.slots == node.experts else together)
        self.good = self.lower + self.lower // 400

    def rule(self, rule):
        return count_by_rule(self.node, self.node.weights, RULES[rule])

    def noisy_rule(self, rule, depth, chain):
        return count_by_noisy_rule(self.node, RULES[rule], depth, chain)

    def bound_of(self, count):
        return float("inf") if count is None else bound(self.node, Replicas(self.node.weights, count))

    def counts(self, chain):
        own = self.rule(chain) if chain < len(RULES) else self.noisy_rule(chain % len(RULES), 1, chain)
        if self.bound_of(own) <= self.good:
            return own
        fallback = min(range(len(RULES)), key=lambda rule: self.bound_of(self.rule(rule)))
        counts = self.rule(fallback)
        if chain > 0:
            noisy = self.noisy_rule(fallback, 3, chain)
            if self.bound_of(noisy) <= max(self.good, self.bound_of(counts)):
                return noisy
        return counts


@dataclass(frozen=True)
class Answer:
    load: int  # the largest
    experts: list  # by slot
    spent: int = 0  # rounds, by the search or searches that led here


def least(answers):
    """The answer with the least load, the first of them."""
    return min(answers, key=lambda answer: answer.load)


def placed_pairs(node, count):
    """The pairs of counts on two slots per GPU."""
    return Answer(*place_pairs(node, count))


def search_from(node, count, chain, steps, fine):
    """A chain on three or more slots per GPU."""
    search = Search(start(node, count), chain, bound(node, Replicas(node.weights, count)), fine)
    search.run(steps)
    return Answer(search.best, search.state.experts(), search.spent)


def packed_by_presets(node):
    """The packings of all presets in integers, chain by chain, of as many slots as experts."""
    chance = Chance(node.seed, Chance.REPLICAS_ON_GPUS, node.index)
    for preset in STRATEGIES.values():
        for chain in range(preset.chains if preset.name != "greedy" else 0):
            contents = run_chain(preset, node.weights, node.gpus, chance, chain)
            yield Answer(max(loads_of(node.weights, contents)), [expert for content in contents for expert in content])


def chains_of(node, effort, choice):
    for chain in range(effort.chains):
        yield search_from(node, choice.counts(chain), chain, effort.steps(node), effort.fine)
    if effort.presets and node.slots == node.experts:
        yield from packed_by_presets(node)


def search_chains(node, effort):
    choice = CountChoice(node)
    answers = []
    for answer in chains_of(node, effort, choice):
        answers.append(answer)
        if answer.load <= choice.lower + choice.lower // effort.slack:
            break
    return replace(least(answers), spent=sum(answer.spent for answer in answers))


def search_two_slots(node, effort):
    answers = []
    for chain in range(effort.two_slot_chains):
        search = CountSearch(node, chain, count_by_rule(node, node.weights, RULES[0]))
        search.run(effort.proposals * node.slots // 4)
        answers.append(placed_pairs(node, search.kept))
    return least(answers)


def dealt_out(copies, experts):
    """All ways to deal copies to a number of experts, most to the first ones first."""
    if experts == 1:
        yield [copies]
        return
    for first in range(copies, -1, -1):
        for rest in dealt_out(copies - first, experts - 1):
            yield [first, *rest]


def counts_one_by_one(node, beat):
    """Counts that can have a largest load below `beat`, in lexicographic order of experts by weight."""
    order = sorted(range(node.experts), key=lambda e: (-node.weights[e], e))
    needed = [weight // beat + 1 for weight in node.weights]
    spare = node.slots - sum(needed)
    for extra in dealt_out(spare, node.experts) if spare >= 0 else ():
        count = list(needed)
        for expert, copies in zip(order, extra, strict=True):
            count[expert] += copies
        yield count


def counts_by_other_rules(node):
    """The counts of rules 7 to 1; None for a rule that fails."""
    return (count_by_rule(node, node.weights, rule) for rule in reversed(RULES[1:]))


def try_counts(node, effort, answer):
    """Tiny problems: counts one by one on top of the answer so far, with the rounds that its chains have left."""
    left = effort.rounds * node.slots // 4 - answer.spent

    def worth_a_try(count):
        if count is None or max(count) > node.most:
            return False
        return bound(node, Replicas(node.weights, count)) < answer.load

    for count in counts_by_other_rules(node) if node.per_gpu == 2 else ():
        if left <= 0:
            break
        left -= COUNT_ROUNDS
        if worth_a_try(count):
            answer = least([answer, placed_pairs(node, count)])
    if answer.load == 0:
        return answer
    for count in counts_one_by_one(node, answer.load):
        if left <= 0:
            break
        left -= COUNT_ROUNDS
        if not worth_a_try(count):
            continue
        if node.per_gpu == 2:
            other = placed_pairs(node, count)
        else:
            left -= COUNT_ROUNDS
            other = search_from(node, count, 0, min(left, COUNT_STEPS), effort.fine)
            left -= other.spent
        answer = least([answer, other])
    return answer


def solve_node(weights, slots, gpus, max_replicas, effort_name, seed, index):
    """The expert in each slot of a node; experts and slots are counted on the node."""
    node = Node(weights, slots, gpus, max_replicas, seed, index)
    effort = effort_of(effort_name, slots)
    dhondt = Replicas(node.weights, count_by_rule(node, node.weights, RULES[0]))
    if node.per_gpu == 1:
        return dhondt.expert
    if node.per_gpu == 2 and slots == node.experts:
        return [dhondt.expert[replica] for gpu in range(gpus) for replica in (gpu, slots - 1 - gpu)]
    answer = search_two_slots(node, effort) if node.per_gpu == 2 else search_chains(node, effort)
    if slots <= TINY and slots > node.experts and answer.load > 0:
        answer = try_counts(node, effort, answer)
    return answer.experts
