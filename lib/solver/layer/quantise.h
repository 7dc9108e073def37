// A layer's weights as integers that sum to less than 2^29. They are rounded once, and without a
// floating-point operation: no rounding mode, no flush-to-zero and no machine changes them.
#pragma once

#include "core/problem.h"
#include "solver/team/team.h"

EPLB_STAGE_BEGIN

// Non-negative doubles are ordered like their bits.
EPLB_FN int64_t bits_of(double value) { return __builtin_bit_cast(int64_t, value); }
EPLB_FN double of_bits(int64_t bits) { return __builtin_bit_cast(double, bits); }

// weight = mantissa * 2^exponent, exactly.
struct Decoded {
  uint64_t mantissa;
  int exponent;
};

// Of the bits of a double.
EPLB_FN Decoded decoded(int64_t bits_of_weight) {
  constexpr int kFractionBits = 52, kBias = 1075;
  const uint64_t bits = static_cast<uint64_t>(bits_of_weight);
  const int field = static_cast<int>(bits >> kFractionBits) & 0x7ff;
  const uint64_t implied = uint64_t{1} << kFractionBits, fraction = bits & (implied - 1);
  return field == 0 ? Decoded{fraction, 1 - kBias} : Decoded{fraction | implied, field - kBias};
}

// Weights of a layer, which add up those of windows: in_window(t) are those of one of them.
struct RealWeights {
  const double* data;
  const double* windows = nullptr;
  int64_t stride = 0;

  EPLB_FN RealWeights in_window(int t) const { return {windows + t * stride}; }
  EPLB_FN Decoded operator()(int expert) const { return decoded(bits_of(data[expert])); }
  EPLB_FN float as_float(int expert) const { return static_cast<float>(data[expert]); }
  // The weight if it is a whole number below this limit, else the limit.
  EPLB_FN int64_t whole_below(int limit, int expert) const {
    const double magnitude = of_bits(bits_of(data[expert]) & kNever64);  // -0 becomes 0
    if (bits_of(magnitude) >= bits_of(limit)) return limit;
    const int whole = static_cast<int>(magnitude);
    return bits_of(whole) == bits_of(magnitude) ? whole : limit;
  }
};

struct WholeWeights {
  const int64_t* data;
  const int64_t* windows = nullptr;
  int64_t stride = 0;

  EPLB_FN WholeWeights in_window(int t) const { return {windows + t * stride}; }
  EPLB_FN Decoded operator()(int expert) const { return {static_cast<uint64_t>(data[expert]), 0}; }
  EPLB_FN float as_float(int expert) const { return static_cast<float>(data[expert]); }
  EPLB_FN int64_t whole_below(int limit, int expert) const {
    return data[expert] < limit ? data[expert] : limit;
  }
};

EPLB_FN int bit_length(uint64_t value) {
#ifdef __CUDA_ARCH__
  return 64 - __clzll(static_cast<long long>(value));
#else
  return value == 0 ? 0 : 64 - __builtin_clzll(value);
#endif
}

// floor(mantissa * 2^shift), of a mantissa below 2^63. The result must fit: only of 0 it does for
// any shift. Without a branch, so that loops become vectors.
EPLB_FN int64_t scaled_down(uint64_t mantissa, int shift) {
  const int left = smaller(larger(shift, 0), 63), right = smaller(larger(-shift, 0), 63);
  return static_cast<int64_t>(mantissa << left >> right);
}

// The position of the highest bit of the largest weight, or kNoWeight.
inline constexpr int kNoWeight = -(1 << 20);
EPLB_FN int highest_bit(Decoded weight) {
  return weight.mantissa == 0 ? kNoWeight : bit_length(weight.mantissa) + weight.exponent;
}
EPLB_FN int highest_bit(Team auto& team, const auto& source, int experts) {
  return team.max_of(experts, [&](int expert) { return highest_bit(source(expert)); });
}
EPLB_FN int highest_bit(Team auto& team, const RealWeights& source, int experts) {
  const double* data = source.data;  // ordered like their bits, which are negative of -0
  const int64_t most = team.max_of(experts, [=](int e) { return bits_of(data[e]); });
  return most > 0 ? highest_bit(decoded(most)) : kNoWeight;
}

// The weights of a layer times 2^shift. A layer of zeros counts as a layer of ones.
template <class Source> struct ScaledWeights {
  const Source& source;
  bool zero;

  EPLB_FN Decoded decoded(int expert) const { return zero ? Decoded{1, 0} : source(expert); }
  EPLB_FN int64_t floor(int expert, int shift) const {
    const Decoded weight = decoded(expert);
    return scaled_down(weight.mantissa, weight.exponent + shift);
  }
  // Rounded half up, but at least 1.
  EPLB_FN int64_t quantum(int expert, int shift) const {
    const int64_t rounded = (floor(expert, shift + 1) + 1) >> 1;
    return rounded < 1 ? int64_t{1} : rounded;
  }
};

