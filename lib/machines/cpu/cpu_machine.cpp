#include "machines/cpu/cpu_machine.h"

#include "machines/cpu/evaluate_layers.h"
#include "machines/cpu/threads.h"

namespace eplb::cpu {

int CpuMachine::prepare_workers(const Problem& problem) {
  const int workers = worker_count(num_threads_, problem.layers);
  grow(workspaces_, workers, instruction_set_.workspace_bytes(problem));
  return workers;
}

void CpuMachine::reserve(const Problem& problem, const std::function<void()>& then) {
  prepare_workers(problem);
  then();
}

bool CpuMachine::solve(const Weights& weights, bool, Plan& plan) {
  const Problem& problem = plan.problem;
  share_layers(prepare_workers(problem), problem.layers, [&](int64_t layer, int worker) {
    const int64_t slot = layer * problem.cluster.slots;  // the layer's first
    const LayerTask task{.weights = weights.of_layer(layer),
                         .physical_to_logical = &plan.physical_to_logical[slot],
                         .replica_count = &plan.replica_count[layer * problem.experts],
                         .replica_slots = &plan.replica_slots[slot]};
    instruction_set_.solve(problem, task, workspaces_[worker].data());
  });
  return false;
}

void CpuMachine::evaluate(const Weights& weights, bool, const Problem& problem,
                          const int32_t* placement, EvaluationParts parts, Evaluation& evaluation) {
  evaluate_layers(instruction_set_, num_threads_, workspaces_, weights, problem, placement, parts,
                  evaluation);
}

int64_t CpuMachine::bytes() const {
  int64_t sum = sizeof *this;
  for (const Block& workspace : workspaces_) sum += workspace.bytes();
  return sum;
}

MachineFacts facts() {
  MachineFacts facts;
  facts.built = true;
  facts.status = EPLB_OK;
  facts.devices = 1;
  facts.sentence = std::string("uses ") + fastest_instruction_set().name + ", built for";
  for (const InstructionSet* instruction_set : instruction_sets())
    facts.sentence += std::string(" ") + instruction_set->name;
  return facts;
}

std::string device_name() { return std::string("CPU (") + fastest_instruction_set().name + ")"; }

std::unique_ptr<Machine> make_machine(int64_t num_threads) {
  return std::make_unique<CpuMachine>(num_threads);
}

}  // namespace eplb::cpu
