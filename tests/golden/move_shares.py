"""How layers share a budget of moves, in plain Python: docs/algorithms.md, section 12."""

from rebalance import UNIT
from rebalance_state import ANY


def shares(paths, means, total):
    """What each layer may move of max_moves_total."""
    share = [next((m for m, time in enumerate(path[:-1]) if time < ANY), len(path) - 1) for path in paths]
    left = total - sum(share)
    while True:
        best, most, moves = 0, 0, 1
        for layer, path in enumerate(paths):
            for m in range(1, min(left, len(path) - 1 - share[layer]) + 1):
                gain = (path[share[layer]] - path[share[layer] + m]) * UNIT // means[layer]
                if gain * moves > most * m:
                    best, most, moves = layer, gain, m
        if not most:
            return share
        share[best] += moves
        left -= moves
