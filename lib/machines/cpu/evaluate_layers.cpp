#include "machines/cpu/evaluate_layers.h"

#include "machines/cpu/threads.h"

namespace eplb::cpu {
namespace {

EvaluationTask task_of(const Weights& weights, const Problem& problem, const int32_t* placement,
                       EvaluationParts wanted, int64_t layer, Evaluation& out) {
  return {.wanted = wanted,
          .weights = weights.of_layer(layer),
          .placement = placement + layer * problem.cluster.slots,
          .gpu_load = &out.gpu_load[layer * problem.cluster.gpus],
          .figures = &out.layers[layer]};
}

}  // namespace

void evaluate_layers(const InstructionSet& instruction_set, int64_t num_threads,
                     std::vector<Block>& workspaces, const Weights& weights, const Problem& problem,
                     const int32_t* placement, EvaluationParts wanted, Evaluation& out) {
  const int workers = worker_count(num_threads, weights.layers);
  grow(workspaces, workers, instruction_set.evaluate_workspace_bytes(problem, wanted));
  share_layers(workers, weights.layers, [&](int64_t layer, int worker) {
    instruction_set.evaluate(problem, task_of(weights, problem, placement, wanted, layer, out),
                             workspaces[worker].data());
  });
  out.known = out.known.with(wanted);
}

}  // namespace eplb::cpu
