#include "machines/cuda/split_memory.h"

#include <algorithm>

namespace eplb::cuda {
namespace {

struct Layout {
  DeviceSplit split{};
  int64_t bytes = 0;
};

Layout lay_out(void* memory, const Problem& problem, const DeviceLimits& limits) {
  const int64_t layers = problem.layers;
  solver::Arena arena(memory);
  DeviceSplit split{};
  split.spread = split_spread(problem, limits);
  split.graph_bytes = split_graph_bytes(problem);
  split.graphs = arena.take<char>(layers * split.graph_bytes).data;
  split.placement = arena.take<int32_t>(layers * problem.cluster.slots).data;
  split.quota = arena.take<int32_t>(layers * problem.cluster.slots).data;
  split.tight = arena.take<int32_t>(layers * problem.cluster.gpus).data;
  const auto& [preparing, splitting, evaluating] = split.spread;
  const int64_t of_blocks = std::max(
      {preparing.in_global_memory(), splitting.in_global_memory(), evaluating.in_global_memory()});
  split.memory = arena.take<char>(of_blocks).data;
  return {split, arena.used()};
}

int64_t bytes_for(const Problem& problem, const DeviceLimits& limits) {
  return lay_out(nullptr, problem, limits).bytes;
}

}  // namespace

void SplitMemory::at_least(const Problem& problem, const DeviceLimits& limits,
                           cudaStream_t stream) {
  if (holds(problem, limits)) return;
  const int64_t bytes = bytes_for(problem, limits);
  DeviceBlock larger;
  larger.at_least(bytes);
  // A graph of zeros splits nothing: what is not prepared yet is harmless.
  check(cudaMemsetAsync(larger.data(), 0, static_cast<size_t>(bytes), stream), "cudaMemsetAsync");
  finish(stream);
  block_ = std::move(larger);
}

bool SplitMemory::holds(const Problem& problem, const DeviceLimits& limits) const {
  return bytes_for(problem, limits) <= block_.bytes();
}

DeviceSplit SplitMemory::of(const Problem& problem, const DeviceLimits& limits) const {
  return lay_out(block_.data(), problem, limits).split;
}

}  // namespace eplb::cuda
