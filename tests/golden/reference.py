#!/usr/bin/env python3
"""What libeplb must answer, bit for bit, in plain Python: docs/algorithms.md as a program, without any shortcut.

GREEDY is deepseek-ai/EPLB in float32 with its sorts made stable; the other presets are the reference programs in
integers. This file holds the flow of a layer; arithmetic.py the numbers, packing.py the presets, best.py and the files
it names BEST, philox.py the chance, refusal.py what is refused and in which words, placement.py what any placement
must satisfy, *cases.py and vectors.py the test vectors.

    python3 tests/golden/reference.py --write     write vectors.json
    python3 tests/golden/reference.py --check     exit 1 if vectors.json is not what this program would write
"""

import argparse
import sys
from dataclasses import dataclass

from arithmetic import Integer
from best import group_attempts, solve_node
from group_search import GroupSearch
from packing import STRATEGIES, pack
from philox import Chance
from refusal import check_float32_range, check_greedy_cap, check_options, check_problem

POLICIES = ("auto", "hierarchical", "global")
EFFORTS = ("fast", "normal", "max")


@dataclass(frozen=True)
class Problem:
    """The cluster and the rule, as eplb_problem."""

    num_slots: int
    num_gpus: int
    num_nodes: int = 1
    num_groups: int = 1
    policy: str = "auto"

    @property
    def groups(self):
        """0 groups are 1, as engines give 0 for models without groups."""
        return max(self.num_groups, 1)

    @property
    def policy_used(self):
        """AUTO is the published rule: hierarchical if the nodes can share the groups evenly, else global."""
        if self.policy != "auto":
            return self.policy
        return "hierarchical" if self.groups % self.num_nodes == 0 else "global"

    @property
    def nodes_and_groups(self):
        """Global is hierarchical with one node that holds one group: the same flow serves both."""
        return (self.num_nodes, self.groups) if self.policy_used == "hierarchical" else (1, 1)


@dataclass(frozen=True)
class Options:
    seed: int = 0
    max_replicas: int = 0  # 0: no cap
    effort: str = "normal"  # of BEST


@dataclass
class Layer:
    """The answer for one layer: integer lists of S, E and S elements."""

    physical_to_logical: list  # the expert in each slot
    replica_count: list
    replica_slots: list  # slots of expert 0, then of expert 1 ...; an expert's in order of creation, the original first


def group_sizes(number, weights, groups):
    """The sum over the experts of each group, in order of id."""
    each, sizes = len(weights) // groups, []
    for group in range(groups):
        total = weights[group * each]
        for weight in weights[group * each + 1 : (group + 1) * each]:
            total = number.add(total, weight)
        sizes.append(total)
    return sizes


def assign_experts(place, experts, nodes):
    """The experts of each node in node-major order: groups in the order of their places, a group's experts by id.

    This order numbers a node's experts from here on, so that "lowest index" of an expert means first in it, not lowest
    id.
    """
    groups = len(place)
    each, per_node = experts // groups, experts // nodes
    ordered = sorted(range(groups), key=lambda group: place[group])
    members = [group * each + i for group in ordered for i in range(each)]
    return [members[node * per_node : (node + 1) * per_node] for node in range(nodes)]


def count_replicas(number, weights, slots, max_replicas):
    """Replicas as items in order of creation: owner[item] is an index into weights. Returns (owner, count).

    Items 0..e-1 are the originals. Each extra goes to the expert with the largest weight per replica so far, ties to
    the lowest index; experts that have max_replicas copies are passed over (0: no cap).
    """
    owner, count = list(range(len(weights))), [1] * len(weights)
    while len(owner) < slots:
        best = None
        for e in range(len(weights)):
            if max_replicas and count[e] >= max_replicas:
                continue
            if best is None or number.heavier(weights[e], count[e], weights[best], count[best]):
                best = e
        owner.append(best)
        count[best] += 1
    return owner, count


