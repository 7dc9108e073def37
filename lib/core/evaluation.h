// How good a placement is, layer by layer, in double from the original weights and always in the
// same order. A session asks its machine for each part once per plan; after replays of a captured
// solve, once per call. Reports and the maps of figures read it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

struct Evaluation {
  EvaluationParts known = 0;
  std::vector<LayerFigures> layers;  // [L]
  std::vector<double> gpu_load;      // [L,G]

  void resize(int64_t num_layers, int64_t gpus) {
    known = 0;
    layers.assign(static_cast<size_t>(num_layers), {});
    gpu_load.resize(static_cast<size_t>(num_layers * gpus));
  }
  int64_t bytes() const {
    return static_cast<int64_t>(layers.capacity() * sizeof(LayerFigures) +
                                gpu_load.capacity() * sizeof(double));
  }
};

// Parts kLoads and kBounds of the same in every window of the weights.
struct WindowFigures {
  EvaluationParts known = 0;
  int64_t windows = 0;
  std::vector<LayerFigures> layers;  // [L,T]

  void resize(int64_t num_layers, int64_t num_windows) {
    known = 0;
    windows = num_windows;
    layers.assign(static_cast<size_t>(num_layers * num_windows), {});
  }
  // One window is the sum, which was evaluated.
  void take_sum(const Evaluation& sum) {
    known = sum.known;
    windows = 1;
    layers = sum.layers;
  }
  LayerFigures& at(int64_t window, int64_t layer) { return layers[layer * windows + window]; }
  const LayerFigures& at(int64_t window, int64_t layer) const {
    return layers[layer * windows + window];
  }
  int64_t bytes() const { return static_cast<int64_t>(layers.capacity() * sizeof(LayerFigures)); }
};

// Fills the figures of `report` that follow from an evaluation all of whose parts are known. The
// others are the caller's.
void fill_report(const Evaluation& evaluation, const Problem& problem, eplb_report& report);

// Those that follow from windows whose loads are known; none if windows were not kept.
void fill_report(const WindowFigures& figures, eplb_report& report);

}  // namespace eplb
