// How much windows matter, where they are kept apart.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

struct WindowWeights {
  std::vector<int32_t> share;  // by window, of the highest: 0 to kWindowShare

  bool exists() const { return !share.empty(); }
  int64_t bytes() const { return static_cast<int64_t>(share.capacity() * sizeof(int32_t)); }
};

// Copies weights [T]; null: all windows matter as much. Throws InvalidArgument for a number or a
// weight that cannot be.
WindowWeights read_window_weights(const double* weights, int64_t windows);

// Points a problem whose windows are set and balanced apart to their weights. Throws
// InvalidArgument unless there are as many.
void set_window_weights(const WindowWeights& weights, Problem& problem);

}  // namespace eplb
