// Problems that tests solve: random ones of every kind, and the one that most tests of calls use.
#pragma once

#include "session.h"

namespace eplb::tests {

// How one problem is solved, and a name for it.
struct Method {
  eplb_strategy strategy;
  eplb_effort effort;
  std::string name() const;
  // `policy`: what was drawn for the input. Most strategies do not know groups as wishes.
  void choose(Input& in, eplb_policy policy) const;
};
const std::vector<Method>& all_methods();

// Sizes, policy, tables, dtype, windows, layers, cap, chance and weights follow from the seed alone
// (and --most-slots). Under policy SOFT counts fit nothing, and slots may stay empty.
Input random_input(uint64_t seed, int64_t least_windows = 1);
std::string describe(const Input& in);

// Small, float32, LPT_SWAP by default: `layers` layers of 16 experts in 24 slots of 4 GPUs.
Input small_input(int64_t layers, uint64_t seed, eplb_dtype dtype = EPLB_FLOAT32);

}  // namespace eplb::tests
