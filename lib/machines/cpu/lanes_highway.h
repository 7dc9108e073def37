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
  hn::Vec<hn::ScalableTag<int32_t>> v;

  Lanes(hn::Vec<hn::ScalableTag<int32_t>> vector) : v(vector) {}
  Lanes(int value) : v(hn::Set(kInts, value)) {}
};

struct Mask {
  hn::Mask<hn::ScalableTag<int32_t>> m;
};

// The indices at .. at + kLanes - 1.
struct Index {
  int at;

  Lanes load(const int32_t* array) const { return hn::LoadU(kInts, array + at); }
  Lanes load_mirrored(const int32_t* array, int n) const {
    return hn::Reverse(kInts, hn::LoadU(kInts, array + n - kLanes - at));
  }
  void store(int32_t* array, Lanes value) const { hn::StoreU(value.v, kInts, array + at); }
};

inline Lanes operator+(Lanes a, Lanes b) { return hn::Add(a.v, b.v); }
inline Lanes operator-(Lanes a, Lanes b) { return hn::Sub(a.v, b.v); }
inline Mask operator!=(Lanes a, Lanes b) { return {hn::Ne(a.v, b.v)}; }
inline Lanes operator*(Lanes a, Lanes b) { return hn::Mul(a.v, b.v); }
inline Mask operator==(Lanes a, Lanes b) { return {hn::Eq(a.v, b.v)}; }
inline Mask operator<(Lanes a, Lanes b) { return {hn::Lt(a.v, b.v)}; }
inline Mask operator>(Lanes a, Lanes b) { return {hn::Gt(a.v, b.v)}; }
inline Mask operator<=(Lanes a, Lanes b) { return {hn::Not(hn::Gt(a.v, b.v))}; }
inline Mask operator>=(Lanes a, Lanes b) { return {hn::Not(hn::Lt(a.v, b.v))}; }
inline Mask operator&(Mask a, Mask b) { return {hn::And(a.m, b.m)}; }
inline Mask operator|(Mask a, Mask b) { return {hn::Or(a.m, b.m)}; }
inline Lanes smaller(Lanes a, Lanes b) { return hn::Min(a.v, b.v); }
inline Lanes larger(Lanes a, Lanes b) { return hn::Max(a.v, b.v); }
inline Lanes choose(Mask condition, Lanes a, Lanes b) {
  return hn::IfThenElse(condition.m, a.v, b.v);
}

EPLB_STAGE_END
