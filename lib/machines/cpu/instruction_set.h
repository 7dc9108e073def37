// What is compiled once per instruction set: solving and evaluating a layer, planning transfers.
// All of them give the same answer.
#pragma once

#include <cstdint>
#include <span>

#include "core/problem.h"
#include "eplb.h"

namespace eplb::cpu {

// A layer to be solved: its weights and where its maps go.
struct LayerTask {
  int64_t layer;
  LayerWeights weights;
  int32_t *physical_to_logical, *replica_count, *replica_slots;
};

// A layer to be evaluated: its weights, its placement, and where figures and GPU loads go; the
// latter may be null.
struct EvaluationTask {
  EvaluationParts wanted;
  LayerWeights weights;
  const int32_t* placement;
  double* gpu_load;
  LayerFigures* figures;
};

// A layer whose moves are to be worth something: its weights, and where its path goes, see
// MovePaths.
struct PathTask {
  int64_t layer;
  LayerWeights weights;
  int most;
  int32_t *time, *mean;
};

// A layer that changes: from where to where, and where the transfers go.
struct TransferTask {
  const int32_t *current, *placement;
  int32_t *source, *round, *group;
  LayerMoves* moves;
};

// A layer whose tokens are to be split: its placement, and where its graph goes.
struct GraphTask {
  const int32_t* placement;
  void* graph;
};

// A layer whose tokens are split, see solver::SplitMaps.
struct SplitTask {
  LayerWeights weights;
  void* graph;
  int32_t *quota, *tight;
};

// A layer whose ranks are to use one slot of each expert.
struct DispatchTask {
  LayerWeights weights;
  const int32_t* placement;
  void* graph;  // of that
  DispatchOutputs out;
};

// What a thread works with: memory, and where it sees that the call is to stop, see HostTeam.
struct Workspace {
  void* memory;
  const int* interrupt = nullptr;
};

// The library as compiled for one instruction set.
struct InstructionSet {
  const char* name;
  bool (*supported)();
  int64_t (*workspace_bytes)(const Problem&);
  void (*solve)(const Problem&, const LayerTask&, const Workspace&);
  void (*find_path)(const Problem&, const PathTask&, const Workspace&);  // that of solve
  int64_t (*evaluate_workspace_bytes)(const Problem&, EvaluationParts);
  void (*evaluate)(const Problem&, const EvaluationTask&, const Workspace&);
  int64_t (*transfer_workspace_bytes)(const Problem&);
  void (*plan_transfers)(const Problem&, const TransferTask&, const Workspace&);
  int64_t (*graph_bytes)(const Problem&);
  int64_t (*graph_workspace_bytes)(const Problem&);
  void (*make_graph)(const Problem&, const GraphTask&, const Workspace&);
  int64_t (*split_workspace_bytes)(const Problem&);  // also of the next but one
  void (*split)(const Problem&, const SplitTask&, int tolerance, const Workspace&);
  void (*evaluate_split)(const Problem&, const SplitTask&, const SplitOutputs&, const Workspace&);
  int64_t (*dispatch_workspace_bytes)(const Problem&);
  void (*dispatch)(const Problem&, const DispatchTask&, const Workspace&);
};

// All that are in this build, the fastest first; the last one runs anywhere.
std::span<const InstructionSet* const> instruction_sets();

const InstructionSet& fastest_instruction_set();

}  // namespace eplb::cpu
