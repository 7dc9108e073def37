// What lies in device memory and what kernels are asked to do with it: plain structs that the host fills and kernels get by
// value.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/fault.h"
#include "eplb.h"
#include "solver/layer/solve_layer.h"

namespace eplb::cuda {

using solver::View;

// What only the data can show, found on the device: the lowest code is kept until it is asked for.
using FaultCode = unsigned long long;  // layer << 23 | expert << 4 | fault: experts are at most 2^18
inline constexpr FaultCode kNoFault = ~FaultCode{0};
EPLB_FN FaultCode fault_code(int64_t layer, int expert, Fault fault) {
  return static_cast<FaultCode>(layer) << 23 | static_cast<FaultCode>(expert) << 4 | static_cast<FaultCode>(fault);
}

// Weights [L,E], windows summed: doubles or int64. A layer with a bad weight is all zeros.
struct DeviceWeights {
  void* sums;
  FaultCode* float32_fault;  // [L]: what GREEDY's float32 cannot hold
  FaultCode* fault;          // one, the lowest
  int64_t layers;
  int experts;
  bool whole;

  EPLB_FN double at(int64_t layer, int e) const {
    const int64_t i = layer * experts + e;
    return whole ? static_cast<double>(static_cast<const int64_t*>(sums)[i]) : static_cast<const double*>(sums)[i];
  }
};

// A plan: [L,S], [L,S], [L,E] and, for a while, [L,S].
struct DevicePlan {
  int32_t *physical_to_logical, *replica_slots, *replica_count, *rank;
};

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

// How a task is spread over blocks, each one warp that works on one chain, or one layer's bound, at a time.
struct Spread {
  int group_chains, node_chains;  // 0 group chains: groups are not packed
  Workspace chains, bounds;
};

// Memory of a solve beside weights and plan.
struct SolveRoom {
  unsigned *groups_arrived, *chains_arrived, *nodes_arrived;  // [L], [L,N], [L]: zero between solves
  int32_t *group_answers, *group_place;                       // [L,chains,Q], [L,Q]
  int32_t* answers;                                           // [L,N,chains,S/N]
  int32_t *group_scores, *scores;                             // [L,chains], [L,N,chains]
  char* workspace;  // [blocks, bytes] unless shared; of chains, then of bounds

  void lay_out(solver::Arena& counters, solver::Arena& arena, const SolveTask& task, const Spread& spread) {
    const int64_t l = task.layers, n = l * task.shape.nodes, q = task.shape.groups;
    groups_arrived = counters.take<unsigned>(l).data;
    chains_arrived = counters.take<unsigned>(n).data;
    nodes_arrived = counters.take<unsigned>(l).data;
    group_answers = arena.take<int32_t>(l * spread.group_chains * q).data;
    group_place = arena.take<int32_t>(l * q).data;
    answers = arena.take<int32_t>(n * spread.node_chains * task.shape.node_slots()).data;
    group_scores = arena.take<int32_t>(l * spread.group_chains).data;
    scores = arena.take<int32_t>(n * spread.node_chains).data;
    workspace = arena.take<char>(std::max(spread.chains.in_global_memory(), spread.bounds.in_global_memory())).data;
  }
};

}  // namespace eplb::cuda
