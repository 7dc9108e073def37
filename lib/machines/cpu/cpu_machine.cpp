#include "machines/cpu/cpu_machine.h"

#include <algorithm>
#include <atomic>

#include "machines/cpu/evaluate_layers.h"
#include "machines/cpu/threads.h"

namespace eplb::cpu {

int CpuMachine::worker_count(int64_t layers) const {
  return static_cast<int>(std::min<int64_t>({num_threads_, layers, 65536}));
}

void CpuMachine::prepare_workers(const LayerSizes& sizes, eplb_strategy strategy, int workers) {
  const int64_t bytes = instruction_set_.workspace_bytes(sizes, strategy);
  if (workspaces_.size() < static_cast<size_t>(workers)) workspaces_.resize(workers);
  for (int w = 0; w < workers; ++w) workspaces_[w].at_least(bytes);
}

void CpuMachine::reserve(const Request& request, bool) {
  const LayerSizes sizes = layer_sizes<LayerSizes>(request.problem, request.options);
  prepare_workers(sizes, request.options.strategy, worker_count(request.layers));
}

bool CpuMachine::solve(const Weights& weights, bool, Plan& plan) {
  const auto& [problem, options, layers] = plan.request;
  const LayerSizes sizes = layer_sizes<LayerSizes>(problem, options);
  const int workers = worker_count(layers);
  prepare_workers(sizes, options.strategy, workers);
  std::atomic<int64_t> next{0};
  auto take_layers = [&](int worker) {
    for (int64_t l; (l = next.fetch_add(1, std::memory_order_relaxed)) < plan.request.layers;) {
      const int64_t experts = l * sizes.experts, slots = l * sizes.slots;
      const LayerTask task{weights.integer ? nullptr : &weights.real[experts],
                           weights.integer ? &weights.whole[experts] : nullptr, &plan.physical_to_logical[slots],
                           &plan.replica_count[experts], &plan.replica_slots[slots]};
      instruction_set_.solve(sizes, plan.request.options.strategy, plan.request.options.effort, task,
                    workspaces_[worker].data());
    }
  };
  run_workers(workers, take_layers);
  return false;
}

void CpuMachine::evaluate(const Weights& weights, const Problem& problem, const int32_t* placement,
                          EvaluationParts parts, Evaluation& evaluation) {
  evaluate_layers(instruction_set_, num_threads_, workspaces_, weights, problem, placement, parts, evaluation);
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
  for (const InstructionSet* instruction_set : instruction_sets()) facts.sentence += std::string(" ") + instruction_set->name;
  return facts;
}

std::string device_name() { return std::string("CPU (") + fastest_instruction_set().name + ")"; }

std::unique_ptr<Machine> make_machine(int64_t num_threads) { return std::make_unique<CpuMachine>(num_threads); }

}  // namespace eplb::cpu
