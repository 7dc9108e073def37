// How good a placement is, layer by layer, in double from the original weights and always in the
// same order. A machine works it out once per plan; reports and the maps of figures read it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

// What of an evaluation is wanted, or known: each part costs time of its own.
struct EvaluationParts {
  bool loads = false, duplicates = false, bounds = false;

  EvaluationParts without(const EvaluationParts& known) const {
    return {loads && !known.loads, duplicates && !known.duplicates, bounds && !known.bounds};
  }
  EvaluationParts with(const EvaluationParts& more) const {
    return {loads || more.loads, duplicates || more.duplicates, bounds || more.bounds};
  }
  bool any() const { return loads || duplicates || bounds; }
};

struct LayerFigures {
  // Part `loads`. A layer without weight has imbalance 1.
  double mean_load = 0, largest_load = 0, imbalance = 1;
  // Part `duplicates`.
  int64_t duplicates = 0, unavoidable_duplicates = 0;
  // Part `bounds`. No placement has a largest load below the bound. nodes_proven: under a
  // hierarchical policy, was every way to put groups on nodes tried?
  double bound = 0;
  bool nodes_proven = false;
};

struct Evaluation {
  EvaluationParts known;
  std::vector<LayerFigures> layers;  // [L]
  std::vector<double> gpu_load;      // [L,G]

  void resize(int64_t num_layers, int64_t gpus) {
    known = {};
    layers.assign(static_cast<size_t>(num_layers), {});
    gpu_load.resize(static_cast<size_t>(num_layers * gpus));
  }
  int64_t bytes() const {
    return static_cast<int64_t>(layers.capacity() * sizeof(LayerFigures) +
                                gpu_load.capacity() * sizeof(double));
  }
};

// Fills the figures of `report` that follow from an evaluation all of whose parts are known. The
// others are the caller's.
void fill_report(const Evaluation& evaluation, const Problem& problem, eplb_report& report);

}  // namespace eplb
