// Evaluating one placement of all layers, for tests.
#pragma once

#include <vector>

#include "core/evaluation.h"
#include "machines/cpu/evaluate_layers.h"

namespace eplb::tests {

inline constexpr EvaluationParts kAllParts{true, true, true};

inline Evaluation evaluate(
    const Weights& weights, const Problem& problem, const int32_t* placement,
    EvaluationParts wanted = kAllParts,
    const cpu::InstructionSet& instruction_set = cpu::fastest_instruction_set()) {
  Evaluation evaluation;
  evaluation.resize(weights.layers, problem.cluster.gpus);
  std::vector<cpu::Block> workspaces;
  cpu::evaluate_layers(instruction_set, 1, workspaces, weights, problem, placement, wanted,
                       evaluation);
  return evaluation;
}

}  // namespace eplb::tests
