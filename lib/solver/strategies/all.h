// Maps a strategy constant to its implementation.
#pragma once

#include "solver/strategies/best.h"
#include "solver/strategies/presets.h"
#include "solver/strategies/rebalance.h"

EPLB_STAGE_BEGIN

// Calls use(method) with the strategy's method, whose memory is not laid out yet.
template <class Use> auto with_method(const Problem& problem, Use use) {
  switch (problem.options.strategy) {
    case EPLB_STRATEGY_BEST: return use(BestMethod(problem));
    case EPLB_STRATEGY_REBALANCE: return use(RebalanceMethod(problem));
    case EPLB_STRATEGY_GREEDY: return use(PresetMethod<Float32>(problem));
    default: return use(PresetMethod<Integer>(problem));
  }
}

EPLB_STAGE_END
