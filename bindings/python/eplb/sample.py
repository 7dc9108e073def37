"""Made-up weights that look like those of a large Mixture-of-Experts model, for demonstrations and tests."""

from __future__ import annotations

import numpy as np

from ._arrays import Floats, Ints

# The spread of ln(weight) over the experts of a layer, as measured on DeepSeek-V3 prefill: 0.56 to 0.77 at the median.
SIGMA = (0.60, 0.75)
# The hottest expert of a layer over the mean expert: 4 to 13.7 measured, 7 at the median.
HOTTEST = (4.0, 13.0)
# The others among one to three outliers.
OTHER_OUTLIERS = (3.0, 6.0)


def sample_weights(
    num_layers: int = 58, num_experts: int = 256, seed: int = 0, tokens_per_layer: int = 8 * 4096 * 2048
) -> Ints:
    """Makes up weights [layers, experts] of the size and skew of DeepSeek-V3's.

    Each layer is drawn on its own: a lognormal body, and one to three outlier experts at random places, which a body
    alone does not have. Then it is scaled to sum to tokens_per_layer but for rounding, as real layers do: every token
    picks the same number of experts in each.

    Args:
        num_layers: MoE layers.
        num_experts: experts of a layer, at least 1.
        seed: the same seed gives the same weights, with any version of numpy.
        tokens_per_layer: (token, choice) pairs routed in each layer; the default is that of a measured run.

    Returns:
        int64 [layers, experts].

    Raises:
        ValueError: a size below 1, or a negative seed.
    """
    if num_layers < 1 or num_experts < 1 or tokens_per_layer < 1:
        raise ValueError("num_layers, num_experts and tokens_per_layer must be at least 1")
    chance = _Chance(seed)
    layers = [_sample_layer(chance, num_experts) for _ in range(num_layers)]
    weights: Ints = np.rint(np.array(layers) * (tokens_per_layer / num_experts)).astype(np.int64)
    return weights


class _Chance:
    """Uniform numbers from the raw words of PCG64, which numpy keeps stable, unlike its distributions."""

    def __init__(self, seed: int) -> None:
        self._words = np.random.PCG64(seed)

    def uniform(self, size: int) -> Floats:
        """In (0, 1]."""
        words = np.array(self._words.random_raw(size), np.uint64)
        uniform: Floats = ((words >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53
        return uniform

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.uniform(1)[0])

    def normal(self, size: int) -> Floats:
        """By the Box-Muller transform of uniform numbers."""
        radius = np.sqrt(-2 * np.log(self.uniform(size)))
        return np.asarray(radius * np.cos(2 * np.pi * self.uniform(size)), np.float64)

    def places(self, count: int, size: int) -> Ints:
        """Different indices below size."""
        return np.argsort(self.uniform(size), kind="stable")[:count]


def _sample_layer(chance: _Chance, num_experts: int) -> Floats:
    """Weights of one layer over their mean."""
    # Clipped at three sigma: the outliers come separately.
    weights = np.exp(chance.between(*SIGMA) * np.clip(chance.normal(num_experts), -3, 3))
    count = 1 + int(chance.between(0, 2.999))
    places = chance.places(min(count, num_experts), num_experts)
    # The hottest is uniform on a logarithmic scale, so that 7 is the median.
    ratios = [float(np.exp(chance.between(*np.log(HOTTEST))))]
    ratios += [min(ratios[0], chance.between(*OTHER_OUTLIERS)) for _ in range(count - 1)]
    # In a small layer, no expert may take so large a multiple of the mean that nothing is left for the others.
    share = np.minimum(np.array(ratios[: len(places)]) / num_experts, 0.5 / len(places))
    weights[places] = 0
    body = weights.sum()
    if body == 0:
        return np.ones(num_experts)
    weights *= (1 - share.sum()) / body
    weights[places] = share
    return weights * num_experts
