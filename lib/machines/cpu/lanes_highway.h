// Vectors of int32 as a vector body of a stage sees them: Highway's types with operators.
#pragma once

#include <hwy/highway.h>

#include "solver/team/memory.h"

EPLB_STAGE_BEGIN

namespace hn = hwy::HWY_NAMESPACE;
inline constexpr hn::ScalableTag<int32_t> kInts;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(kInts));
static_assert(kLanes * sizeof(int32_t) <= Arena::kPadding);

struct Lanes {
  hn::Vec<hn::ScalableTag<int32_t>> vector;

  Lanes(hn::Vec<hn::ScalableTag<int32_t>> lanes) : vector(lanes) {}
  Lanes(int value) : vector(hn::Set(kInts, value)) {}
  // As indices of an array.
  Lanes load(const int32_t* array) const { return hn::GatherIndex(kInts, array, vector); }
};

using Accumulator = Lanes;

struct Mask {
  hn::Mask<hn::ScalableTag<int32_t>> mask;
};

// The indices at .. at + kLanes - 1.
struct Index {
  int at;

  Lanes load(const int32_t* array) const { return hn::LoadU(kInts, array + at); }
  Lanes load_mirrored(const int32_t* array, int n) const {
    return hn::Reverse(kInts, hn::LoadU(kInts, array + n - kLanes - at));
  }
  void store(int32_t* array, Lanes value) const { hn::StoreU(value.vector, kInts, array + at); }
};

inline Lanes operator+(Lanes a, Lanes b) { return hn::Add(a.vector, b.vector); }
inline Lanes operator-(Lanes a, Lanes b) { return hn::Sub(a.vector, b.vector); }
inline Mask operator!=(Lanes a, Lanes b) { return {hn::Ne(a.vector, b.vector)}; }
inline Lanes operator*(Lanes a, Lanes b) { return hn::Mul(a.vector, b.vector); }
inline Lanes operator<<(Lanes a, Lanes bits) { return hn::Shl(a.vector, bits.vector); }
inline Lanes operator>>(Lanes a, int bits) { return hn::ShiftRightSame(a.vector, bits); }
inline Lanes operator^(Lanes a, Lanes b) { return hn::Xor(a.vector, b.vector); }
inline Lanes operator&(Lanes a, Lanes b) { return hn::And(a.vector, b.vector); }
inline Mask operator==(Lanes a, Lanes b) { return {hn::Eq(a.vector, b.vector)}; }
inline Mask operator<(Lanes a, Lanes b) { return {hn::Lt(a.vector, b.vector)}; }
inline Mask operator>(Lanes a, Lanes b) { return {hn::Gt(a.vector, b.vector)}; }
inline Mask operator<=(Lanes a, Lanes b) { return {hn::Not(hn::Gt(a.vector, b.vector))}; }
inline Mask operator>=(Lanes a, Lanes b) { return {hn::Not(hn::Lt(a.vector, b.vector))}; }
inline Mask operator&(Mask a, Mask b) { return {hn::And(a.mask, b.mask)}; }
inline Mask operator|(Mask a, Mask b) { return {hn::Or(a.mask, b.mask)}; }
inline Lanes smaller(Lanes a, Lanes b) { return hn::Min(a.vector, b.vector); }
inline Lanes larger(Lanes a, Lanes b) { return hn::Max(a.vector, b.vector); }
inline Lanes magnitude(Lanes a) { return hn::Abs(a.vector); }
inline Lanes choose(Mask condition, Lanes a, Lanes b) {
  return hn::IfThenElse(condition.mask, a.vector, b.vector);
}

inline Lanes scrambled(Lanes a, int salt) {
  constexpr hn::RebindToUnsigned<decltype(kInts)> kWords{};
  auto bits = hn::BitCast(kWords, hn::Xor(a.vector, hn::Set(kInts, salt)));
  bits = hn::Mul(bits, hn::Set(kWords, kScramble1));
  bits = hn::Xor(bits, hn::ShiftRight<15>(bits));
  return hn::BitCast(kInts, hn::Mul(bits, hn::Set(kWords, kScramble2)));
}
inline Lanes lower_product(Lanes a, uint32_t b) { return a * static_cast<int>(b); }
inline Lanes upper_product(Lanes a, uint32_t b) {
  constexpr hn::RebindToUnsigned<decltype(kInts)> kWords{};
  constexpr hn::RepartitionToWide<decltype(kWords)> kPairs{};
  const auto even = hn::BitCast(kWords, a.vector), factor = hn::Set(kWords, b);
  const auto odd = hn::BitCast(kWords, hn::ShiftRight<32>(hn::BitCast(kPairs, even)));
  const auto of_even = hn::ShiftRight<32>(hn::MulEven(even, factor));
  return hn::BitCast(kInts, hn::OddEven(hn::BitCast(kWords, hn::MulEven(odd, factor)),
                                        hn::BitCast(kWords, of_even)));
}
// One more where the mask is true.
inline Lanes count_true(Lanes count, Mask a) {
  return hn::Sub(count.vector, hn::VecFromMask(kInts, a.mask));
}
inline Index index_at(int i) { return {i}; }
inline int reduce_min(Lanes a) { return hn::GetLane(hn::MinOfLanes(kInts, a.vector)); }
inline int reduce_max(Lanes a) { return hn::GetLane(hn::MaxOfLanes(kInts, a.vector)); }
inline int reduce_sum(Lanes a) { return hn::GetLane(hn::SumOfLanes(kInts, a.vector)); }
// The first `count` lanes of `a`, the others become `rest`.
inline Lanes keep_first(int count, Lanes a, int rest) {
  return hn::IfThenElse(hn::FirstN(kInts, static_cast<size_t>(count)), a.vector,
                        hn::Set(kInts, rest));
}
// Bit i: is lane i true?
inline uint64_t bits_of(Mask a) {
  uint8_t bytes[8] = {};  // StoreMaskBits writes whole bytes, up to eight
  hn::StoreMaskBits(kInts, a.mask, bytes);
  uint64_t word = 0;
  __builtin_memcpy(&word, bytes, kLanes > 8 ? 2 : 1);
  return word;
}
inline int first_true(Mask a) { return static_cast<int>(hn::FindFirstTrue(kInts, a.mask)); }
// Iota of a constant, because Highway stores lane by lane and reloads for a variable, which stalls.
inline Lanes indices_from(int i) { return hn::Add(hn::Iota(kInts, 0), hn::Set(kInts, i)); }
inline Lanes value_of(Index i) { return indices_from(i.at); }
inline int lane_of(Lanes a, int lane) {
  alignas(kLanes * sizeof(int)) int lanes[kLanes];
  hn::Store(a.vector, kInts, lanes);
  return lanes[lane];
}
// visit(tag, index) for the lanes that are true. Mostly there is one: then this beats a reduction.
void for_each_true(Mask a, Lanes tag, Lanes index, auto visit) {
  alignas(kLanes * sizeof(int)) int tags[kLanes], indices[kLanes];
  hn::Store(tag.vector, kInts, tags);
  hn::Store(index.vector, kInts, indices);
  for (uint64_t left = bits_of(a); left != 0; left &= left - 1) {
    const int lane = __builtin_ctzll(left);
    visit(tags[lane], indices[lane]);
  }
}

EPLB_STAGE_END
