"""Numbers that stand for plans and placements which no context of this process solved."""

from __future__ import annotations

import hashlib

import numpy as np

from ._arrays import Array, Ints

_STEP, _FIRST, _SECOND = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def plan_fingerprint(placement: Array, replica_slots: Array, num_experts: int, num_gpus: int) -> int:
    """That of eplb_fingerprint, for physical_to_logical and replica_slots [L,S] with their -1."""
    layers, slots = placement.shape
    words = np.concatenate([[layers, num_experts, slots, num_gpus], placement.ravel(), replica_slots.ravel()])
    # The output of SplitMix64 for each word, in which all arithmetic is modulo 2^64.
    bits = np.arange(1, len(words) + 1, dtype=np.uint64) * _STEP + words.astype(np.int64).view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return int(np.add.reduce(bits ^ (bits >> np.uint64(31))))


def placement_fingerprint(placement: Ints) -> int:
    """That of a placement [L,S] alone, from any planner: no order of replicas, no sizes but its own."""
    content = repr(placement.shape).encode() + placement.astype("<i8").tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