inline constexpr int kQuantaBits = 29;
inline constexpr int64_t kQuantaLimit = int64_t{1} << kQuantaBits;  // their sum is less

// Writes quanta[e] = max(1, round(weight[e] * 2^shift)); returns whether their sum keeps the limit.
template <class Source>
EPLB_FN bool write_quanta(Team auto& team, const ScaledWeights<Source>& weights, int experts,
                          int shift, View<int> quanta) {
  return team.sum_of(experts, [&](int expert) {
    quanta[expert] = static_cast<int>(weights.quantum(expert, shift));
    return int64_t{quanta[expert]};
  }) < kQuantaLimit;
}

// The same with the largest shift that keeps the limit.
template <class Source>
EPLB_FN void quantise(Team auto& team, const Source& source, int experts, View<int> quanta) {
  const int largest_bits = highest_bit(team, source, experts);
  const bool zero = largest_bits == kNoWeight;
  const ScaledWeights<Source> weights{source, zero};
  // A sum of floors at the finest scale gives the shift but for one step in rare cases. The
  // neighbours of that shift are therefore tried with the quanta themselves.
  const int finest = kQuantaBits - (zero ? 1 : largest_bits);
  const int64_t floors =
      team.sum_of(experts, [&](int expert) { return weights.floor(expert, finest); });
  const int excess = larger(0, bit_length(static_cast<uint64_t>(floors)) - kQuantaBits);
  int shift = finest - excess;
  // One step finer, the sum is at least floors * 2^(1 - excess) - experts / 2, which is nearly
  // always too large.
  const bool finer_is_too_large = excess > 0 && (floors >> (excess - 1)) - experts >= kQuantaLimit;
  if (!finer_is_too_large)
    while (write_quanta(team, weights, experts, shift + 1, quanta)) ++shift;
  while (!write_quanta(team, weights, experts, shift, quanta)) --shift;
}

EPLB_FN bool has_weight(Team auto& team, const auto& source, int experts) {
  return team.max_of(experts, [&](int e) { return source(e).mantissa == 0 ? 0 : 1; }) > 0;
}

// Makes the sum of quanta about this, where a window matters all it can.
EPLB_FN void scale_quanta(Team auto& team, int experts, int64_t full, int share, View<int> quanta) {
  const int64_t to = full * share / kWindowShare;
  const int64_t sum = team.sum_of(experts, [&](int e) { return int64_t{quanta[e]}; });
  team.for_each(experts,
                [&](int e) { quanta[e] = larger(1, static_cast<int>(quanta[e] * to / sum)); });
}

// The quanta of windows that have weight and matter sum up to about the same, or to less where one
// matters less; all of them together to less than the limit. Writes them one window after the
// other, and how much of kWindowShare each matters. Returns how many there are.
EPLB_FN int quantise_windows(Team auto& team, const auto& source, const Problem& problem,
                             View<int> quanta, View<int> share) {
  const int experts = problem.experts;
  int used = 0;
  for (int t = 0; t < problem.windows_apart; ++t) {
    const int own = problem.window_share ? problem.window_share[t] : kWindowShare;
    const auto window = source.in_window(t);
    if (own == 0 || !has_weight(team, window, experts)) continue;
    quantise(team, window, experts, quanta.from(used * experts));
    team.single([&] { share[used] = own; });
    ++used;
  }
  if (used == 1) return used;
  for (int t = 0; t < used; ++t)
    scale_quanta(team, experts, kQuantaLimit / 2 / used, share[t], quanta.from(t * experts));
  return used;
}

// Reads the weights of a layer in one of the two kinds of arithmetic.
EPLB_FN void read_weights(Integer, Team auto& team, const auto& source, int experts,
                          View<int> weight) {
  quantise(team, source, experts, weight);
}

// What the published program computes in: float32, rounded to nearest even.
EPLB_FN void read_weights(Float32, Team auto& team, const auto& source, int experts,
                          View<int> bits) {
  team.for_each(experts, [&](int expert) {
    bits[expert] = Float32::bits(source.as_float(expert) + 0.0f);  // -0 becomes 0
  });
  const int heaviest = team.max(0, experts, [=](auto expert) { return bits[expert]; });
  if (heaviest != 0) return;
  team.for_each(experts, [&](int expert) { bits[expert] = Float32::bits(1.0f); });
}

EPLB_STAGE_END
