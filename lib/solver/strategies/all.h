// Maps a strategy constant to its implementation.
#pragma once

#include "solver/strategies/best.h"
#include "solver/strategies/by_excess.h"
#include "solver/strategies/presets.h"
#include "solver/strategies/unequal_best.h"
#include "solver/strategies/unequal_presets.h"

EPLB_STAGE_BEGIN

// Does BEST search by excess?
EPLB_FN bool is_by_excess(const Problem& problem) {
  return problem.windows_apart > 1 || has_prices(problem) || is_for_splits(problem);
}

// Is the problem one of equal GPUs, one window, no prices and a strategy that begins without a
// placement? Most are.
EPLB_FN bool is_common(const Problem& problem) {
  return problem.options.strategy != EPLB_STRATEGY_REBALANCE && !is_by_excess(problem) &&
         !is_unequal(problem.cluster);
}

// Calls use(method) with the strategy's method, whose memory is not laid out yet.
template <class Use> auto with_common_method(const Problem& problem, Use use) {
  switch (problem.options.strategy) {
    case EPLB_STRATEGY_BEST: return use(BestMethod(problem));
    case EPLB_STRATEGY_GREEDY: return use(PresetMethod<Float32>(problem));
    default: return use(PresetMethod<Integer>(problem));
  }
}
template <class Use> auto with_other_method(const Problem& problem, Use use) {
  switch (problem.options.strategy) {
    case EPLB_STRATEGY_REBALANCE: return use(ByExcess(problem));
    case EPLB_STRATEGY_BEST:
      if (is_by_excess(problem)) return use(ByExcess(problem));
      return use(UnequalBestMethod(problem));
    case EPLB_STRATEGY_GREEDY: return use(UnequalPresetMethod<Float32>(problem));
    default: return use(UnequalPresetMethod<Integer>(problem));
  }
}
template <class Use> auto with_method(const Problem& problem, Use use) {
  return is_common(problem) ? with_common_method(problem, use) : with_other_method(problem, use);
}

EPLB_STAGE_END
