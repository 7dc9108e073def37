// Maps a strategy constant to its implementation.
#pragma once

#include "solver/strategies/best.h"
#include "solver/strategies/presets.h"
#include "solver/strategies/rebalance.h"
#include "solver/strategies/unequal_best.h"
#include "solver/strategies/unequal_presets.h"

EPLB_STAGE_BEGIN

// Calls use(method) with the strategy's method, whose memory is not laid out yet.
template <class Use> auto with_method(const Problem& problem, Use use) {
  const bool equal = !is_unequal(problem.cluster);
  switch (problem.options.strategy) {
    case EPLB_STRATEGY_BEST:
      return equal ? use(BestMethod(problem)) : use(UnequalBestMethod(problem));
    case EPLB_STRATEGY_REBALANCE: return use(RebalanceMethod(problem));
    case EPLB_STRATEGY_GREEDY:
      return equal ? use(PresetMethod<Float32>(problem))
                   : use(UnequalPresetMethod<Float32>(problem));
    default:
      return equal ? use(PresetMethod<Integer>(problem))
                   : use(UnequalPresetMethod<Integer>(problem));
  }
}

EPLB_STAGE_END
