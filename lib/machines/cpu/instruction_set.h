// What is compiled once per instruction set: solving and evaluating a layer. All of them give the
// same answer.
#pragma once

#include <cstdint>

#include "core/evaluation.h"
#include "eplb.h"

namespace eplb::cpu {

// As solver::Shape, which is another type for each instruction set.
struct LayerSizes {
  int experts, slots, gpus, nodes, groups, most_replicas;
  uint64_t seed;
};

// One layer's weights, one of the two, and where its maps go.
struct LayerTask {
  const double* real;
  const int64_t* whole;
  int32_t *physical_to_logical, *replica_count, *replica_slots;
};

// A layer to be evaluated: its weights as above, its placement, and where figures and GPU loads go.
struct EvaluationTask {
  EvaluationParts wanted;
  bool threshold;  // are bounds to be EPLB_BOUND_THRESHOLD?
  const double* real;
  const int64_t* whole;
  const int32_t* placement;
  double* gpu_load;
  LayerFigures* figures;
};

// The library as compiled for one instruction set.
struct InstructionSet {
  const char* name;
  bool (*supported)();
  int64_t (*workspace_bytes)(const LayerSizes&, eplb_strategy);
  void (*solve)(const LayerSizes&, eplb_strategy, eplb_effort, const LayerTask&, void* workspace);
  int64_t (*evaluate_workspace_bytes)(const LayerSizes&, const EvaluationParts&, bool threshold);
  void (*evaluate)(const LayerSizes&, const EvaluationTask&, void* workspace);
};

// All that are in this build, the fastest first; the last one runs anywhere.
struct InstructionSets {
  const InstructionSet* const* begin_;
  const InstructionSet* const* end_;
  const InstructionSet* const* begin() const { return begin_; }
  const InstructionSet* const* end() const { return end_; }
};
InstructionSets instruction_sets();

const InstructionSet& fastest_instruction_set();

}  // namespace eplb::cpu
