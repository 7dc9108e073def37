// What one solve is and how it is spread over a device: plain structs that kernels get by value.
#pragma once

#include <cstdint>

#include "eplb.h"
#include "solver/layer/solve_layer.h"

namespace eplb::cuda {

// What one solve is.
struct SolveTask {
  solver::Shape shape;
  int64_t layers;
  eplb_strategy strategy;
  eplb_effort effort;
  int cap;         // of replicas, which GREEDY does not keep by itself; 0: none
  bool threshold;  // are bounds to be EPLB_BOUND_THRESHOLD?
};

// What the blocks of a kernel work in.
struct Workspace {
  int64_t bytes;        // of one block
  bool shared;          // in shared memory
  int64_t most_blocks;  // that have it

  int64_t in_global_memory() const { return shared ? 0 : most_blocks * bytes; }
};

// How a task is spread over blocks, each one warp that works on one chain, or one layer's bound, at
// a time.
struct Spread {
  int group_chains, node_chains;  // 0 group chains: groups are not packed
  Workspace chains, bounds;
};

}  // namespace eplb::cuda
