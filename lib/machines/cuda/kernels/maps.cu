// Maps of integers of a plan in device memory.
#include <thrust/copy.h>
#include <thrust/tabulate.h>

#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/whole_arrays.cuh"
#include "machines/cuda/memory_blocks.h"

namespace eplb::cuda {
namespace {

// Element i of LOGICAL_TO_PHYSICAL.
struct SlotOfReplica {
  DevicePlan plan;
  int64_t experts, slots, width;

  EPLB_FN int32_t operator()(int64_t i) const {
    const int64_t expert = i / width, replica = i - expert * width;  // expert: over all layers
    if (replica >= plan.replica_count[expert]) return -1;
    return plan.replica_slots[expert / experts * slots + plan.first_place[expert] + replica];
  }
};

template <class T>
void write_map(eplb_map map, T* out, int64_t width, const Problem& problem, const DevicePlan& plan,
               cudaStream_t stream) {
  const int64_t slots = problem.layers * problem.cluster.slots,
                experts = problem.layers * problem.experts;
  const SlotOfReplica slot_of{plan, problem.experts, problem.cluster.slots, width};
  over_arrays({}, stream, [=](const auto& policy) {
    const auto copy = [=](const int32_t* from, int64_t n) {
      thrust::copy(policy, from, from + n, out);
    };
    switch (map) {
      case EPLB_MAP_PHYSICAL_TO_LOGICAL: return copy(plan.physical_to_logical, slots);
      case EPLB_MAP_REPLICA_SLOTS: return copy(plan.replica_slots, slots);
      case EPLB_MAP_REPLICA_COUNT: return copy(plan.replica_count, experts);
      default: return thrust::tabulate(policy, out, out + experts * width, slot_of);
    }
  });
}

}  // namespace

// Each once, of one expert in one slot: Thrust's kernels have no names to be loaded by.
void prepare_maps(cudaStream_t stream) {
  constexpr int64_t kPlanBytes = 256;
  const int64_t thrust_bytes = ThrustMemory::bytes_for(1);
  const DeviceBlock block(kPlanBytes + thrust_bytes);
  check(cudaMemsetAsync(block.data(), 0, kPlanBytes, stream), "cudaMemsetAsync");
  int32_t* const words = reinterpret_cast<int32_t*>(block.data());
  const DevicePlan plan{words, words, words, words + 1, words};
  const Problem one{.layers = 1};
  launch_first_places(one, plan, {block.data() + kPlanBytes, thrust_bytes}, stream);
  for (const eplb_dtype dtype : {EPLB_INT32, EPLB_INT64})
    for (const eplb_map map : {EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_MAP_LOGICAL_TO_PHYSICAL})
      launch_map(map, dtype, words + 2, 1, one, plan, stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

void launch_map(eplb_map map, eplb_dtype dtype, void* out, int64_t width, const Problem& problem,
                const DevicePlan& plan, cudaStream_t stream) {
  if (dtype == EPLB_INT64)
    return write_map(map, static_cast<int64_t*>(out), width, problem, plan, stream);
  write_map(map, static_cast<int32_t*>(out), width, problem, plan, stream);
}

}  // namespace eplb::cuda
