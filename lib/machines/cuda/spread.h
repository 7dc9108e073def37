// How a solve is spread over a device: plain structs that kernels get by value.
#pragma once

#include <cstdint>

#include "solver/layer/solve_layer.h"

namespace eplb::cuda {

// What the blocks of a kernel work in.
struct Workspace {
  int64_t bytes;        // of one block
  bool shared;          // in shared memory
  int64_t most_blocks;  // that have it

  int64_t in_global_memory() const { return shared ? 0 : most_blocks * bytes; }
};

// How a problem is spread over blocks, each one warp that works on one chain, or on the figures of
// one layer, at a time.
struct Spread {
  int group_chains, node_chains;  // 0 group chains: groups are not packed
  Workspace chains, evaluation;   // evaluation: of all parts
};

}  // namespace eplb::cuda