def solve_by_preset(name, weights, problem, options):
    """One layer by a preset. GREEDY takes no cap, being the published program: solve() checks."""
    strategy = STRATEGIES[name]
    number = strategy.number
    nodes, groups = problem.nodes_and_groups
    slots, gpus = problem.num_slots // nodes, problem.num_gpus // nodes
    cap = 0 if name == "greedy" else options.max_replicas
    read = number.read(weights)
    physical_to_logical, slots_of = [0] * problem.num_slots, [[] for _ in weights]
    sizes = group_sizes(number, read, groups)
    place = pack(strategy, sizes, nodes, Chance(options.seed, Chance.GROUPS_ON_NODES, 0))
    for node, experts in enumerate(assign_experts(place, len(weights), nodes)):
        mine = [read[e] for e in experts]
        owner, count = count_replicas(number, mine, slots, cap)
        sizes = [number.share(mine[e], count[e]) for e in owner]
        places = pack(strategy, sizes, gpus, Chance(options.seed, Chance.REPLICAS_ON_GPUS, node))
        for item, place in enumerate(places):
            expert, slot = experts[owner[item]], node * slots + place
            physical_to_logical[slot] = expert
            slots_of[expert].append(slot)
    return Layer(physical_to_logical, [len(s) for s in slots_of], [slot for s in slots_of for slot in s])


def best_node_of_groups(sizes, nodes, seed, most_attempts):
    """The node of each group under BEST."""
    groups = len(sizes)
    if nodes == 1 or groups == nodes:
        return [group * nodes // groups for group in range(groups)]
    place = pack(STRATEGIES["lpt_swap"], sizes, nodes, Chance(seed, Chance.GROUPS_ON_NODES, 0))
    return GroupSearch(sizes, nodes, [p * nodes // groups for p in place], most_attempts).run()


def solve_by_best(weights, problem, options):
    """One layer by BEST: replicas are in the order of their slots."""
    nodes, groups = problem.nodes_and_groups
    slots, gpus = problem.num_slots // nodes, problem.num_gpus // nodes
    read = Integer.read(weights)
    most_attempts = group_attempts(options.effort, groups, nodes, problem.num_slots)
    node_of = best_node_of_groups(group_sizes(Integer, read, groups), nodes, options.seed, most_attempts)
    place = [(node, group) for group, node in enumerate(node_of)]
    physical_to_logical = []
    for node, experts in enumerate(assign_experts(place, len(weights), nodes)):
        mine = [read[e] for e in experts]
        placed = solve_node(mine, slots, gpus, options.max_replicas, options.effort, options.seed, node)
        physical_to_logical += [experts[e] for e in placed]
    slots_of = [[] for _ in weights]
    for slot, expert in enumerate(physical_to_logical):
        slots_of[expert].append(slot)
    return Layer(physical_to_logical, [len(s) for s in slots_of], [slot for s in slots_of for slot in s])


def solve_layer(name, weights, problem, options):
    """One layer from summed weights to its maps."""
    if name == "best":
        return solve_by_best(weights, problem, options)
    return solve_by_preset(name, weights, problem, options)


def logical_to_physical(layer, width):
    """[E][width]: an expert's slots in replica order, then -1. width: max_replicas if given, else S - E + 1."""
    rows, start = [], 0
    for count in layer.replica_count:
        rows.append(layer.replica_slots[start : start + count] + [-1] * (width - count))
        start += count
    return rows


def solve(name, weights, problem, options=None):
    """A list of Layer from weights [L][E], windows summed (refusal.sum_windows).

    Raises refusal.Refusal with the status and the text of the C API.
    """
    options = options or Options()
    check_problem(problem, len(weights[0]))
    check_options(options, problem, len(weights[0]))
    if name == "greedy":
        check_float32_range(weights)
    layers = [solve_layer(name, row, problem, options) for row in weights]
    if name == "greedy" and options.max_replicas:
        check_greedy_cap([layer.replica_count for layer in layers], options.max_replicas)
    return layers


def main():
    from vectors import check_file, write_file  # here: vectors.py needs what is defined above

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write vectors.json")
    action.add_argument("--check", action="store_true", help="exit 1 if vectors.json is stale")
    return write_file() if parser.parse_args().write else check_file()


if __name__ == "__main__":
    sys.exit(main())
