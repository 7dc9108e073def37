"""Splits of tokens against a linear program that HiGHS solves, and their certificates in fractions.

A program is of many layers at once, since setting one up takes longer than solving it.
"""

from fractions import Fraction

import eplb
import numpy as np
import pytest
from conftest import TRACES

optimize = pytest.importorskip("scipy.optimize")
sparse = pytest.importorskip("scipy.sparse")

SHARES = 65536
CASES, TOGETHER = 3000, 100
# What HiGHS may be off, relative to the largest load.
PRECISION = 1e-9


class Layer:
    """Tokens [E], the expert in each slot [S], and a speed for each GPU, which is 0 where one has no slots."""

    def __init__(self, tokens, row, speed):
        self.tokens, self.row = np.asarray(tokens), np.asarray(row)
        speed = np.asarray(speed, float)
        self.speed = speed / speed[speed > 0].mean()
        each = len(self.row) // len(speed)
        self.on = [sorted({slot // each for slot in np.flatnonzero(self.row == e)}) for e in range(len(tokens))]

    @property
    def whole(self):
        """No rounding at all: what is split are whole tokens, and speeds are those that C has."""
        equal = len(set(self.speed[self.speed > 0])) == 1
        return equal and self.tokens.dtype.kind == "i" and self.tokens.sum() < 2**29

    def unit(self):
        """The time on the slowest GPU of one token as the library rounds them: of what is whole and small, of one."""
        whole = self.tokens.dtype.kind == "i" and self.tokens.sum() < 2**29
        token = 1 if whole else self.tokens.sum() / 2**28
        # A GPU has tokens of several experts, each of which was rounded up.
        experts = 1 if whole else 1 + len(self.row) // len(self.speed)
        return token * experts / self.speed[self.speed > 0].min()


def least_times(layers):
    """The least possible time of the busiest GPU of each layer: tokens may be parted."""
    columns, weights, loads, costs = 0, [], [], []
    sums, limits = [], []
    for layer in layers:
        most, columns = columns, columns + 1
        costs.append(1)
        first_gpu = len(limits)
        limits += [0.0] * len(layer.speed)
        loads += [(first_gpu + gpu, most, -speed) for gpu, speed in enumerate(layer.speed)]
        for tokens, gpus in zip(layer.tokens.tolist(), layer.on, strict=True):
            if len(gpus) == 1:
                limits[first_gpu + gpus[0]] -= tokens
                continue
            weights += [(len(sums), columns + at, 1) for at in range(len(gpus))]
            loads += [(first_gpu + gpu, columns + at, 1) for at, gpu in enumerate(gpus)]
            sums.append(tokens)
            columns += len(gpus)
            costs += [0] * len(gpus)

    def matrix(entries, rows):
        at = np.array(entries, float).reshape(-1, 3).T
        return sparse.csr_matrix((at[2], at[:2].astype(int)), shape=(rows, columns))

    equal = {"A_eq": matrix(weights, len(sums)), "b_eq": sums} if sums else {}
    found = optimize.linprog(costs, A_ub=matrix(loads, len(limits)), b_ub=limits, **equal, method="highs")
    assert found.status == 0, found.message
    return found.x[np.flatnonzero(costs)]


def check(layer, split, at, least, tolerance=0.0):
    """One layer of a split: sums, loads, the optimum, the certificate."""
    share, quota, load = split.share[at], split.quota[at], split.gpu_load[at]
    assert min(share.min(), quota.min()) >= 0
    assert not share[layer.row < 0].any()
    experts = np.arange(len(layer.tokens))
    held = layer.row == experts[:, np.newaxis]
    assert (np.where(held, share, 0).sum(axis=1) == SHARES).all()
    sums = np.where(held, quota, 0).sum(axis=1)
    if layer.tokens.dtype.kind == "i":
        assert np.array_equal(sums, layer.tokens)
        assert (quota % 1 == 0).all()
    np.testing.assert_allclose(sums, layer.tokens, rtol=1e-12)
    np.testing.assert_allclose(quota.reshape(len(load), -1).sum(axis=1), load, rtol=1e-12)
    used = layer.speed > 0
    busiest = (load[used] / layer.speed[used]).max()
    mean = layer.tokens.sum() / used.sum()
    assert split.imbalance[at] == pytest.approx(busiest / mean if mean else 1)
    # The bound is true, and reached but for what is rounded.
    bound = split.bound[at]
    assert bound <= least * (1 + PRECISION)
    assert bound >= least / (1 + tolerance) * (1 - 1e-4) - layer.unit()
    allowed = bound * (1 + tolerance) * (1 if layer.whole else 1 + 1e-4) + layer.unit() * (1 + PRECISION)
    assert busiest <= allowed
    if layer.whole and tolerance == 0:
        assert busiest == np.ceil(least - max(least, 1) * PRECISION)
    check_certificate(layer, split.tight[at], bound)


def check_certificate(layer, tight, bound):
    gpus = set(np.flatnonzero(tight).tolist())
    assert gpus
    if not layer.tokens.any():  # nothing is on any GPU, not even on one without slots
        assert bound == 0
        return
    inside = [Fraction(t) for t, on in zip(layer.tokens.tolist(), layer.on, strict=True) if gpus.issuperset(on)]
    proven = sum(inside, Fraction()) / sum(Fraction(float(layer.speed[gpu])) for gpu in gpus)
    # Rounded down, and the speeds of this test are doubles.
    assert proven * Fraction(1 - 2**-38) <= Fraction(float(bound)) <= proven * Fraction(1 + 2**-50)


def random_layer(chance):
    """Sizes, a cluster, a placement, tokens: with duplicates, empty and closed slots, and of very different loads."""
    gpus, each = int(chance.integers(1, 13)), int(chance.integers(1, 6))
    slots = np.full(gpus, each)
    if chance.random() < 0.4:
        slots = chance.integers(0, each + 1, gpus)
        slots[chance.integers(gpus)] = each
    is_open = (np.arange(each) < slots[:, np.newaxis]).ravel()
    places = np.flatnonzero(is_open)
    experts = int(chance.integers(1, len(places) + 1))
    row = np.full(gpus * each, -1)
    lowest = int(chance.choice([0, 0, -1]))
    held = [*range(experts), *chance.integers(lowest, experts, len(places) - experts)]
    row[places] = chance.permutation(held)
    speed = chance.uniform(0.2, 3, gpus) if chance.random() < 0.4 else np.ones(gpus)
    top = int(chance.choice([1, 5, 100, 2 * 10**6, 2**40]))
    tokens = np.where(chance.random(experts) < 0.2, 0, chance.integers(0, top + 1, experts))
    if chance.random() < 0.3:
        tokens = tokens * 0.37
    cluster = eplb.Cluster(slots=slots, speed=speed)
    return Layer(tokens, row, np.where(slots > 0, speed, 0)), cluster


@pytest.mark.parametrize("first", range(0, CASES, TOGETHER * 5))
def test_random_layers(context, first):
    chance = np.random.default_rng(first)
    for _ in range(5):
        made = [random_layer(chance) for _ in range(TOGETHER)]
        for (layer, cluster), least in zip(made, least_times([each for each, _ in made]), strict=True):
            tolerance = float(chance.choice([0, 0, 0.002, 0.25]))
            arguments = layer.tokens[np.newaxis], layer.row[np.newaxis]
            check(layer, context.split(*arguments, cluster=cluster, tolerance=tolerance), 0, least, tolerance)


DRIFTS = [
    ("prefill-in512", "prefill-in2048"),
    ("decode-in500out1500", "decode-in1000out1000"),
    ("prefill-in1024", "decode-in1000out1000"),
]


@pytest.mark.skipif(not TRACES.exists(), reason="no measured traces")
@pytest.mark.parametrize(("slots", "gpus"), [(288, 32), (320, 64)])
@pytest.mark.parametrize(("before", "after"), DRIFTS)
def test_measured_layers(context, before, after, slots, gpus):
    """Loads have drifted since they were placed."""
    was, now = (read_trace(name)[::3] for name in (before, after))
    plan = context.solve(was, slots, gpus)
    split = context.split(now, plan)
    layers = [Layer(*pair, np.ones(gpus)) for pair in zip(now, plan.physical_to_logical, strict=True)]
    for at, (layer, least) in enumerate(zip(layers, least_times(layers), strict=True)):
        check(layer, split, at, least)
    even = context.evaluate(plan, now)
    assert (split.imbalance <= even.imbalance * (1 + 1e-12) + 1 / (now.sum(axis=1) / gpus)).all()
    assert split.imbalance_mean - 1 < 0.9 * (even.imbalance_mean - 1)


def read_trace(name):
    return np.loadtxt(TRACES / f"deepseek-v3_{name}_L58xE256.csv", delimiter=",").astype(np.int64)
