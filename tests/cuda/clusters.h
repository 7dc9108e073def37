// Random clusters.
#pragma once

#include <vector>

#include "problems.h"

namespace eplb::tests {

struct Arrays {
  std::vector<int64_t> slots, nodes;
  std::vector<double> speeds;

  bool upload(eplb_context* context) const;
};

// random_input, with nodes that can be unequal GPUs' too.
Input unequal_input(uint64_t seed, int64_t least_windows = 1);
// Room for all experts of such an input, on equal nodes.
Arrays random_arrays(const Input& in, uint64_t seed, bool with_speeds);

}  // namespace eplb::tests
