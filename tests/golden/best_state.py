"""BEST: where replicas are, and the placement that a search starts from. docs/algorithms.md section 7.5."""

from best_counts import Replicas

REPAIR_PER_GPU = 1024  # with more slots on a GPU duplicates are not repaired,
REPAIR_PER_GPU_OF_FEW = 64  # or with more than this if there are fewer experts than that
LEVEL_GPUS, LEVEL_PER_GPU = 64, 64


class State:
    """The slot of every replica, and what follows from it: the replica in every slot, the load of every GPU."""

    def __init__(self, node, replicas, slot):
        self.node, self.replicas, self.slot = node, replicas, slot
        self.replica_in = [0] * node.slots
        self.load = [0] * node.gpus
        for replica, own in enumerate(slot):
            self.replica_in[own] = replica
            self.load[self.gpu(replica)] += replicas.size[replica]

    def copy(self):
        return State(self.node, self.replicas, list(self.slot))

    def gpu(self, replica):
        return self.slot[replica] // self.node.per_gpu

    def on(self, gpu):
        """The replicas on a GPU, by slot."""
        return self.replica_in[gpu * self.node.per_gpu : (gpu + 1) * self.node.per_gpu]

    def heaviest(self):
        return self.load.index(max(self.load))

    def copies_on(self, gpu, expert, leaving=()):
        """How many copies of an expert a GPU has without those that leave it."""
        return sum(self.gpu(copy) == gpu and copy not in leaving for copy in self.replicas.of(expert))

    def clash(self, a, b):
        """Would an exchange of two replicas bring a GPU a second copy of an expert?"""
        expert = self.replicas.expert
        return self.copies_on(self.gpu(b), expert[a], (b,)) > 0 or self.copies_on(self.gpu(a), expert[b], (a,)) > 0

    def exchange(self, a, b):
        shift = self.replicas.size[a] - self.replicas.size[b]
        self.load[self.gpu(a)] -= shift
        self.load[self.gpu(b)] += shift
        self.slot[a], self.slot[b] = self.slot[b], self.slot[a]
        self.replica_in[self.slot[a]], self.replica_in[self.slot[b]] = a, b

    def loads_after(self, a, b):
        """The loads of the GPUs of a and b after an exchange of the two."""
        shift = self.replicas.size[a] - self.replicas.size[b]
        return self.load[self.gpu(a)] - shift, self.load[self.gpu(b)] + shift

    def experts(self):
        """The expert in each slot."""
        return [self.replicas.expert[replica] for replica in self.replica_in]


def pack(node, replicas):
    """The slot of each replica: longest first, copies of an expert on different GPUs while there are some with room."""
    load, used, slot = [0] * node.gpus, [0] * node.gpus, []
    for replica, expert in enumerate(replicas.expert):
        if replica == replicas.first[expert]:
            taken = set()  # GPUs with a copy of this expert, in this round
        with_room = [gpu for gpu in range(node.gpus) if used[gpu] < node.per_gpu]
        if taken.issuperset(with_room):
            taken = set()
        gpu = min((gpu for gpu in with_room if gpu not in taken), key=lambda gpu: load[gpu])
        slot.append(gpu * node.per_gpu + used[gpu])
        taken.add(gpu)
        used[gpu] += 1
        load[gpu] += replicas.size[replica]
    return slot


def is_duplicate(state, slot):
    expert = state.replicas.expert
    lower = state.replica_in[slot - slot % state.node.per_gpu : slot]
    return any(expert[replica] == expert[state.replica_in[slot]] for replica in lower)


def repair_slot(state, slot):
    """Exchanges the duplicate in a slot; False if that is impossible."""
    expert, p = state.replicas.expert, state.replica_in[slot]
    home = state.gpu(p)

    def may_come(q):
        gpu = state.gpu(q)
        if gpu == home or state.copies_on(gpu, expert[p]) > 0:
            return False
        return state.copies_on(home, expert[q]) == 0 or state.copies_on(gpu, expert[q]) > 1

    partners = [q for q in range(state.node.slots) if may_come(q)]
    if not partners:
        return False
    state.exchange(p, min(partners, key=lambda q: max(state.loads_after(p, q))))
    return True


def repair(state):
    node = state.node
    if node.slots == node.experts:
        return
    if node.per_gpu > (REPAIR_PER_GPU_OF_FEW if node.experts < node.per_gpu else REPAIR_PER_GPU):
        return
    for slot in range(node.slots):
        while is_duplicate(state, slot) and repair_slot(state, slot):
            pass


def level_pair(state, heavy, light):
    """The best swap of a replica on `heavy` with a smaller one on `light`, if it helps."""
    size, best, pair = state.replicas.size, state.load[heavy], None
    for give in state.on(heavy):
        for take in state.on(light):
            if size[take] < size[give] and max(state.loads_after(give, take)) < best and not state.clash(give, take):
                best, pair = max(state.loads_after(give, take)), (give, take)
    if pair:
        state.exchange(*pair)


def level(state):
    """Where GPUs are many: the heaviest swaps with the lightest, the second with the second lightest, and so on."""
    gpus = state.node.gpus
    if gpus < LEVEL_GPUS or state.node.per_gpu > LEVEL_PER_GPU:
        return
    for _ in range(min(2 + gpus // 256, 4)):
        order = sorted(range(gpus), key=lambda gpu: -state.load[gpu])
        for i in range(gpus // 2):
            level_pair(state, order[i], order[gpus - 1 - i])


def start(node, count):
    replicas = Replicas(node.weights, count)
    state = State(node, replicas, pack(node, replicas))
    repair(state)
    level(state)
    return state
