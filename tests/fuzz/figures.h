// How good a placement is, worked out from eplb.h alone: loads, imbalance and duplicates to the
// last bit.
#pragma once

#include <cstdint>
#include <vector>

#include "known.h"

namespace eplb::fuzz {

// A placement [L,S] of known weights under a problem.
struct Judged {
  const Known& known;
  const eplb_problem& problem;
  const Gpus& gpus;
  const std::vector<int64_t>& placement;
  double home_target;  // the imbalance up to which replicas leave home

  const KnownWeights& weights() const { return *known.weights; }
  int64_t slots() const { return problem.num_slots; }
  const int64_t* row(int64_t layer) const {
    return &placement[static_cast<size_t>(layer * problem.num_slots)];
  }
};

std::vector<int64_t> counts_of(const Judged& judged, int64_t layer);

struct Loads {
  std::vector<double> of_gpu;
  double mean, largest, imbalance;  // of times, if GPUs have speeds
};
// Of weights [E], such as a row of the sum or of a window.
Loads loads_of(const Judged& judged, int64_t layer, const double* weight,
               const std::vector<int64_t>& count);

struct Places {
  int64_t duplicates, unavoidable, lost;
};
Places places_of(const Judged& judged, int64_t layer, const std::vector<int64_t>& count);

// With these counts and, under a hierarchical policy, these experts on each node. Places know less
// of nodes.
int64_t fewest_duplicates(const Judged& judged, int64_t layer);

// From the sum of all weights, the largest time, and how many GPUs have slots.
double imbalance_of(double total, double largest, double gpus);

// Of all layers.
struct AllLayers {
  std::vector<Loads> loads;
  std::vector<Places> places;
};
AllLayers figures_of(const Judged& judged);

// Checks maps and reports against the above. `bound` [L] may be empty.
void check_bounds(const Judged& judged, const AllLayers& layers, const std::vector<double>& bound);
void check_window_figures(const Judged& judged, const std::vector<double>& imbalance,
                          const std::vector<double>& bound);
void check_off_home(const Judged& judged, const std::vector<double>& share,
                    const std::vector<double>& bound);
void check_report(const Judged& judged, const AllLayers& layers, const std::vector<double>& bound,
                  const eplb_report& report);

}  // namespace eplb::fuzz
