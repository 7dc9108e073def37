#include "core/static_dispatch.h"

#include <algorithm>

#include "core/error.h"
#include "core/split.h"

namespace eplb {
namespace {

int read_ranks(int64_t ranks, int gpus, int experts) {
  if (ranks < 0 || ranks > kMostRanks)
    fail(EPLB_INVALID_ARGUMENT, "num_ranks is %lld, must be 1 to %d, or 0 for the number of GPUs",
         ll(ranks), kMostRanks);
  if (ranks == 0 && gpus > kMostRanks)
    fail(EPLB_INVALID_ARGUMENT,
         "num_ranks is 0, which means the number of GPUs, and that is %d: more than %d", gpus,
         kMostRanks);
  const int64_t found = ranks == 0 ? gpus : ranks;
  if (found * experts > kMostInTable)
    fail(EPLB_INVALID_ARGUMENT, "num_ranks * num_experts = %lld * %d is above 2^24", ll(found),
         experts);
  return static_cast<int>(found);
}

}  // namespace

DispatchLimits read_limits(const eplb_static_dispatch_options& options, const Problem& problem) {
  constexpr int64_t kAnyNumber = 1 << 30;
  const int64_t swaps = options.max_swaps;
  if (swaps < -1)
    fail(EPLB_INVALID_ARGUMENT, "max_swaps is %lld, must be 0 or more, or -1 for any number",
         ll(swaps));
  return {.ranks = read_ranks(options.num_ranks, problem.cluster.gpus, problem.experts),
          .tolerance = read_tolerance(options.tolerance),
          .most_swaps = static_cast<int>(swaps < 0 ? kAnyNumber : std::min(swaps, kAnyNumber))};
}

void StaticDispatch::resize(const Problem& asked) {
  problem = asked;
  const auto slots = static_cast<size_t>(asked.layers * asked.cluster.slots);
  placement.resize(slots);
  units.resize(slots);
  table.resize(static_cast<size_t>(asked.layers * asked.dispatch.ranks * asked.experts));
  load.resize(static_cast<size_t>(asked.layers * asked.cluster.gpus));
  layers.resize(static_cast<size_t>(asked.layers));
}

void StaticDispatch::reserve(const StaticDispatch& other) {
  placement.reserve(other.placement.size());
  units.reserve(other.units.size());
  table.reserve(other.table.size());
  load.reserve(other.load.size());
  layers.reserve(other.layers.size());
}

DispatchOutputs StaticDispatch::of_layer(int64_t layer) {
  const int64_t slot = layer * problem.cluster.slots;
  return {.placement = &placement[slot],
          .units = &units[slot],
          .table = &table[layer * problem.dispatch.ranks * problem.experts],
          .load = &load[layer * problem.cluster.gpus],
          .figures = &layers[layer]};
}

int64_t StaticDispatch::bytes() const {
  return static_cast<int64_t>(
      (placement.capacity() + units.capacity() + table.capacity()) * sizeof(int32_t) +
      load.capacity() * sizeof(double) + layers.capacity() * sizeof(SplitFigures));
}

}  // namespace eplb
