"""The number that stands for a plan, worked out from its integers: for plans that no context of this process solved."""

from __future__ import annotations

import numpy as np

from ._arrays import Array

_STEP, _FIRST, _SECOND = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def fingerprint(placement: Array, replica_slots: Array, num_experts: int, num_gpus: int) -> int:
    """That of the library, for physical_to_logical and replica_slots [L,S] with their -1."""
    layers, slots = placement.shape
    words = np.concatenate([[layers, num_experts, slots, num_gpus], placement.ravel(), replica_slots.ravel()])
    # The output of SplitMix64 for each word, in which all arithmetic is modulo 2^64.
    bits = np.arange(1, len(words) + 1, dtype=np.uint64) * _STEP + words.astype(np.int64).view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return int(np.add.reduce(bits ^ (bits >> np.uint64(31))))
