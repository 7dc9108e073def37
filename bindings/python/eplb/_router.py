"""A router of which only the counts of experts are known: the least that these say about which are picked together.

A token picks some distinct experts, from a limited number of groups. Of all distributions over such choices that pick
every expert as often as was counted, the one with the largest entropy gives a choice the weight of a product: of one
positive number for each of its experts. All that is asked of it follows from sums of such products over all choices,
which are elementary symmetric polynomials within a group, and counts of groups and picks over them. All terms are
positive, so nothing cancels.
"""

from __future__ import annotations

import numpy as np

from ._arrays import Array, Floats

# Of the fit, as a probability: far below what any figure shows. Measured loads need a dozen sweeps.
_GOOD_ENOUGH, _MOST_SWEEPS = 1e-8, 200
# The number of an expert that is always picked would be infinite, and where too few experts have any load, no choice
# would be left.
_MOST_OFTEN, _LEAST_OFTEN = 1 - 1e-9, 1e-12
_LEAST_FOUND = 1e-290
_LEAST_STEP, _MOST_STEP = 1 / 64, 4.0
# Of logarithms of factors, below the largest: eight such factors are far from underflow.
_LOWEST = -60.0
# Of logarithms of what one step multiplies factors by: where no router fits, steps have no limit of their own.
_HIGHEST = 600.0


class Router:
    """The distribution that fits chances [L,E] best.

    Args:
        chances: that a token picks an expert; every layer sums up to `picks`.
        group: of every expert, ascending from 0.
        picks: distinct experts that a token picks.
        most_groups: that they are from.

    Attributes:
        error: float64 [L]: by how much the chance of some expert is missed.
    """

    def __init__(self, chances: Floats, group: Array, picks: int, most_groups: int) -> None:
        sizes = np.bincount(group)
        self._picks, self._most_groups = picks, most_groups
        # Groups are rows of one length: experts that are nobody's fill them up.
        self._place = group, np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self._shape = len(sizes), int(sizes.max())
        self._factors, self.error = self._fit(self._in_groups(np.clip(chances, _LEAST_OFTEN, _MOST_OFTEN)))

    def chance_to_avoid(self, share: Floats) -> Floats:
        """[L]: that no pick hits a target which a pick of expert e hits with chance share[L,E], by itself."""
        missing = self._factors * (1 - self._in_groups(share))
        avoided: Floats = self._total(missing) / self._total(self._factors)
        return avoided

    def _in_groups(self, by_expert: Floats) -> Floats:
        table = np.zeros((len(by_expert), *self._shape))
        table[:, self._place[0], self._place[1]] = by_expert
        return table

    def _total(self, factors: Floats) -> Floats:
        """[L]: the sum of the products of all choices."""
        total: Floats = self._by_groups(_by_picks(factors, self._picks)[-1])[-1][:, :, -1].sum(axis=1)
        return total

    def _by_groups(self, polynomials: Floats) -> list[Floats]:
        """After 0, 1, ... groups, the sums [L,groups used,picks] of products of choices among their experts."""
        blocks = _as_steps(polynomials)
        sums = np.zeros((len(polynomials), self._most_groups + 1, self._picks + 1))
        sums[:, 0, 0] = 1
        after = [sums]
        for q in range(self._shape[0]):
            sums = sums.copy()
            sums[:, 1:] += after[-1][:, :-1] @ blocks[:, q]
            after.append(sums)
        return after

    def _chances(self, factors: Floats) -> Floats:
        """[L,Q,members]: how often every expert is picked, the derivative of log(total) by log(factor).

        It is found by going backwards through the sums that the total is made of.
        """
        prefixes = _by_picks(factors, self._picks)
        after, blocks = self._by_groups(prefixes[-1]), _as_steps(prefixes[-1])
        rest = np.zeros_like(after[0])
        rest[:, :, -1] = 1 / after[-1][:, :, -1].sum(axis=1, keepdims=True)
        slopes = np.zeros_like(prefixes[-1])
        for q in reversed(range(self._shape[0])):
            pairs = after[q][:, :-1].transpose(0, 2, 1) @ rest[:, 1:]
            for picked in range(1, self._picks + 1):
                slopes[:, q, picked] = np.trace(pairs, offset=picked, axis1=1, axis2=2)
            rest[:, :-1] += rest[:, 1:] @ blocks[:, q].transpose(0, 2, 1)
        chances = np.empty_like(factors)
        for i in reversed(range(self._shape[1])):
            chances[..., i] = (slopes[..., 1:] * prefixes[i][..., :-1]).sum(axis=-1)
            slopes[..., :-1] += factors[..., i, np.newaxis] * slopes[..., 1:]
        return chances * factors

    def _fit(self, wanted: Floats) -> tuple[Floats, Floats]:
        """Factors, and by how much they miss the chances that are wanted.

        Proportional fitting of the odds, all experts at once. How far to go is what would have been best in the last
        step along its direction; so the fit also converges where experts depend on each other.
        """
        best, error = np.zeros_like(wanted), np.full(len(wanted), np.inf)
        member = wanted[0] > 0
        left = np.arange(len(wanted))
        factors, step = _scaled(_odds(wanted), self._picks), np.full(len(wanted), 0.5)
        before = None
        for _ in range(_MOST_SWEEPS):
            found = self._chances(factors)
            missed = wanted[left] - found
            worst = np.abs(missed).max(axis=(1, 2))
            better = worst < error[left]
            best[left[better]], error[left[better]] = factors[better], worst[better]
            if before is not None:
                step = np.clip(step * _line_search(*before, missed), _LEAST_STEP, _MOST_STEP)
            going = worst > _GOOD_ENOUGH
            if not going.any():
                break
            left, factors, found, missed, step = (each[going] for each in (left, factors, found, missed, step))
            direction = np.zeros_like(found)
            # Chances may underflow to 0, whose odds have no logarithm; next to 0, ratios of odds overflow.
            found = np.maximum(found, _LEAST_FOUND)
            direction[:, member] = np.log(_odds(wanted[left])[:, member] / _odds(found)[:, member])
            factors = _scaled(factors * _growth(step[:, np.newaxis, np.newaxis] * direction, member), self._picks)
            before = missed, direction
        return best, error


