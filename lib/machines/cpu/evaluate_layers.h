// Evaluating placements on the host.
#pragma once

#include <cstdint>
#include <vector>

#include "core/evaluation.h"
#include "core/weights.h"
#include "machines/cpu/block.h"
#include "machines/cpu/instruction_set.h"

namespace eplb::cpu {

// Works out the wanted parts of a placement [L,S] on up to `num_threads` threads, with a workspace
// for each. `out` has its size; its other parts stay as they are. Throws bad_alloc before anything
// is written.
void evaluate_layers(const InstructionSet& instruction_set, int64_t num_threads,
                     std::vector<Block>& workspaces, const Weights& weights, const Problem& problem,
                     const int32_t* placement, EvaluationParts wanted, Evaluation& out);

}  // namespace eplb::cpu
