#include "machines/cpu/evaluate_layers.h"

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

void evaluate_layers(const InstructionSet& instruction_set, int64_t num_threads,
                     std::vector<Block>& workspaces, const Weights& weights, const Problem& problem,
                     const int32_t* placement, EvaluationParts wanted, Evaluation& out) {
  const LayerSizes sizes = layer_sizes<LayerSizes>(problem, {});
  const int workers = worker_count(num_threads, weights.layers);
  const bool threshold = wants_threshold(problem);
  grow(workspaces, workers, instruction_set.evaluate_workspace_bytes(sizes, wanted, threshold));
  share_layers(workers, weights.layers, [&](int64_t layer, int worker) {
    instruction_set.evaluate(sizes, task_of(weights, problem, placement, wanted, layer, out),
                             workspaces[worker].data());
  });
  out.known = out.known.with(wanted);
}

}  // namespace eplb::cpu