def _by_picks(factors: Floats, picks: int) -> list[Floats]:
    """Of the first 0, 1, ... members of each group, the sums [L,Q,picks] of products of 0, 1, ... of them."""
    sums = np.zeros((*factors.shape[:2], picks + 1))
    sums[..., 0] = 1
    prefixes = [sums]
    for i in range(factors.shape[2]):
        sums = sums.copy()
        sums[..., 1:] += factors[..., i, np.newaxis] * prefixes[-1][..., :-1]
        prefixes.append(sums)
    return prefixes


def _as_steps(polynomials: Floats) -> Floats:
    """[L,Q,picks before,picks after]: what a group brings that is used, which is at least one pick."""
    more = np.arange(polynomials.shape[-1]) - np.arange(polynomials.shape[-1])[:, np.newaxis]
    return np.where(more > 0, polynomials[..., np.maximum(more, 0)], 0.0)


def _odds(chances: Floats) -> Floats:
    odds: Floats = chances / np.maximum(1 - chances, 1e-13)
    return odds


def _scaled(factors: Floats, picks: int) -> Floats:
    """Choices have one size, so the scale is free: with this one no sum overflows."""
    largest = factors.max(axis=(1, 2), keepdims=True)
    factors = np.where(factors > 0, np.maximum(factors, largest * np.exp(_LOWEST)), 0.0)
    scaled: Floats = factors * (picks / factors.sum(axis=(1, 2), keepdims=True))
    return scaled


def _growth(logarithms: Floats, member: Array) -> Floats:
    """What factors are multiplied by: exp(logarithms), but for a scale of the layer where that would overflow."""
    largest = logarithms[:, member].max(axis=1)[:, np.newaxis, np.newaxis]
    # What is further below is the lowest anyway, and must not become 0.
    logarithms = np.maximum(logarithms, largest + 2 * _LOWEST)
    growth: Floats = np.exp(logarithms - np.maximum(largest - _HIGHEST, 0))
    return growth


def _line_search(missed: Floats, direction: Floats, missed_now: Floats) -> Floats:
    """[L]: the step that would have been best over the one that was taken, by the slopes at both ends."""
    first = (missed * direction).sum(axis=(1, 2))
    fallen = first - (missed_now * direction).sum(axis=(1, 2))
    ratio: Floats = np.divide(first, fallen, out=np.full_like(first, 2.0), where=fallen > 0.5 * np.abs(first))
    return ratio
