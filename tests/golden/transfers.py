"""Transfers in plain Python, to every tie, as docs/algorithms.md section 10 has them: a layer at a time, slowly."""

from collections import deque
from itertools import count

NOTHING, RELOAD = -1, -2


class Sources:
    """Where each slot gets its contents from."""

    def __init__(self, current, placement, gpus, nodes):
        self.per_gpu, self.gpus, self.nodes = len(current) // gpus, gpus, nodes
        self.current, self.placement = current, placement
        self.source, self.sends = {}, [0] * gpus
        for slot, expert in enumerate(placement):
            if expert < 0:
                self.source[slot] = NOTHING
            elif expert == current[slot]:
                self.source[slot] = slot
            elif expert not in current:
                self.source[slot] = RELOAD
        self.waiting = [slot for slot in range(len(placement)) if slot not in self.source]
        self.near = {slot: self.nearest(slot) for slot in self.waiting}

    def gpu(self, slot):
        return slot // self.per_gpu

    def node(self, slot):
        return self.gpu(slot) * self.nodes // self.gpus

    def distance(self, slot, other):
        """0 within a GPU, 1 within a node, 2 between nodes."""
        return (self.gpu(slot) != self.gpu(other)) + (self.node(slot) != self.node(other))

    def nearest(self, slot):
        holders = [other for other, expert in enumerate(self.current) if expert == self.placement[slot]]
        least = min((self.distance(slot, other) for other in holders), default=0)
        return [other for other in holders if self.distance(slot, other) == least]

    def read(self, slot, holders):
        """One of these holders, on the GPU that sends least."""
        self.source[slot] = min(holders, key=lambda other: (self.sends[self.gpu(other)], other))
        self.sends[self.gpu(self.source[slot])] += self.gpu(self.source[slot]) != self.gpu(slot)

    def list(self):
        return [self.source[slot] for slot in range(len(self.placement))]


def choose_evenly(sources):
    for has_choice in (False, True):
        for slot in sources.waiting:
            if (len(sources.near[slot]) > 1) == has_choice:
                sources.read(slot, sources.near[slot])


def choose_short_chains(sources):
    depth = {slot: int(origin == RELOAD) for slot, origin in sources.source.items()}
    queue = deque(sorted(depth, key=lambda slot: (depth[slot], slot)))

    def take(slot, holders, its_depth):
        sources.read(slot, holders)
        depth[slot] = its_depth
        queue.append(slot)

    def go_through_queue():
        while queue:
            origin = queue.popleft()
            readers = [slot for slot in sources.waiting if slot not in depth and origin in sources.near[slot]]
            for slot in sorted(readers, key=lambda slot: (sources.distance(slot, origin), slot)):
                as_deep = [other for other in sources.near[slot] if depth.get(other) == depth[origin]]
                take(slot, as_deep, depth[origin] + 1)

    go_through_queue()
    for start in sources.waiting:
        if start not in depth:
            path = [start]
            while (lowest := min(sources.near[path[-1]])) not in path:
                path.append(lowest)
            take(path[-1], [lowest], 1)
            go_through_queue()


