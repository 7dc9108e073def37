// Maps a strategy constant to its implementation.
#pragma once

#include "solver/strategies/best.h"
#include "solver/strategies/presets.h"
#include "solver/strategies/strategy.h"

EPLB_STAGE_BEGIN

EPLB_FN Preset preset_of(Strategy strategy) {
  switch (strategy) {
    case Strategy::kLptSwap: return lpt_swap();
    case Strategy::kL2Swap: return l2_swap();
    case Strategy::kRandomRestarts: return random_restarts();
    case Strategy::kNoiseSpectrum: return noise_spectrum();
    case Strategy::kHybridInit: return hybrid_init();
    default: return greedy();
  }
}

// Calls use(method) with the strategy's method, whose memory is not laid out yet. strategy and
// effort are constants of eplb.h.
template <class Use> auto with_method(int strategy, int effort, const Shape& shape, Use use) {
  switch (static_cast<Strategy>(strategy)) {
    case Strategy::kBest: return use(BestMethod{static_cast<EffortLevel>(effort), shape});
    case Strategy::kGreedy: return use(PresetMethod<Float32>{greedy(), shape});
    default: return use(PresetMethod<Integer>{preset_of(static_cast<Strategy>(strategy)), shape});
  }
}

EPLB_STAGE_END
