// What of a session is about moves: from the current placement to the plan.
#include <algorithm>

#include "core/error.h"
#include "core/move_limits.h"
#include "core/moves_bound.h"
#include "session/session.h"

namespace eplb {

const Transfers& Session::transfers() {
  Problem problem = plan_.value.problem;
  check_has_current(problem);
  if (transfers_.known) return transfers_;
  bring_current();
  problem.current.expert = current_.value.expert.data();
  transfers_.resize(problem);
  machine_->plan_transfers(problem, plan_.value.physical_to_logical.data(), transfers_);
  return transfers_;
}

std::vector<int32_t> Session::share_moves(const Weights& weights, const Problem& problem) {
  MovePaths paths;
  paths.resize(problem);
  machine_->find_paths(weights, weights_.on_machine(), problem, paths);
  return eplb::share_moves(paths, problem);
}

// Of the plan, by layer, if its tokens are split.
std::vector<SplitFigures> Session::split_figures_of_plan() {
  SplitPlacement over;
  over.problem = plan_.value.problem;
  over.expert = plan_.value.physical_to_logical;
  Split split;
  split.resize(over.problem);
  SplitEvaluation evaluation;
  evaluation.resize(over.problem);
  machine_->prepare_split(over);
  machine_->split(weights_.value, over, 0, split);
  machine_->evaluate_split(weights_.value, over, split, kSplitLoads, evaluation);
  return evaluation.layers;
}

// Where windows are balanced apart, the target holds for each.
double Session::imbalance_to_judge(int64_t layer) const {
  if (plan_.value.problem.windows_apart == 1) return evaluation_.layers[layer].imbalance;
  double imbalance = 1;
  for (int64_t t = 0; t < windows_.windows; ++t)
    imbalance = std::max(imbalance, windows_.at(t, layer).imbalance);
  return imbalance;
}

void Session::report_limits(eplb_report& report) {
  Problem problem = plan_.value.problem;
  problem.current.expert = current_.value.expert.data();
  const bool rebalanced = problem.options.strategy == EPLB_STRATEGY_REBALANCE;
  const double target = (problem.moves.target + 1.0) / kImbalanceUnits;
  const bool for_splits = moves_for_splits(problem);
  std::vector<SplitFigures> split;
  if (for_splits && problem.moves.target > 0) split = split_figures_of_plan();
  for (int64_t layer = 0; layer < problem.layers; ++layer) {
    const int64_t forced = forced_moves(problem, layer);
    report.moves_forced += forced;
    report.moves_bound +=
        rebalanced && !for_splits ? moves_bound(problem, weights_.value, layer) : forced;
    if (!rebalanced || problem.moves.target == 0) continue;
    // What whole tokens round up, a placement cannot help.
    report.layers_missed += for_splits
                                ? split[layer].bound > target * evaluation_.layers[layer].mean_load
                                : imbalance_to_judge(layer) > target;
  }
}

}  // namespace eplb
