"""Transfers in plain Python, to every tie, as docs/algorithms.md section 10 has them: a layer at a time, slowly."""

from itertools import count

NOTHING, RELOAD = -1, -2


def choose_sources(current, placement, gpus, nodes):
    per_gpu = len(current) // gpus
    source, sends = {}, [0] * gpus

    def node(slot):
        return slot // per_gpu * nodes // gpus

    def nearest(slot):
        holders = [other for other, expert in enumerate(current) if expert == placement[slot]]
        same_gpu = [other for other in holders if other // per_gpu == slot // per_gpu]
        return same_gpu or [other for other in holders if node(other) == node(slot)] or holders

    for slot, expert in enumerate(placement):
        if expert < 0:
            source[slot] = NOTHING
        elif expert == current[slot]:
            source[slot] = slot
        elif not nearest(slot):
            source[slot] = RELOAD
    written = [slot for slot in range(len(placement)) if slot not in source]
    for has_choice in (False, True):
        for slot in written:
            if (len(nearest(slot)) > 1) == has_choice:
                source[slot] = min(nearest(slot), key=lambda other: (sends[other // per_gpu], other))
                sends[source[slot] // per_gpu] += source[slot] // per_gpu != slot // per_gpu
    return [source[slot] for slot in range(len(placement))]


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
    source = choose_sources(current, placement, gpus, nodes)
    written = [slot for slot, origin in enumerate(source) if origin not in (slot, NOTHING)]
    group = {}
    if order == "in_place":
        rounds, group = in_place(source, gpus)
    else:
        rounds = {**dict.fromkeys(written, 0), **Colouring(source, gpus, order == "exclusive").round}
    slots = range(len(source))
    return source, [rounds.get(slot, -1) for slot in slots], [group.get(slot, -1) for slot in slots]
