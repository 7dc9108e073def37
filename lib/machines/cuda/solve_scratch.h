// What kernels of a solve use besides weights and plan.
#pragma once

#include <algorithm>
#include <cstdint>

#include "machines/cuda/spread.h"

namespace eplb::cuda {

// Memory of a solve in addition to its weights and plan.
struct SolveScratch {
  // [L], [L,N], [L]; zero between solves.
  unsigned *groups_arrived, *chains_arrived, *nodes_arrived;
  int32_t *group_answers, *group_place;  // [L,chains,Q], [L,Q]
  int32_t* answers;                      // [L,N,chains,S/N]
  int32_t *group_scores, *scores;        // [L,chains], [L,N,chains]
  char* workspace;                       // [blocks, bytes] unless shared; of chains, then of bounds

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
    workspace = arena
                    .take<char>(std::max(spread.chains.in_global_memory(),
                                         spread.bounds.in_global_memory()))
                    .data;
  }
};

}  // namespace eplb::cuda
