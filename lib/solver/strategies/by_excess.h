// All that searches by excess in one method: a compiler for devices compiles what a kernel calls
// once for each kernel, which here is nearly all.
#pragma once

#include "solver/strategies/rebalance.h"

EPLB_STAGE_BEGIN

struct ByExcess : RebalanceMethod {
  using RebalanceMethod::RebalanceMethod;

  EPLB_FN int solve_node(Team auto& team, int index, Chains chains, View<int> answer) {
    return problem.options.strategy == EPLB_STRATEGY_REBALANCE
               ? RebalanceMethod::solve_node(team, index, chains, answer)
               : FreshByExcess::solve_node(team, index, chains, answer);
  }
};

EPLB_STAGE_END
