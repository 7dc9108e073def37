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

void evaluate_serially(const Weights& weights, const Problem& problem, const int32_t* placement, EvaluationParts parts,
                       Evaluation& evaluation) {
  LayerScorer scorer(problem);
  DuplicateCounter counter(problem);
  for (int64_t l = 0; l < weights.layers; ++l) {
    const int32_t* row = placement + l * problem.slots;
    LayerFigures& figures = evaluation.layers[l];
    const LayerScore score = scorer.score(weights, l, row);
    if (parts.loads) {
      figures.mean_load = score.mean;
      figures.largest_load = score.largest;
      figures.imbalance = score.imbalance;
      std::copy(scorer.loads().begin(), scorer.loads().end(), evaluation.gpu_load.begin() + l * problem.gpus);
    }
    if (parts.duplicates) {
      figures.duplicates = counter.count(row);
      figures.unavoidable_duplicates = scorer.unavoidable();
    }
  }
  if (!parts.bounds) return;
  LayerBounds bounds(problem);
  for (int64_t l = 0; l < weights.layers; ++l) {
    const auto [bound, proven] = bounds.of(weights, l);
    evaluation.layers[l].bound = bound;
    evaluation.layers[l].nodes_proven = proven;
  }
}

}  // namespace eplb
