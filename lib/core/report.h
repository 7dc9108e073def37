// How good a placement is, recomputed in double from the original weights, always in the same order.
#pragma once

#include <cstdint>
#include <vector>

#include "core/evaluation.h"
#include "core/problem.h"
#include "core/weights.h"

namespace eplb {

// Counts slots whose expert already sits in a lower slot of the same GPU.
class DuplicateCounter {
 public:
  explicit DuplicateCounter(const Problem& problem) : problem_(problem), last_gpu_(problem.experts) {}
  int64_t count(const int32_t* placement);

 private:
  const Problem& problem_;
  std::vector<int64_t> last_gpu_;
};

struct LayerScore {
  double mean, largest, imbalance;  // of the GPUs' loads; a layer without weight has imbalance 1
};

// Memory and methods to score layer after layer.
class LayerScorer {
 public:
  explicit LayerScorer(const Problem& problem);

  LayerScore score(const Weights& weights, int64_t layer, const int32_t* placement);
  const std::vector<double>& loads() const { return loads_; }  // of the last score
  // Duplicates that no placement with the replica counts of the last score could avoid.
  int64_t unavoidable() const;

 private:
  const Problem& problem_;
  std::vector<double> weights_, loads_;
  std::vector<int32_t> count_;
};

// Works out parts of an evaluation, layer after layer.
void evaluate_serially(const Weights& weights, const Problem& problem, const int32_t* placement, EvaluationParts parts,
                       Evaluation& evaluation);

}  // namespace eplb
