// Evaluating one placement of all layers, for tests.
#pragma once

#include "core/evaluation.h"
#include "machines/cpu/cpu_machine.h"

namespace eplb::tests {

inline Evaluation evaluate(
    const Weights& weights, const Problem& problem, const int32_t* placement,
    EvaluationParts wanted = kAllParts,
    const cpu::InstructionSet& instruction_set = cpu::fastest_instruction_set()) {
  Evaluation evaluation;
  evaluation.resize(weights.layers, problem.cluster.gpus);
  cpu::CpuMachine(1, instruction_set)
      .evaluate(weights, false, problem, placement, wanted, evaluation);
  return evaluation;
}

}  // namespace eplb::tests
