#include "core/split.h"

#include "core/error.h"

namespace eplb {

int read_tolerance(double tolerance) {
  check_range("tolerance", tolerance, 0, 1);
  return static_cast<int>(tolerance * kToleranceUnits);
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
