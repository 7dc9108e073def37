"""The generator: the same numbers for ever, and the skew that was measured."""

import numpy as np
import pytest
from eplb.sample import sample_weights


def test_same_numbers():
    # Frozen: bench results and demonstrations name the seed.
    assert sample_weights(1, 8, 0, 10000).tolist() == [[1402, 1011, 2500, 2500, 667, 456, 640, 823]]
    assert np.array_equal(sample_weights(3, 64, 5), sample_weights(3, 64, 5))
    assert not np.array_equal(sample_weights(3, 64, 5), sample_weights(3, 64, 6))


def test_skew_of_a_large_model():
    weights = sample_weights()
    assert weights.shape == (58, 256)
    assert weights.dtype == np.int64
    assert weights.min() > 0
    totals = weights.sum(axis=1)
    assert np.abs(totals - totals[0]).max() <= 256
    hottest = weights.max(axis=1) / weights.mean(axis=1)
    assert hottest.min() >= 4
    assert hottest.max() < 14
    assert 6 < np.median(hottest) < 9
    assert 0.55 < np.median(np.log(weights).std(axis=1)) < 0.8


@pytest.mark.parametrize("experts", [1, 2, 3, 8])
def test_small(experts):
    weights = sample_weights(4, experts)
    assert weights.shape == (4, experts)
    assert weights.min() >= 0


@pytest.mark.parametrize("sizes", [(0, 8), (1, 0), (1, 8, 0, 0), (1, 8, -1)])
def test_sizes_that_cannot_be(sizes):
    with pytest.raises(ValueError):
        sample_weights(*sizes)
