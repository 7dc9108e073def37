"""What holds for every placement under the policy SOFT, and how good it is: from the placement alone, exactly.

docs/algorithms.md, 15.8.
"""

from fractions import Fraction


def loads_of(weights, row, gpus):
    """[gpus] of one layer."""
    count, places = [row.count(e) for e in range(len(weights))], len(row) // gpus
    share = [Fraction(weight) / copies for weight, copies in zip(weights, count, strict=True)]
    return [sum(share[e] for e in row[g * places : (g + 1) * places] if e >= 0) for g in range(gpus)]


def speeds_of(slots, speeds):
    """By GPU, with the mean 1; 0 without slots."""
    own = [Fraction(speed) if count else Fraction(0) for speed, count in zip(speeds, slots, strict=True)]
    return [speed * sum(map(bool, slots)) / sum(own) for speed in own]


def imbalance_of(weights, row, slots, speeds):
    total = sum(map(Fraction, weights))
    if not total:
        return Fraction(1)
    speed = speeds_of(slots, speeds)
    times = [load / each for load, each in zip(loads_of(weights, row, len(slots)), speed, strict=True) if each]
    return max(times) * len(times) / total


def served_by(weights, row, node):
    """By expert: the load that each node serves."""
    places, served = len(row) // len(node), [{} for _ in weights]
    share = [Fraction(weight) / row.count(expert) for expert, weight in enumerate(weights)]
    for slot, expert in enumerate(row):
        if expert >= 0:
            at = node[slot // places]
            served[expert][at] = served[expert].get(at, 0) + share[expert]
    return served


def homes_of(weights, row, node, groups):
    """By group: (load, home, what is served elsewhere); the home is the node that serves most, ties: lowest."""
    served, found = served_by(weights, row, node), []
    for group in range(groups):
        of_node = {}
        for expert in range(len(weights)):
            if expert * groups // len(weights) == group:
                for at, load in served[expert].items():
                    of_node[at] = of_node.get(at, 0) + load
        load, home = sum(of_node.values()), min(of_node, key=lambda n: (-of_node[n], n), default=0)
        found.append((load, home, load - of_node.get(home, 0)))
    return found


def off_home_of(weights, row, slots, speeds, node, groups, target):
    """The share, and the bound on it with these homes at an imbalance of `target`."""
    total = sum(map(Fraction, weights))
    if not total:
        return Fraction(0), Fraction(0)
    homes, open_gpus = homes_of(weights, row, node, groups), sum(map(bool, slots))
    room = {}
    for gpu, speed in enumerate(speeds_of(slots, speeds)):
        room[node[gpu]] = room.get(node[gpu], 0) + speed / open_gpus * Fraction(target) * total
    most = sum(max(0, sum(load for load, home, _ in homes if home == n) - room.get(n, 0)) for n in range(max(node) + 1))
    return sum(away for _, _, away in homes) / total, most / total


def check_row(row, experts, slots, cap=0):
    """Every expert is somewhere, closed slots hold nothing, and no GPU needs two copies of an expert."""
    places = len(row) // len(slots)
    assert all(-1 <= expert < experts for expert in row)
    assert set(range(experts)) <= set(row), "an expert is nowhere"
    for gpu, count in enumerate(slots):
        assert row[gpu * places + count : (gpu + 1) * places] == [-1] * (places - count)
    assert not cap or max(row.count(expert) for expert in range(experts)) <= cap


def doubles(row, slots):
    """Slots whose expert is in a lower slot of the same GPU."""
    places = len(row) // len(slots)
    on = [[e for e in row[g * places : (g + 1) * places] if e >= 0] for g in range(len(slots))]
    return sum(len(held) - len(set(held)) for held in on)


def paid_of(weights, row, slots, node, prices):
    """With prices of one's own: what is paid of the highest price, and the least that can be."""
    total, places, columns = sum(map(Fraction, weights)), len(row) // len(node), len(prices[0])
    highest = Fraction(max(map(max, prices)))
    open_nodes = {at for at, count in zip(node, slots, strict=True) if count}
    paid = least = Fraction(0)
    for expert, weight in enumerate(weights):
        of_node = [Fraction(each[expert * columns // len(weights)]) / highest for each in prices]
        at = [node[slot // places] for slot, held in enumerate(row) if held == expert]
        paid += Fraction(weight) * sum(of_node[n] for n in at) / len(at)
        least += Fraction(weight) * min(of_node[n] for n in open_nodes)
    return (paid / total, least / total) if total else (Fraction(0), Fraction(0))
