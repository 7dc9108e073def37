#include "machines/cpu/cpu_machine.h"

#include <algorithm>

#include "machines/cpu/threads.h"

namespace eplb::cpu {

int CpuMachine::prepare_workers(int64_t layers, int64_t bytes) {
  const auto workers = std::min<int64_t>({num_threads_, layers, 65536});
  const auto lines = (static_cast<size_t>(bytes) + sizeof(Line) - 1) / sizeof(Line);
  if (workspaces_.size() < static_cast<size_t>(workers)) workspaces_.resize(workers);
  for (int64_t w = 0; w < workers; ++w) {
    if (workspaces_[w].size() >= lines) continue;
    workspaces_[w] = Workspace();  // given up first: the new one may need its memory
    workspaces_[w].resize(lines);
  }
  return static_cast<int>(workers);
}

void CpuMachine::reserve(const Problem& problem, const std::function<void()>& then) {
  prepare_workers(problem.layers, instruction_set_.workspace_bytes(problem));
  then();
}

bool CpuMachine::solve(const Weights& weights, bool, Plan& plan) {
  const Problem& problem = plan.problem;
  auto solve_layer = [&](int64_t layer, int worker) {
    const int64_t slot = layer * problem.cluster.slots;  // the layer's first
    const LayerTask task{.weights = weights.of_layer(layer),
                         .physical_to_logical = &plan.physical_to_logical[slot],
                         .replica_count = &plan.replica_count[layer * problem.experts],
                         .replica_slots = &plan.replica_slots[slot]};
    instruction_set_.solve(problem, task, workspaces_[worker].data());
  };
  share_layers(prepare_workers(problem.layers, instruction_set_.workspace_bytes(problem)),
               problem.layers, std::ref(solve_layer));
  return false;
}

void CpuMachine::evaluate(const Weights& weights, bool, const Problem& problem,
                          const int32_t* placement, EvaluationParts parts, Evaluation& evaluation) {
  auto evaluate_layer = [&](int64_t layer, int worker) {
    const EvaluationTask task{.wanted = parts,
                              .weights = weights.of_layer(layer),
                              .placement = placement + layer * problem.cluster.slots,
                              .gpu_load = &evaluation.gpu_load[layer * problem.cluster.gpus],
                              .figures = &evaluation.layers[layer]};
    instruction_set_.evaluate(problem, task, workspaces_[worker].data());
  };
  const int64_t bytes = instruction_set_.evaluate_workspace_bytes(problem, parts);
  share_layers(prepare_workers(weights.layers, bytes), weights.layers, std::ref(evaluate_layer));
  evaluation.known |= parts;
}

int64_t CpuMachine::bytes() const {
  size_t sum = sizeof *this;
  for (const Workspace& workspace : workspaces_) sum += workspace.capacity() * sizeof(Line);
  return static_cast<int64_t>(sum);
}

MachineFacts facts() {
  MachineFacts facts;
  facts.backend.built = 1;
  facts.backend.status = EPLB_OK;
  facts.backend.num_devices = 1;
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
