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
};

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

EPLB_STAGE_END
