// A layer's weights as integers whose sum stays below 2^29, rounded once, without a floating-point operation: so no rounding
// mode, no flush-to-zero and no machine changes them.
#pragma once

#include "solver/team/arithmetic.h"

EPLB_STAGE_BEGIN

// Numbers that are not negative are ordered like their bits.
EPLB_FN int64_t bits_of(double value) {
#ifdef __CUDA_ARCH__
  return __double_as_longlong(value);
#else
  return __builtin_bit_cast(int64_t, value);
#endif
}
EPLB_FN double of_bits(int64_t bits) {
#ifdef __CUDA_ARCH__
  return __longlong_as_double(bits);
#else
  return __builtin_bit_cast(double, bits);
#endif
}

// weight = mantissa * 2^exponent, exactly.
struct Decoded {
  uint64_t mantissa;
  int exponent;
};

struct RealWeights {
  const double* data;
  EPLB_FN Decoded operator()(int e) const {
    const uint64_t bits = static_cast<uint64_t>(bits_of(data[e]));
    const int field = static_cast<int>(bits >> 52) & 0x7ff;
    const uint64_t fraction = bits & ((uint64_t{1} << 52) - 1);
    return field == 0 ? Decoded{fraction, -1074} : Decoded{fraction | uint64_t{1} << 52, field - 1075};
  }
  EPLB_FN float as_float(int e) const { return static_cast<float>(data[e]); }
};

struct WholeWeights {
  const int64_t* data;
  EPLB_FN Decoded operator()(int e) const { return {static_cast<uint64_t>(data[e]), 0}; }
  EPLB_FN float as_float(int e) const { return static_cast<float>(data[e]); }
};

EPLB_FN int bit_length(uint64_t x) {
#ifdef __CUDA_ARCH__
  return 64 - __clzll(static_cast<long long>(x));
#else
  return x == 0 ? 0 : 64 - __builtin_clzll(x);
#endif
}

// floor(mantissa * 2^shift), and the same rounded half up. The result must fit.
EPLB_FN int64_t scaled_down(uint64_t mantissa, int shift) {
  return static_cast<int64_t>(shift >= 0 ? mantissa << shift : shift > -64 ? mantissa >> -shift : 0);
}
EPLB_FN int64_t scaled(uint64_t mantissa, int shift) {
  return shift >= 0 ? static_cast<int64_t>(mantissa << shift) : (scaled_down(mantissa, shift + 1) + 1) >> 1;
}

// Writes q[e] = max(1, round(weight[e] * 2^p)) with the largest p for which they sum to less than 2^29. A layer of zeros is
// taken as all ones.
template <class Team, class Source> EPLB_FN void quantise(Team& team, const Source& source, int n, View<int> q) {
  constexpr int kBits = 29;
  constexpr int kNoWeight = -(1 << 20);
  const int top = team.most_of(n, [&](int e) {
    const Decoded d = source(e);
    return d.mantissa == 0 ? kNoWeight : bit_length(d.mantissa) + d.exponent;
  });
  const bool zero = top == kNoWeight;
  auto decoded = [&](int e) { return zero ? Decoded{1, 0} : source(e); };
  auto quantum = [&](int e, int p) {
    const Decoded d = decoded(e);
    const int64_t x = scaled(d.mantissa, d.exponent + p);
    return x < 1 ? int64_t{1} : x;
  };
  // The sum of floors at the finest scale tells p but for one step in rare cases; both neighbours are then tried for real.
  const int finest = kBits - (zero ? 1 : top);
  const int64_t floors = team.total(n, [&](int e) {
    const Decoded d = decoded(e);
    return scaled_down(d.mantissa, d.exponent + finest);
  });
  const int excess = more(0, bit_length(static_cast<uint64_t>(floors)) - kBits);
  auto fits = [&](int p) {
    return team.total(n, [&](int e) { return q[e] = static_cast<int>(quantum(e, p)), int64_t{q[e]}; }) <
           (int64_t{1} << kBits);
  };
  int p = finest - excess;
  // One step finer the sum is at least floors * 2^(1 - excess) - n/2, which is nearly always too much already.
  const bool finer_is_too_much = excess > 0 && (floors >> (excess - 1)) - n >= (int64_t{1} << kBits);
  if (!finer_is_too_much)
    while (fits(p + 1)) ++p;
  while (!fits(p)) --p;  // leaves q at this p
}

// The same for the published program: its own float32, rounded to nearest even.
template <class Team, class Source> EPLB_FN void to_float32(Team& team, const Source& source, int n, View<int> w) {
  team.for_each(n, [&](int e) { w[e] = Float32::bits(source.as_float(e) + 0.0f); });  // -0 becomes 0
  const int heaviest = team.most(0, n, [=](auto e) { return w[e]; });
  if (heaviest == 0) team.for_each(n, [&](int e) { w[e] = Float32::bits(1.0f); });
}

template <class Number> struct Reader;
template <> struct Reader<Integer> {
  template <class Team, class Source> EPLB_FN static void read(Team& team, const Source& source, int n, View<int> w) {
    quantise(team, source, n, w);
  }
};
template <> struct Reader<Float32> {
  template <class Team, class Source> EPLB_FN static void read(Team& team, const Source& source, int n, View<int> w) {
    to_float32(team, source, n, w);
  }
};

EPLB_STAGE_END
