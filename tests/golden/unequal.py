"""GPUs that differ in slots or speed, in plain Python: docs/algorithms.md, section 13.

The presets are those of packing.py with a GPU's time in place of its load.
"""

from dataclasses import dataclass

from packing import STRATEGIES, largest_load, refine_squares, swap
from philox import Chance
from reference import Layer, assign_experts, count_replicas, group_sizes, pack

FASTEST = 1 << 16
LARGEST_SCORE = 2**31 - 2


@dataclass(frozen=True)
class Gpus:
    """Slots, and pace as a share of FASTEST, by GPU; `places` slots there would be on each."""

    places: int
    slots: tuple
    pace: tuple

    def time(self, gpu, load):
        return load * (FASTEST * FASTEST // self.pace[gpu]) // FASTEST

    def times(self, loads):
        return [self.time(gpu, load) for gpu, load in enumerate(loads)]

    def open(self):
        return [gpu for gpu, slots in enumerate(self.slots) if slots]

    def busiest(self, loads):
        return max(self.open(), key=lambda gpu: (self.time(gpu, loads[gpu]), -gpu))

    def of_node(self, nodes):
        """Nodes are equal."""
        each = len(self.slots) // nodes
        return Gpus(self.places, self.slots[:each], self.pace[:each])


def gpus_of(places, slots, speeds):
    """From what eplb_upload_cluster takes."""
    fastest = max(speed for speed, count in zip(speeds, slots, strict=True) if count)
    pace = [
        int(max(speed / fastest, 1 / FASTEST) * FASTEST + 0.5) if count else FASTEST
        for speed, count in zip(speeds, slots, strict=True)
    ]
    return Gpus(places, tuple(slots), tuple(pace))


def place_in_order(sizes, gpus, add, equally_fast):
    """The GPU of each position: with room, and done first with it; of equally fast ones the lightest."""
    room, load = list(gpus.slots), [0] * len(gpus.slots)
    pack_of = []
    for size in sizes:
        fitting = [gpu for gpu in range(len(room)) if room[gpu]]
        if equally_fast:
            best = min(fitting, key=lambda gpu: load[gpu])
        else:
            best = min(fitting, key=lambda gpu: gpus.time(gpu, load[gpu] + size))
        pack_of.append(best)
        load[best] = add(load[best], size)
        room[best] -= 1
    return pack_of


def loads_of(sizes, pack_of, gpus):
    load = [0] * len(gpus.slots)
    for size, gpu in zip(sizes, pack_of, strict=True):
        load[gpu] += size
    return load


def refine_busiest(sizes, pack_of, gpus, steps):
    """The score: by how much both GPUs end below the busiest one's time."""
    for _ in range(steps):
        load = loads_of(sizes, pack_of, gpus)
        busiest = gpus.busiest(load)
        before, best, best_pair = gpus.time(busiest, load[busiest]), 0, None
        for i in range(len(sizes)):
            if pack_of[i] != busiest:
                continue
            for j in range(len(sizes)):
                d = sizes[i] - sizes[j]
                if pack_of[j] == busiest or d <= 0:
                    continue
                after = max(gpus.time(busiest, load[busiest] - d), gpus.time(pack_of[j], load[pack_of[j]] + d))
                if before - after > best:
                    best, best_pair = before - after, (i, j)
        if best_pair is None:
            return
        swap(pack_of, *best_pair)


def refine_any(sizes, pack_of, gpus, steps):
    """The score: half of what the sum of load^2 / pace loses."""
    for _ in range(steps):
        load = loads_of(sizes, pack_of, gpus)
        best, best_pair = 0, None
        for i in range(len(sizes)):
            for j in range(i + 1, len(sizes)):
                a, b, d = pack_of[i], pack_of[j], sizes[i] - sizes[j]
                if a == b:
                    continue
                gain = d * (2 * load[a] - d) // gpus.pace[a] - d * (2 * load[b] + d) // gpus.pace[b]
                if gain > best:
                    best, best_pair = gain, (i, j)
        if best_pair is None:
            return
        swap(pack_of, *best_pair)


def refine_ends(sizes, contents, gpus, steps):
    """The score: by how much the times of the busiest and the idlest GPU get closer."""
    for _ in range(steps):
        load = [sum(sizes[i] for i in content) for content in contents]
        busy = gpus.busiest(load)
        idle = min(gpus.open(), key=lambda gpu: (gpus.time(gpu, load[gpu]), gpu))
        apart = gpus.time(busy, load[busy]) - gpus.time(idle, load[idle])
        best, best_slots = 0, None
        for a, i in enumerate(contents[busy]):
            for b, j in enumerate(contents[idle]):
                d = sizes[i] - sizes[j]
                gain = apart - abs(gpus.time(busy, load[busy] - d) - gpus.time(idle, load[idle] + d))
                if gain > best:
                    best, best_slots = gain, (a, b)
        if best_slots is None:
            return
        a, b = best_slots
        contents[busy][a], contents[idle][b] = contents[idle][b], contents[busy][a]


def run_chain(strategy, sizes, gpus, chance, chain):
    """contents[gpu][slot] = item."""
    order = strategy.order(sizes, chance, chain)
    by_position = [sizes[item] for item in order]
    pack_of = place_in_order(by_position, gpus, strategy.number.add, len(set(gpus.pace)) == 1)
    if strategy.refine and not strategy.by_slot:
        refine = refine_any if strategy.refine is refine_squares else refine_busiest
        refine(by_position, pack_of, gpus, strategy.steps)
    contents = [[] for _ in gpus.slots]
    for position, item in enumerate(order):
        contents[pack_of[position]].append(item)
    if strategy.by_slot:
        refine_ends(sizes, contents, gpus, strategy.steps)
    return contents


def penalty_of(strategy, sizes, contents, gpus):
    load = [sum(sizes[item] for item in content) for content in contents]
    times = [gpus.time(gpu, load[gpu]) for gpu in gpus.open()]
    return min(max(times) - (0 if strategy.penalty is largest_load else min(times)), LARGEST_SCORE)


def pack_unequal(strategy, sizes, gpus, chance):
    """place[item] = gpu * places + slot on the GPU."""
    best, least = None, None
    for chain in range(strategy.chains):
        contents = run_chain(strategy, sizes, gpus, chance, chain)
        if strategy.chains > 1:
            penalty = penalty_of(strategy, sizes, contents, gpus)
            if least is not None and penalty >= least:
                continue
            least = penalty
        best = contents
    place = [0] * len(sizes)
    for gpu, content in enumerate(best):
        for slot, item in enumerate(content):
            place[item] = gpu * gpus.places + slot
    return place


def layer_of(placement, slots_of):
    listed = [slot for slots in slots_of for slot in slots]
    return Layer(placement, [len(slots) for slots in slots_of], listed + [-1] * (len(placement) - len(listed)))


def solve(name, weights, problem, gpus, options):
    """One layer, from summed weights."""
    strategy = STRATEGIES[name]
    number = strategy.number
    nodes, groups = problem.nodes_and_groups
    on_node, slots = gpus.of_node(nodes), problem.num_slots // nodes
    cap = 0 if name == "greedy" else options.max_replicas
    read = number.read(weights)
    placement, slots_of = [-1] * problem.num_slots, [[] for _ in weights]
    place = pack(strategy, group_sizes(number, read, groups), nodes, Chance(options.seed, Chance.GROUPS_ON_NODES, 0))
    for node, experts in enumerate(assign_experts(place, len(weights), nodes)):
        mine = [read[e] for e in experts]
        owner, count = count_replicas(number, mine, sum(on_node.slots), cap)
        sizes = [number.share(mine[e], count[e]) for e in owner]
        places = pack_unequal(strategy, sizes, on_node, Chance(options.seed, Chance.REPLICAS_ON_GPUS, node))
        for item, at in enumerate(places):
            placement[node * slots + at] = experts[owner[item]]
            slots_of[experts[owner[item]]].append(node * slots + at)
    return layer_of(placement, slots_of)
