#include "core/evaluation.h"

#include <algorithm>

namespace eplb {

void fill_report(const Evaluation& evaluation, const Problem& problem, eplb_report& report) {
  double imbalance = 0, gap = 0, bound_sum = 0;
  bool nodes_proven = problem.nodes > 1;
  report.imbalance_worst = report.gap_worst = 0;
  report.duplicates = report.duplicates_unavoidable = 0;
  int64_t number = 0;
  for (const LayerFigures& layer : evaluation.layers) {
    const double layer_gap = layer.bound > 0 ? layer.largest_load / layer.bound - 1 : 0;
    imbalance += layer.imbalance;
    bound_sum += layer.mean_load > 0 ? layer.bound / layer.mean_load : 1;
    gap += layer_gap;
    if (layer.imbalance > report.imbalance_worst) {
      report.imbalance_worst = layer.imbalance;
      report.worst_layer = number;
    }
    report.gap_worst = std::max(report.gap_worst, layer_gap);
    report.duplicates += layer.duplicates;
    report.duplicates_unavoidable += layer.unavoidable_duplicates;
    nodes_proven &= layer.nodes_proven;
    ++number;
  }
  const double layers = static_cast<double>(evaluation.layers.size());
  report.imbalance_mean = imbalance / layers;
  report.bound_mean = bound_sum / layers;
  report.gap_mean = gap / layers;
  report.policy = problem.policy;
  report.policy_reason = problem.reason;
  report.bound_kind = nodes_proven                        ? EPLB_BOUND_NODE
                      : problem.slots == 2 * problem.gpus ? problem.bound_kind
                                                          : EPLB_BOUND_SIMPLE;
}

}  // namespace eplb
