"""Carries a list of transfers out, slot by slot and round by round, and says what is wrong with it.

A reading of what eplb.h says of MOVE_SOURCE, MOVE_ROUND and MOVE_GROUP, in plain Python and without a line of the
library: a list that passes here can be carried out by an engine.
"""

UNCHANGED, NOTHING, RELOAD = "own slot", -1, -2


class WrongTransfers(AssertionError):
    pass


def require(condition, text):
    if not condition:
        raise WrongTransfers(text)


def check_sources(current, placement, source, round_of):
    """What can be said of each slot without carrying anything out."""
    for slot, (expert, origin) in enumerate(zip(placement, source, strict=True)):
        if expert < 0:
            require(origin == NOTHING and round_of[slot] == -1, f"slot {slot} holds nothing, but has a transfer")
        elif origin == slot:
            require(current[slot] == expert, f"slot {slot} is said to be unchanged")
            require(round_of[slot] == -1, f"slot {slot} is unchanged, but has a round")
        elif origin == RELOAD:
            require(expert not in current, f"slot {slot} is reloaded, but expert {expert} can be read")
            require(round_of[slot] >= 0, f"slot {slot} is reloaded, but has no round")
        else:
            require(current[slot] != expert, f"slot {slot} holds its expert already")
            require(current[origin] == expert, f"slot {slot} gets the contents of slot {origin}, another expert")
            require(round_of[slot] >= 0, f"slot {slot} changes, but has no round")


def check_links(slots, source, per_gpu, number, exclusive):
    """What the GPUs do in a round, if none may send twice or receive twice, or both."""
    sending, receiving = set(), set()
    for slot in slots:
        if source[slot] < 0 or source[slot] // per_gpu == slot // per_gpu:
            continue
        require(number > 0, f"slot {slot} gets its contents from another GPU, but in no round")
        require(source[slot] // per_gpu not in sending, f"round {number}: GPU {source[slot] // per_gpu} sends twice")
        require(slot // per_gpu not in receiving, f"round {number}: GPU {slot // per_gpu} receives twice")
        sending.add(source[slot] // per_gpu)
        receiving.add(slot // per_gpu)
    require(not (exclusive and sending & receiving), f"round {number}: {sending & receiving} both send and receive")


def simulate(current, placement, source, round_of, group, num_gpus, order):
    """One layer; order: "buffered", "in_place" or "exclusive". Raises WrongTransfers. Returns the number of rounds."""
    check_sources(current, placement, source, round_of)
    per_gpu, in_place = len(current) // num_gpus, order == "in_place"
    memory, overwritten, buffers = list(current), set(), {}
    for number in range(max(round_of, default=0) + 1):
        slots = [slot for slot in range(len(current)) if round_of[slot] == number]
        check_links(slots, source, per_gpu, number, order == "exclusive")
        arrived = {}
        for slot in slots:
            origin = source[slot]
            if origin == RELOAD:
                arrived[slot] = placement[slot]
            elif not in_place:
                arrived[slot] = current[origin]  # new contents wait in a second buffer until the layer is complete
            elif origin in overwritten:
                require(group[slot] in buffers, f"round {number}: slot {origin} was overwritten before it was read")
                saved, expert = buffers.pop(group[slot])
                require(saved == origin, f"round {number}: the buffer of group {group[slot]} is of slot {saved}")
                arrived[slot] = expert
            else:
                require(origin not in slots, f"round {number}: slot {origin} is read and written at once")
                arrived[slot] = memory[origin]
        for slot, expert in arrived.items():
            if group[slot] >= 0 and not any(group[other] == group[slot] for other in overwritten):
                buffers[group[slot]] = slot, memory[slot]  # a group's first
            memory[slot] = expert
            overwritten.add(slot)
    for slot, expert in enumerate(placement):
        memory[slot] = memory[slot] if expert >= 0 else -1
    require(memory == list(placement), "the new placement does not come out")
    require(not buffers, "a buffer was filled and never read")
    return max(0, max(round_of, default=0))
