// Solving on the device, and the kernels of methods that are all inlined.
#include <algorithm>

#include "machines/cuda/kernels/solve_kernels.cuh"

namespace eplb::cuda {

void prepare_kernels(const DeviceLimits& limits, cudaStream_t stream) {
  static constexpr int32_t kOneSlot = 1;
  const auto prepare_for = [&](const Problem& problem) {
    solver::with_method(problem, [&](auto method) {
      SolveKernels<decltype(method)>::prepare(limits.shared_bytes, stream);
    });
  };
  for (const eplb_strategy strategy :
       {EPLB_STRATEGY_GREEDY, EPLB_STRATEGY_LPT_SWAP, EPLB_STRATEGY_BEST, EPLB_STRATEGY_REBALANCE})
    for (const int32_t* const gpu_slots : {static_cast<const int32_t*>(nullptr), &kOneSlot})
      prepare_for({.cluster = {.gpu_slots = gpu_slots}, .options = {.strategy = strategy}});
  prepare_sum();
  prepare_take_placement();
  prepare_maps(stream);
  prepare_evaluation(limits.shared_bytes, stream);
  prepare_transfers(limits.shared_bytes, stream);
  prepare_splits(limits.shared_bytes, stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

Spread spread_of(const Problem& problem, const DeviceLimits& limits) {
  return solver::with_method(problem, [&](auto method) {
    View<uint64_t> words;
    const int group_chains = method.group_chains(), node_chains = method.node_chains();
    const int64_t nodes = method.problem.partition.nodes;
    const int64_t chains = std::max<int64_t>(nodes * node_chains, group_chains);
    return Spread{group_chains, node_chains,
                  workspace_of(lay_out(nullptr, method, words), problem.layers * chains, limits),
                  evaluation_workspace(problem, kAllParts, false, limits),
                  transfer_workspace(problem, limits)};
  });
}

void launch_solve(const SolveTask& given, cudaStream_t stream) {
  SolveTask task = given;
  solver::with_method(task.problem, [&](auto method) {
    task.problem = method.problem;  // as the method divides it
    SolveKernels<decltype(method)>::launch(task, stream);
  });
  launch_first_places(task.problem, task.plan, task.scratch.thrust, stream);
}

}  // namespace eplb::cuda
