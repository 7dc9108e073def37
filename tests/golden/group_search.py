"""BEST: groups on nodes, so that the heaviest node is as light as it can be. docs/algorithms.md section 6."""

import contextlib


class OutOfAttempts(Exception):
    pass


class GroupSearch:
    """Depth first, node by node. `node_of[group]` is the best assignment so far, `best` its heaviest node."""

    def __init__(self, sizes, nodes, node_of, most_attempts):
        self.nodes, self.per_node = nodes, len(sizes) // nodes
        self.order = sorted(range(len(sizes)), key=lambda group: (-sizes[group], group))
        self.sizes = [sizes[group] for group in self.order]  # from here on groups are places in the order
        self.node_of = node_of
        self.best = max(sum(s for s, node in zip(sizes, node_of, strict=True) if node == n) for n in range(nodes))
        smallest = self.sizes[len(sizes) - (self.per_node - 1) :]
        self.enough = max(-(-sum(sizes) // nodes), self.sizes[0] + sum(smallest))
        self.attempts = 0
        self.most_attempts = most_attempts  # None: any number

    def attempt(self):
        if self.attempts == self.most_attempts:
            raise OutOfAttempts
        self.attempts += 1

    def run(self):
        with contextlib.suppress(OutOfAttempts):
            self.choose([])
        return self.node_of

    def choose(self, chosen):
        """Tries all ways to go on from the groups that are chosen, node by node. True: nothing better is needed."""
        if self.best <= self.enough:
            return True
        if len(chosen) == len(self.sizes):
            return self.keep(chosen)
        last = -1
        while True:
            self.attempt()
            last = self.next_group(chosen, last)
            if last is None:
                return False
            if self.choose([*chosen, last]):
                return True

    def next_group(self, chosen, last):
        """The group to be tried after `last` as the next choice; None if there is none."""
        free = [i for i in range(len(self.sizes)) if i not in chosen]
        node, place = divmod(len(chosen), self.per_node)
        if place == 0:
            return free[0] if last < 0 and self.sizes[free[0]] < self.best else None
        load = sum(self.sizes[i] for i in chosen[node * self.per_node :])
        left = sum(self.sizes[i] for i in free)
        for i in free:
            if i <= max(last, chosen[-1]) or load + self.sizes[i] >= self.best:
                continue
            if place == self.per_node - 1 and left - self.sizes[i] > (self.nodes - 1 - node) * (self.best - 1):
                return None  # smaller groups leave still more
            return i
        return None

    def keep(self, chosen):
        """The choices are an assignment that is as good as any before."""
        places = range(0, len(chosen), self.per_node)
        self.best = max(sum(self.sizes[i] for i in chosen[p : p + self.per_node]) for p in places)
        for place, i in enumerate(chosen):
            self.node_of[self.order[i]] = place // self.per_node
        return self.best <= self.enough