class Colouring:
    """Rounds of transfers between GPUs: edges of a multigraph, named by the slot that they write."""

    def __init__(self, source, gpus, exclusive):
        per_gpu = len(source) // gpus
        ends = {slot: (origin // per_gpu, slot // per_gpu) for slot, origin in enumerate(source) if origin >= 0}
        self.ends = {
            slot: (sender, receiver if exclusive else receiver + gpus)
            for slot, (sender, receiver) in ends.items()
            if sender != receiver
        }
        self.edges = {vertex: [] for vertex in range(2 * gpus)}
        for edge, both in self.ends.items():
            for vertex in both:
                self.edges[vertex].append(edge)
        self.rounds = max(map(len, self.edges.values()))
        self.round = {}
        for edge in sorted(self.ends):
            self.round[edge] = self.round_of_new(*self.ends[edge])

    def edge_with(self, vertex, number):
        return next((edge for edge in self.edges[vertex] if self.round.get(edge) == number), None)

    def lacking(self, *vertices):
        """The first round that none of them has, or None."""
        free = (n for n in range(1, self.rounds + 1) if all(self.edge_with(v, n) is None for v in vertices))
        return next(free, None)

    def path(self, vertex, has, lacks):
        """The edges from a vertex on with two rounds in turn, and where they end."""
        edges = []
        while (edge := self.edge_with(vertex, has)) is not None:
            edges.append(edge)
            (vertex,) = set(self.ends[edge]) - {vertex}
            has, lacks = lacks, has
        return edges, vertex

    def exchange(self, edges, one, other):
        for edge in edges:
            self.round[edge] = one + other - self.round[edge]

    def round_of_new(self, u, v):
        if number := self.lacking(u, v):
            return number
        a, b = self.lacking(u), self.lacking(v)
        edges, end = self.path(v, a, b)
        if end != u:
            self.exchange(edges, a, b)
            return a
        behind = self.edge_with(u, b)
        (w,) = set(self.ends[behind]) - {u}
        if number := self.lacking(u, w):
            self.round[behind] = number
            return b
        if c := self.lacking(v, w):
            edges, end = self.path(u, c, a)
            if end != v:
                self.exchange(edges, a, c)
                return c
            self.exchange(self.path(w, a, c)[0], a, c)
            self.round[behind] = a
            return b
        self.rounds += 1
        return self.rounds


def cycles(source, written):
    """Groups by slot, and the slots of each from the lowest on: each waits for the one after it, but for the first."""
    group, members = {}, []
    for start in written:
        met, at = [], start
        while at in written and at not in met:
            met.append(at)
            at = source[at]
        if at in met and at not in group:
            cycle = met[met.index(at) :]
            lowest = cycle.index(min(cycle))
            members.append(cycle[lowest:] + cycle[:lowest])
            group.update(dict.fromkeys(cycle, len(members) - 1))
    return group, members


def in_place(source, gpus):
    """Rounds and groups by slot."""
    per_gpu = len(source) // gpus
    written = [slot for slot, origin in enumerate(source) if origin not in (slot, NOTHING)]
    group, members = cycles(source, written)
    first = {cycle[0] for cycle in members}
    # The slot that a transfer reads, if it has to do so before that is written; the last of a cycle reads the buffer.
    before = {
        slot: source[slot]
        for slot in written
        if source[slot] in written and not (source[slot] in first and group.get(slot) == group[source[slot]])
    }

    def depth(slot):
        return 1 + (depth(before[slot]) if slot in before else 0)

    rounds, waiting = {}, sorted(written, key=lambda slot: (-depth(slot), slot))
    for number in count(1):
        if not waiting:
            return rounds, group
        sent, received = set(), set()
        unread = {target for slot, target in before.items() if slot in waiting}
        for slot in list(waiting):
            sender, receiver = source[slot] // per_gpu, slot // per_gpu
            is_link = source[slot] >= 0 and sender != receiver
            if slot in unread or (is_link and (sender in sent or receiver in received)):
                continue
            if is_link:
                sent.add(sender)
                received.add(receiver)
            rounds[slot] = number
            waiting.remove(slot)


def plan_transfers(current, placement, gpus, nodes, order):
    """Source, round and group of every slot."""
    sources = Sources(current, placement, gpus, nodes)
    (choose_short_chains if order == "in_place" else choose_evenly)(sources)
    source = sources.list()
    written = [slot for slot, origin in enumerate(source) if origin not in (slot, NOTHING)]
    group = {}
    if order == "in_place":
        rounds, group = in_place(source, gpus)
    else:
        rounds = {**dict.fromkeys(written, 0), **Colouring(source, gpus, order == "exclusive").round}
    slots = range(len(source))
    return source, [rounds.get(slot, -1) for slot in slots], [group.get(slot, -1) for slot in slots]
