#include "core/split.h"

#include <algorithm>

#include "core/error.h"

namespace eplb {

int read_tolerance(double tolerance) {
  check_range("tolerance", tolerance, 0, 1);
  return static_cast<int>(tolerance * kToleranceUnits);
}

bool has_experts_alone(const SplitPlacement& over) {
  return std::all_of(over.expert.begin(), over.expert.end(),
                     [&](int32_t e) { return e >= -1 && e < over.problem.experts; });
}

void check_shape(const SplitPlacement& over, int64_t layers, int64_t experts) {
  const Problem& problem = over.problem;
  if (layers != problem.layers || experts != problem.experts)
    fail(EPLB_INVALID_STATE,
         "the weights are %lld layers of %lld experts, but what eplb_split_prepare was given are "
         "%lld layers of %d: call it again",
         ll(layers), ll(experts), ll(problem.layers), problem.experts);
}

}  // namespace eplb
