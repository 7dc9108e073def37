// What kernels use besides weights and plan.
#pragma once

#include <cstdint>

#include "core/evaluation.h"
#include "machines/cuda/spread.h"

namespace eplb::cuda {

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

// Memory of an evaluation in addition to the weights. A solve has finished with its own when one
// begins, so they share theirs.
struct EvaluationScratch {
  int32_t* placement;     // [L,S], of host calls
  LayerFigures* figures;  // [L], of host calls
  double* gpu_load;       // [L,G], of host calls
  char* workspace;        // [blocks, bytes] unless shared

  void lay_out(solver::Arena& arena, const Problem& problem, const Workspace& blocks) {
    placement = arena.take<int32_t>(problem.layers * problem.cluster.slots).data;
    figures = arena.take<LayerFigures>(problem.layers).data;
    gpu_load = arena.take<double>(problem.layers * problem.cluster.gpus).data;
    workspace = arena.take<char>(blocks.in_global_memory()).data;
  }
};

}  // namespace eplb::cuda
