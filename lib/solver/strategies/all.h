// Which method a strategy is.
#pragma once

#include "solver/strategies/best.h"
#include "solver/strategies/presets.h"

EPLB_STAGE_BEGIN

inline constexpr int kGreedy = 0, kBest = 6;  // the values of their EPLB_STRATEGY_ constants

// use(method), the strategy's own without memory yet.
template <class Use> auto with_method(int strategy, int effort, const Shape& shape, Use use) {
  if (strategy == kBest) return use(BestMethod{effort, shape});
  if (strategy == kGreedy) return use(PresetMethod<Float32>{greedy(), shape});
  return use(PresetMethod<Integer>{preset_of(strategy), shape});
}

EPLB_STAGE_END
