// What lies in device memory, and how work on it is spread over the device: plain structs that
// kernels get by value.
#pragma once

#include <cstdint>

#include "core/fault.h"
#include "solver/layer/solve_layer.h"

namespace eplb::cuda {

// layer << 23 | expert << 4 | fault, where experts are at most 2^18. An atomic minimum finds
// the first fault, which is kept until the host reads it.
using FaultCode = unsigned long long;
inline constexpr FaultCode kNoFault = ~FaultCode{0};
EPLB_FN FaultCode fault_code(int64_t layer, int expert, Fault fault) {
  return static_cast<FaultCode>(layer) << 23 | static_cast<FaultCode>(expert) << 4 |
         static_cast<FaultCode>(fault);
}
inline Fault fault_of(FaultCode code) { return static_cast<Fault>(code & 15); }
inline FaultPlace place_of(FaultCode code) {
  return {.layer = static_cast<int64_t>(code >> 23),
          .expert = static_cast<int64_t>(code >> 4 & ((1 << 19) - 1))};
}

// Weights [L,E], windows summed: doubles or int64. A layer with a bad weight is all zeros.
struct DeviceWeights {
  void* sums;
  void* windows;             // [T,L,E] as uploaded, of the same type; null: not kept
  int64_t* windows_known;    // one: how many are known apart there; 0: only their sum
  FaultCode* float32_fault;  // [L]: what GREEDY's float32 cannot hold
  FaultCode* fault;          // one, the lowest
  int64_t layers;
  int experts;
  bool whole;

  // A layer of one of the arrays, or null as that is.
  template <class T> EPLB_FN T* of_layer(void* array, int64_t layer) const {
    return array ? static_cast<T*>(array) + layer * experts : nullptr;
  }
  EPLB_FN int64_t stride() const { return layers * experts; }  // from a window to the next
  EPLB_FN double at(int64_t layer, int e) const {
    const int64_t i = layer * experts + e;
    return whole ? static_cast<double>(static_cast<const int64_t*>(sums)[i])
                 : static_cast<const double*>(sums)[i];
  }
};

// A plan: [L,S], [L,S], [L,E], and what follows from it.
struct DevicePlan {
  int32_t *physical_to_logical, *replica_slots, *replica_count;
  int32_t* first_place;  // [L,E]: where an expert's slots begin in its layer's replica_slots
  int32_t* rank;         // [L,S]: scratch of a solve and of is_consistent
};

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
  Workspace transfers;
};

// How splits of tokens are: a block for each layer.
struct SplitSpread {
  Workspace preparing, splitting, evaluating;
};

// A placement that tokens are split over, and the last split.
struct DeviceSplit {
  SplitSpread spread;
  char* graphs;  // [L, graph_bytes]
  int64_t graph_bytes;
  int32_t *placement, *quota, *tight;  // [L,S], [L,S], [L,G]
  char* memory;                        // of blocks, unless shared
};

// What Thrust works in.
struct ThrustMemory {
  char* data = nullptr;
  int64_t bytes = 0;

  // More than calls over `items` need: a partial result for each block, and a few words for each
  // tile of several hundred items.
  static int64_t bytes_for(int64_t items) { return (64 << 10) + items; }
  void lay_out(solver::Arena& arena, int64_t items) {
    bytes = bytes_for(items);
    data = arena.take<char>(bytes).data;
  }
};

// Memory of a solve in addition to its weights and plan.
struct SolveScratch {
  // [L], [L,N], [L]; zero between solves.
  unsigned *groups_arrived, *chains_arrived, *nodes_arrived;
  int32_t *group_answers, *group_place;  // [L,chains,Q], [L,Q]
  int32_t* answers;                      // [L,N,chains,S/N]
  int32_t *group_scores, *scores;        // [L,chains], [L,N,chains]
  char* workspace;                       // [blocks, bytes] unless shared
  ThrustMemory thrust;

  void lay_out(solver::Arena& counters, solver::Arena& arena, const Problem& problem,
               const Spread& spread) {
    const int64_t layers = problem.layers, nodes = layers * problem.partition.nodes;
    const int64_t groups = problem.partition.groups;
    groups_arrived = counters.take<unsigned>(layers).data;
    chains_arrived = counters.take<unsigned>(nodes).data;
    nodes_arrived = counters.take<unsigned>(layers).data;
    group_answers = arena.take<int32_t>(layers * spread.group_chains * groups).data;
    group_place = arena.take<int32_t>(layers * groups).data;
    answers =
        arena
            .take<int32_t>(nodes * spread.node_chains * solver::node_problem(problem).cluster.slots)
            .data;
    group_scores = arena.take<int32_t>(layers * spread.group_chains).data;
    scores = arena.take<int32_t>(nodes * spread.node_chains).data;
    workspace = arena.take<char>(spread.chains.in_global_memory()).data;
    thrust.lay_out(arena, layers * problem.cluster.slots);
  }
};

}  // namespace eplb::cuda
