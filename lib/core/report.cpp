#include "core/report.h"

#include <algorithm>

#include "core/bound.h"
#include "solver/evaluate/loads.h"

namespace eplb {

int64_t DuplicateCounter::count(const int32_t* placement) {
  std::fill(last_gpu_.begin(), last_gpu_.end(), -1);
  const int64_t per_gpu = problem_.slots_per_gpu();
  int64_t duplicates = 0;
  for (int64_t g = 0, s = 0; g < problem_.gpus; ++g)
    for (int64_t k = 0; k < per_gpu; ++k, ++s) {
      int64_t& last = last_gpu_[placement[s]];
      duplicates += last == g;
      last = g;
    }
  return duplicates;
}

LayerScorer::LayerScorer(const Problem& problem)
    : problem_(problem), weights_(problem.experts), loads_(problem.gpus), count_(problem.experts) {}

LayerScore LayerScorer::score(const Weights& weights, int64_t layer, const int32_t* placement) {
  double total = 0;
  for (int64_t e = 0; e < problem_.experts; ++e) {
    weights_[e] = weights.at(layer, e);
    total += weights_[e];
  }
  std::fill(count_.begin(), count_.end(), 0);
  for (int64_t s = 0; s < problem_.slots; ++s) ++count_[placement[s]];
  const int per_gpu = static_cast<int>(problem_.slots_per_gpu());
  for (int64_t g = 0; g < problem_.gpus; ++g)
    loads_[g] = solver::gpu_load(
        placement + g * per_gpu, per_gpu, [&](int e) { return weights_[e]; }, [&](int e) { return count_[e]; });
  const double gpus = static_cast<double>(problem_.gpus);
  const double largest = *std::max_element(loads_.begin(), loads_.end());
  return {total / gpus, largest, solver::imbalance_of(total, largest, gpus)};
}

int64_t LayerScorer::unavoidable() const {
  const int64_t gpus = problem_.gpus / problem_.nodes;
  int64_t distinct = 0;  // (GPU, expert) pairs at most; an expert's replicas are all on one node
  for (const int32_t count : count_) distinct += std::min<int64_t>(count, gpus);
  return problem_.slots - distinct;
}

void fill_report(const Weights& weights, const Problem& problem, const int32_t* placement, eplb_report& report,
                 const LayerOutputs& outputs) {
  LayerScorer scorer(problem);
  LayerBounds bounds(problem);
  DuplicateCounter counter(problem);
  double imbalance = 0, gap = 0, bound_sum = 0;
  bool nodes_proven = problem.nodes > 1;
  report.imbalance_worst = report.gap_worst = 0;
  report.duplicates = report.duplicates_unavoidable = 0;
  for (int64_t l = 0; l < weights.layers; ++l) {
    const int32_t* row = placement + l * problem.slots;
    const LayerScore score = scorer.score(weights, l, row);
    const auto [bound, proven] = bounds.of(weights, l);
    nodes_proven &= proven;
    const int64_t duplicates = counter.count(row);
    const double layer_gap = bound > 0 ? score.largest / bound - 1 : 0;
    imbalance += score.imbalance;
    bound_sum += score.mean > 0 ? bound / score.mean : 1;
    gap += layer_gap;
    if (score.imbalance > report.imbalance_worst) {
      report.imbalance_worst = score.imbalance;
      report.worst_layer = l;
    }
    report.gap_worst = std::max(report.gap_worst, layer_gap);
    report.duplicates += duplicates;
    report.duplicates_unavoidable += scorer.unavoidable();
    if (outputs.imbalance) outputs.imbalance[l] = score.imbalance;
    if (outputs.bound) outputs.bound[l] = bound;
    if (outputs.duplicates) outputs.duplicates[l] = duplicates;
  }
  const double layers = static_cast<double>(weights.layers);
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
