#include "machines/cpu/evaluate_layers.h"

#include <algorithm>
#include <atomic>

#include "machines/cpu/threads.h"

namespace eplb::cpu {

void evaluate_layers(const Kernel& kernel, int64_t num_threads, std::vector<Block>& workspaces,
                     const Weights& weights, const Problem& problem, const int32_t* placement,
                     EvaluationParts wanted, Evaluation& out) {
  const LayerSizes sizes = layer_sizes<LayerSizes>(problem, {});
  const int workers = static_cast<int>(std::min<int64_t>({num_threads, weights.layers, 65536}));
  const bool threshold = problem.bound_kind == EPLB_BOUND_THRESHOLD;
  const int64_t bytes = kernel.evaluate_workspace_bytes(sizes, wanted, threshold);
  if (workspaces.size() < static_cast<size_t>(workers)) workspaces.resize(workers);
  for (int w = 0; w < workers; ++w) workspaces[w].at_least(bytes);
  std::atomic<int64_t> next{0};
  auto take_layers = [&](int worker) {
    for (int64_t l; (l = next.fetch_add(1, std::memory_order_relaxed)) < weights.layers;) {
      const int64_t first = l * problem.experts;
      const EvaluationTask task{wanted,
                                threshold,
                                weights.integer ? nullptr : &weights.real[first],
                                weights.integer ? &weights.whole[first] : nullptr,
                                placement + l * problem.slots,
                                &out.gpu_load[l * problem.gpus],
                                &out.layers[l]};
      kernel.evaluate(sizes, task, workspaces[worker].data());
    }
  };
  run_workers(workers, take_layers);
  out.known = out.known.with(wanted);
}

}  // namespace eplb::cpu
