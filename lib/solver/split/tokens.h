// A layer's weights as tokens to be split: integers that sum to less than 2^29, and none where there
// is no weight. (quantise.h makes ones of zeros, since searches need that.)
#pragma once

#include "solver/layer/quantise.h"

EPLB_STAGE_BEGIN

// As integers of their own they can be read as they are.
EPLB_FN bool is_whole(const Decoded& weight) {
  if (weight.exponent >= 0) return true;
  if (weight.exponent <= -64) return weight.mantissa == 0;
  return (weight.mantissa & ((uint64_t{1} << -weight.exponent) - 1)) == 0;
}

// Writes tokens[e] = floor(weight[e] * 2^shift), but at least 1 where there is weight. Returns the
// shift: 0, if weights are whole numbers and their sum keeps the limit.
template <class Source>
EPLB_FN int read_tokens(Team auto& team, const Source& source, int experts, View<int> tokens) {
  constexpr int kNoWeight = -(1 << 20), kScaledBits = kQuantaBits - 1;
  const int bits = team.max_of(experts, [&](int e) {
    const Decoded weight = source(e);
    return weight.mantissa == 0 ? kNoWeight : bit_length(weight.mantissa) + weight.exponent;
  });
  auto scaled = [&](int e, int shift) {
    const Decoded weight = source(e);
    return scaled_down(weight.mantissa, weight.exponent + shift);
  };
  auto sum = [&](int shift) {
    return team.sum_of(experts, [&](int e) { return scaled(e, shift); });
  };
  const bool whole = bits <= kQuantaBits &&
                     team.find_of(experts, [&](int e) { return !is_whole(source(e)); }) == experts;
  int shift = 0;
  if (bits != kNoWeight && !(whole && sum(0) < kQuantaLimit)) {
    const int finest = kScaledBits - bits;
    shift = finest - larger(0, bit_length(static_cast<uint64_t>(sum(finest))) - kScaledBits);
  }
  team.for_each(experts, [&](int e) {
    const int least = source(e).mantissa == 0 ? 0 : 1;
    tokens[e] = larger(least, static_cast<int>(scaled(e, shift)));
  });
  return shift;
}

EPLB_STAGE_END
