"""What engines check of a map, written from the descriptions of their rules, and inputs that look like theirs."""

import numpy as np
from eplb.sample import sample_weights
from rebalances import arrivals

LAYERS, EXPERTS, GPUS, PLACES = 4, 64, 16, 5
SLOTS = GPUS * PLACES
LOADS = sample_weights(LAYERS, EXPERTS)
LATER = sample_weights(LAYERS, EXPERTS, 9)
# An engine's first map: slot s holds expert s mod E.
FIRST = np.tile(np.arange(SLOTS) % EXPERTS, (LAYERS, 1))


def check_map(placement, experts=EXPERTS, gpus=GPUS, is_open=None):
    """Each expert is there; no slot is empty; no GPU has an expert twice."""
    placement = np.asarray(placement)
    for row in placement:
        assert set(row[row >= 0].tolist()) == set(range(experts))
        for gpu, slots in enumerate(row.reshape(gpus, -1).tolist()):
            if is_open is not None and not is_open[gpu]:
                assert set(slots) == {-1}
            else:
                assert min(slots) >= 0
                assert len(set(slots)) == len(slots)


def layers_refused(old, new):
    """Layers [L,G,S] that vllm-ascend's worker undoes.

    Its rule has three parts: an expert that was there is gone; a rank holds an expert twice; of a rank's slots, those
    whose new expert the rank held before do not all hold what they held before.
    """
    refused = []
    for layer, (before, after) in enumerate(zip(np.asarray(old), np.asarray(new), strict=True)):
        is_bad = len(set(after.ravel())) < len(set(before.ravel()))
        for held, holds in zip(before.tolist(), after.tolist(), strict=True):
            is_bad |= len(set(holds)) < len(holds)
            is_bad |= any(expert in held and expert != held[slot] for slot, expert in enumerate(holds))
        refused += [layer] if is_bad else []
    return refused


def check_slots_kept(old, new, gpus=GPUS):
    """What stays on a GPU stays in its slot."""
    for held, holds in zip(*(np.reshape(each, (len(old) * gpus, -1)).tolist() for each in (old, new)), strict=True):
        assert [expert for slot, expert in enumerate(holds) if expert in held and expert not in (held[slot], -1)] == []


def moves_of(old, new, gpus=GPUS):
    """By layer."""
    return arrivals(np.asarray(old), np.asarray(new), gpus).sum(axis=1)
