// A layer's weights as tokens to be split: integers that sum to less than 2^29, none where there is
// no weight. (quantise.h makes ones of zeros, since searches need that.)
#pragma once

#include "solver/layer/quantise.h"

EPLB_STAGE_BEGIN

template <class Source> class TokenReader {
 public:
  EPLB_FN TokenReader(const Source& source, int experts) : source_(source), experts_(experts) {}

  // Writes tokens[e] = floor(weight[e] * 2^shift), but at least 1 where there is weight. Returns
  // the shift: 0, if weights are whole numbers and their sum keeps the limit.
  EPLB_FN int read(Team auto& team, View<int> tokens) const {
    if (are_tokens(team, tokens)) return 0;
    const int shift = find_shift(team);
    team.for_each(experts_, [&](int e) {
      const int least = source_(e).mantissa == 0 ? 0 : 1;
      tokens[e] = larger(least, static_cast<int>(scaled(e, shift)));
    });
    return shift;
  }

 private:
  static constexpr int kScaledBits = kQuantaBits - 1;

  // Are weights tokens as they are? Then they are written.
  EPLB_FN bool are_tokens(Team auto& team, View<int> tokens) const {
    return team.sum_of(experts_, [&](int e) {
      const int64_t whole = source_.whole_below(kQuantaLimit, e);
      tokens[e] = static_cast<int>(whole);
      return whole;
    }) < kQuantaLimit;
  }
  EPLB_FN int64_t scaled(int e, int shift) const {
    const Decoded weight = source_(e);
    return scaled_down(weight.mantissa, weight.exponent + shift);
  }
  EPLB_FN int64_t sum(Team auto& team, int shift) const {
    return team.sum_of(experts_, [&](int e) { return scaled(e, shift); });
  }
  EPLB_FN int find_shift(Team auto& team) const {
    const int finest = kScaledBits - highest_bit(team, source_, experts_);
    const int sum_bits = bit_length(static_cast<uint64_t>(sum(team, finest)));
    return finest - larger(0, sum_bits - kScaledBits);
  }

  const Source& source_;
  const int experts_;
};

template <class Source>
EPLB_FN int read_tokens(Team auto& team, const Source& source, int experts, View<int> tokens) {
  return TokenReader<Source>(source, experts).read(team, tokens);
}

EPLB_STAGE_END
