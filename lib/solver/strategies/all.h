// Maps a strategy constant to its implementation.
#pragma once

#include "solver/strategies/best.h"
#include "solver/strategies/presets.h"

EPLB_STAGE_BEGIN

EPLB_FN Preset preset_of(eplb_strategy strategy) {
  switch (strategy) {
    case EPLB_STRATEGY_LPT_SWAP: return lpt_swap();
    case EPLB_STRATEGY_L2_SWAP: return l2_swap();
    case EPLB_STRATEGY_RANDOM_RESTARTS: return random_restarts();
    case EPLB_STRATEGY_NOISE_SPECTRUM: return noise_spectrum();
    case EPLB_STRATEGY_HYBRID_INIT: return hybrid_init();
    default: return greedy();
  }
}

// Calls use(method) with the strategy's method, whose memory is not laid out yet.
template <class Use> auto with_method(const Problem& problem, Use use) {
  const eplb_strategy strategy = problem.options.strategy;
  switch (strategy) {
    case EPLB_STRATEGY_BEST: return use(BestMethod{problem.options.effort, problem});
    case EPLB_STRATEGY_GREEDY: return use(PresetMethod<Float32>{greedy(), problem});
    default: return use(PresetMethod<Integer>{preset_of(strategy), problem});
  }
}

EPLB_STAGE_END
