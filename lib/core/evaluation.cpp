#include "core/evaluation.h"

#include <algorithm>

namespace eplb {
namespace {

struct Sums {
  double imbalance = 0, gap = 0, bound = 0;  // bound: over the mean load
  bool nodes_proven = true;
};

void add_layer(const LayerFigures& layer, int64_t number, Sums& sums, eplb_report& report) {
  const double gap = layer.bound > 0 ? layer.largest_load / layer.bound - 1 : 0;
  sums.imbalance += layer.imbalance;
  sums.gap += gap;
  sums.bound += layer.mean_load > 0 ? layer.bound / layer.mean_load : 1;
  sums.nodes_proven &= layer.nodes_proven;
  if (layer.imbalance > report.imbalance_worst) {
    report.imbalance_worst = layer.imbalance;
    report.worst_layer = number;
  }
  report.gap_worst = std::max(report.gap_worst, gap);
  report.duplicates += layer.duplicates;
  report.duplicates_unavoidable += layer.unavoidable_duplicates;
}

eplb_bound_kind bound_kind_of(const Problem& problem, bool nodes_proven) {
  if (problem.partition.nodes > 1 && nodes_proven) return EPLB_BOUND_NODE;
  return problem.cluster.slots == 2 * problem.cluster.gpus ? problem.options.bound_kind
                                                           : EPLB_BOUND_SIMPLE;
}

}  // namespace

void fill_report(const Evaluation& evaluation, const Problem& problem, eplb_report& report) {
  Sums sums;
  report.imbalance_worst = report.gap_worst = 0;
  report.duplicates = report.duplicates_unavoidable = 0;
  int64_t number = 0;
  for (const LayerFigures& layer : evaluation.layers) add_layer(layer, number++, sums, report);
  const double layers = static_cast<double>(number);
  report.imbalance_mean = sums.imbalance / layers;
  report.bound_mean = sums.bound / layers;
  report.gap_mean = sums.gap / layers;
  report.policy = problem.limits.policy;
  report.policy_reason = problem.limits.reason;
  report.bound_kind = bound_kind_of(problem, sums.nodes_proven);
}

}  // namespace eplb
