"""Small steps for split.py: tokens of a step, split by its own counts, by windows before it, or by what is usual."""

import os
from dataclasses import dataclass

import numpy as np

WHOLE = 65536


@dataclass(frozen=True)
class Draws:
    """Mean imbalance over draws and layers: what an even split comes to, with parts of tokens and with each drawing its
    replica; the best split of the step, and its shares as probabilities; and the best split of the law."""

    even: float
    even_drawn: float
    best: float
    best_drawn: float
    of_law: float


def loads_of(parts, gpus):
    """[L,G] of [L,S]."""
    return parts.reshape(len(parts), gpus, -1).sum(axis=2)


def imbalance(loads):
    """[L], where there is load."""
    loads = loads[loads.sum(axis=1) > 0]
    return loads.max(axis=1) / loads.mean(axis=1)


def shared(placement, tokens, share):
    """Tokens [L,E] by slot [L,S], in real numbers."""
    return np.take_along_axis(np.asarray(tokens, float), placement, axis=1) * share / WHOLE


def even_shares(placement, experts):
    counts = np.stack([np.bincount(row, minlength=experts) for row in placement])
    return WHOLE / np.take_along_axis(counts, placement, axis=1)


def drawn(chance, placement, tokens, share):
    """Each token draws its replica: whole tokens [L,S]."""
    parts = np.zeros(placement.shape)
    for layer, row in enumerate(placement):
        order = np.argsort(row, kind="stable")
        slots = np.split(order, np.flatnonzero(np.diff(row[order])) + 1)
        for each in slots:
            chances = share[layer, each] / share[layer, each].sum()
            parts[layer, each] = chance.multinomial(tokens[layer, row[each[0]]], chances)
    return parts


def judge_draws(context, placement, law, gpus, tokens, draws=4, picks=8, seed=7):
    """Steps of some tokens with `picks` experts each, drawn from a law [L,E]: rounder than real ones."""
    chance, columns = np.random.default_rng(seed), []
    even = even_shares(placement, law.shape[1])
    of_law = context.split(law, placement, gpus).share
    for _ in range(draws):
        step = np.stack([chance.multinomial(tokens * picks, row / row.sum()) for row in law])
        best = context.split(step, placement, gpus)
        parts = (
            shared(placement, step, even),
            drawn(chance, placement, step, even),
            best.quota,
            drawn(chance, placement, step, best.share),
            shared(placement, step, of_law),
        )
        columns.append([imbalance(loads_of(each, gpus)).mean() for each in parts])
    return Draws(*np.mean(columns, axis=0))


# ------------------------------------------------------------------------------------------------------------- series


def read_series(folder, names, together):
    """Windows [T,L,E] of traces that take turns, `together` added up to one; None if one is missing."""
    paths = [os.path.join(folder, f"{name}.npz") for name in names]
    if not all(map(os.path.exists, paths)):
        return None
    traces = [np.load(path)["counts"].astype(np.int64) for path in paths]
    count = min(map(len, traces))
    windows = np.stack([trace[:count] for trace in traces], axis=1).reshape(-1, *traces[0].shape[1:])
    whole = len(windows) // together * together
    return windows[:whole].reshape(-1, together, *windows.shape[1:]).sum(axis=1)


def judge_series(context, placement, windows, gpus, first):
    """Mean imbalance from window `first` on: even, by the last window, by decayed ones (a window counts 1 - 1/4, or
    1 - 1/16, as much as the next), and in step."""
    found = {"even": [], "last": [], "decayed 4": [], "decayed 16": [], "in step": []}
    even, memory = even_shares(placement, windows.shape[2]), {4: 0.0, 16: 0.0}
    for number, window in enumerate(windows):
        if number >= first:
            known = {"last": windows[number - 1], "decayed 4": memory[4], "decayed 16": memory[16], "in step": window}
            shares = {name: context.split(each, placement, gpus).share for name, each in known.items()}
            for name, share in {"even": even, **shares}.items():
                found[name].append(imbalance(loads_of(shared(placement, window, share), gpus)).mean())
        memory = {length: sums * (1 - 1 / length) + window for length, sums in memory.items()}
    return {name: float(np.mean(values)) for name, values in found.items()}
