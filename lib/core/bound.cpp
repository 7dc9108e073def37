#include "core/bound.h"

namespace eplb {

LayerBounds::LayerBounds(const Problem& problem)
    : shape_(layer_sizes<solver::Shape>(problem, {})), threshold_(problem.bound_kind == EPLB_BOUND_THRESHOLD) {
  solver::Arena counted(nullptr);
  room_.lay_out(counted, shape_, threshold_);
  memory_.resize(static_cast<size_t>(counted.used()) / sizeof memory_[0]);
  solver::Arena arena(memory_.data());
  room_.lay_out(arena, shape_, threshold_);
}

solver::LayerBound LayerBounds::of(const Weights& weights, int64_t layer) {
  return solver::bound_of_layer(team_, shape_, threshold_, room_, [&](int e) { return weights.at(layer, e); });
}

}  // namespace eplb
