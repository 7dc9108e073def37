"""Home nodes of groups under the policy SOFT, in plain Python: docs/algorithms.md, 15.3 and the homes of 15.7."""

from dataclasses import dataclass

MOST_ATTEMPTS = 4096


@dataclass
class Node:
    cap: int  # load that it can take
    most: int  # groups that it can take


@dataclass
class Homes:
    """Of one layer. held[group][node]: pairs of the group in the current placement."""

    loads: list  # by group
    nodes: list
    held: list

    @property
    def order(self):
        return sorted(range(len(self.loads)), key=lambda group: (-self.loads[group], group))

    def above(self, home):
        """By how much nodes have more than they can take: all of them, and the one that has most; None: not placed."""
        over = [-node.cap for node in self.nodes]
        for group, node in enumerate(home):
            if node is not None:
                over[node] += self.loads[group]
        return sum(max(0, each) for each in over), max(over)

    def with_room(self, home):
        return [n for n, node in enumerate(self.nodes) if home.count(n) < node.most]

    def load_on(self, node, home):
        return sum(load for load, at in zip(self.loads, home, strict=True) if at == node)

    def longest_first(self):
        home = [None] * len(self.loads)
        for group in self.order:

            def key(n, group=group):
                return self.load_on(n, home) - self.nodes[n].cap, -self.held[group][n], n

            home[group] = min(self.with_room(home), key=key)
        return home

    def best(self):
        home = self.longest_first()
        same_nodes = all(node == self.nodes[0] for node in self.nodes)
        if len(self.loads) <= 2 * len(self.nodes) and same_nodes:
            return home
        return Search(self, home).run()

    def kept(self):
        """In order of groups, the node that has most of it and room for it."""
        home = [None] * len(self.loads)
        for group, held in enumerate(self.held):
            home[group] = min(self.with_room(home), key=lambda n: (-held[n], n))
        return home

    def kept_if_good(self):
        best, kept = self.best(), self.kept()
        worth = self.above(kept)[0] - self.above(best)[0]
        return best if worth > sum(self.loads) // 100 else kept


class Search:
    """Depth first, from homes that are known."""

    def __init__(self, homes, known):
        self.homes = homes
        self.best, self.least = known, homes.above(known)
        self.home = [None] * len(known)
        self.attempts = 0

    def run(self):
        self.place(0)
        return self.best

    def place(self, position):
        """The groups from this position of the order on. False when all attempts are used up."""
        group, node = self.homes.order[position], -1
        while self.attempts < MOST_ATTEMPTS:
            self.attempts += 1
            node = next((n for n in self.choices(group) if n > node), None)
            if node is None:
                return True
            self.home[group] = node
            found, goes_on = self.homes.above(self.home), True
            if found < self.least:
                if position + 1 == len(self.home):
                    self.best, self.least = self.home[:], found
                else:
                    goes_on = self.place(position + 1)
            self.home[group] = None
            if not goes_on:
                return False
        return False

    def situation(self, n):
        node = self.homes.nodes[n]
        return self.homes.load_on(n, self.home), self.home.count(n), node.cap, node.most

    def choices(self, group):
        """Of nodes in the same situation, the one that has most of the group; ties: lowest."""
        held, first = self.homes.held[group], {}
        for n in self.homes.with_room(self.home):
            same = self.situation(n)
            if same not in first or held[n] > held[first[same]]:
                first[same] = n
        return sorted(first.values())
