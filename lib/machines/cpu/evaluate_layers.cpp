#include "machines/cpu/evaluate_layers.h"

#include <algorithm>
#include <atomic>

#include "machines/cpu/threads.h"

namespace eplb::cpu {

namespace {

bool wants_threshold(const Problem& problem) { return problem.bound_kind == EPLB_BOUND_THRESHOLD; }

EvaluationTask task_of(const Weights& weights, const Problem& problem, const int32_t* placement,
                       EvaluationParts wanted, int64_t layer, Evaluation& out) {
  const int64_t first = layer * problem.experts;
  return {.wanted = wanted,
          .threshold = wants_threshold(problem),
          .real = weights.integer ? nullptr : &weights.real[first],
          .whole = weights.integer ? &weights.whole[first] : nullptr,
          .placement = placement + layer * problem.slots,
          .gpu_load = &out.gpu_load[layer * problem.gpus],
          .figures = &out.layers[layer]};
}

}  // namespace

void evaluate_layers(const InstructionSet& instruction_set, int64_t num_threads, std::vector<Block>& workspaces,
                     const Weights& weights, const Problem& problem, const int32_t* placement,
                     EvaluationParts wanted, Evaluation& out) {
  const LayerSizes sizes = layer_sizes<LayerSizes>(problem, {});
  const int workers = static_cast<int>(std::min<int64_t>({num_threads, weights.layers, 65536}));
  const int64_t bytes = instruction_set.evaluate_workspace_bytes(sizes, wanted, wants_threshold(problem));
  if (workspaces.size() < static_cast<size_t>(workers)) workspaces.resize(workers);
  for (int w = 0; w < workers; ++w) workspaces[w].at_least(bytes);
  std::atomic<int64_t> next{0};
  auto take_layers = [&](int worker) {
    for (int64_t l; (l = next.fetch_add(1, std::memory_order_relaxed)) < weights.layers;)
      instruction_set.evaluate(sizes, task_of(weights, problem, placement, wanted, l, out),
                      workspaces[worker].data());
  };
  run_workers(workers, take_layers);
  out.known = out.known.with(wanted);
}

}  // namespace eplb::cpu
