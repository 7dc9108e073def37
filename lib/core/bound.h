// Lower bounds on a layer's largest GPU load, for reports: what no placement can beat.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"
#include "core/serial_team.h"
#include "core/weights.h"
#include "solver/evaluate/threshold_bound.h"

namespace eplb {

// Memory and methods to bound layer after layer.
class LayerBounds {
 public:
  explicit LayerBounds(const Problem& problem);

  // Under the problem's policy, and of the kind that it asks for.
  solver::LayerBound of(const Weights& weights, int64_t layer);

 private:
  solver::Shape shape_;
  bool threshold_;
  std::vector<int64_t> memory_;
  solver::BoundRoom room_;
  SerialTeam team_;
};

}  // namespace eplb
