// What goes over a plan in device memory as a whole: where each expert's replicas begin, whether
// all maps agree, and maps of integers.
#include <thrust/copy.h>
#include <thrust/for_each.h>
#include <thrust/functional.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/scan.h>
#include <thrust/tabulate.h>
#include <thrust/transform_reduce.h>

#include "machines/cuda/device_memory.h"
#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/whole_arrays.cuh"

namespace eplb::cuda {
namespace {

using Count = thrust::counting_iterator<int64_t>;

struct RowOf {
  int64_t width;

  EPLB_FN int64_t operator()(int64_t i) const { return i / width; }
};

// Writes into `rank`, for place i of replica_slots, [layer, slot] -> i.
struct NotePlace {
  DevicePlan plan;
  int slots;

  EPLB_FN void operator()(int64_t i) const {
    const int64_t row = i / slots * slots;
    const int slot = plan.replica_slots[i];
    if (slot >= 0 && slot < slots) plan.rank[row + slot] = static_cast<int32_t>(i - row);
  }
};

// Does place i of replica_slots name a slot that no other place names, and is it one of the places
// of that slot's expert; or is it behind them all and names none? A layer has no fewer places than
// experts, so place i also answers for expert i: do its places follow those of the expert before?
// And for slot i: is it named, or does it hold no expert?
struct IsConsistent {
  DevicePlan plan;
  int slots, experts;

  EPLB_FN bool operator()(int64_t i) const {
    const int64_t layer = i / slots, place = i - layer * slots;
    return (place < end_of(layer, experts - 1) ? is_placed(layer, place)
                                               : plan.replica_slots[i] == -1) &&
           is_named(layer, place) && (place >= experts || is_counted(layer, place));
  }

 private:
  // Behind an expert's places.
  EPLB_FN int64_t end_of(int64_t layer, int64_t expert) const {
    const int64_t i = layer * experts + expert;
    return expert < 0 ? 0 : int64_t{plan.first_place[i]} + plan.replica_count[i];
  }
  EPLB_FN bool is_named(int64_t layer, int64_t slot) const {
    const int64_t row = layer * slots, place = plan.rank[row + slot];
    if (plan.physical_to_logical[row + slot] == -1) return true;
    return place >= 0 && place < slots && plan.replica_slots[row + place] == slot;
  }
  EPLB_FN bool is_placed(int64_t layer, int64_t place) const {
    const int64_t row = layer * slots;
    const int slot = plan.replica_slots[row + place];
    if (slot < 0 || slot >= slots || plan.rank[row + slot] != place) return false;
    const int expert = plan.physical_to_logical[row + slot];
    if (expert < 0 || expert >= experts) return false;
    const int64_t first = plan.first_place[layer * experts + expert];
    return place >= first && place < first + plan.replica_count[layer * experts + expert];
  }
  EPLB_FN bool is_counted(int64_t layer, int64_t expert) const {
    const int64_t i = layer * experts + expert;
    const int64_t first = plan.first_place[i], count = plan.replica_count[i];
    return first == end_of(layer, expert - 1) && count >= 1 && first + count <= slots;
  }
};

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
      case EPLB_MAP_LOGICAL_TO_PHYSICAL:
        return thrust::tabulate(policy, out, out + experts * width, slot_of);
    }
  });
}

}  // namespace

void launch_first_places(const Problem& problem, const DevicePlan& plan, const ThrustMemory& memory,
                         cudaStream_t stream) {
  const int64_t experts = problem.experts;
  over_arrays(memory, stream, [=, layers = problem.layers](const auto& policy) {
    const auto layer = thrust::make_transform_iterator(Count(0), RowOf{experts});
    thrust::exclusive_scan_by_key(policy, layer, layer + layers * experts, plan.replica_count,
                                  plan.first_place);
  });
}

bool is_consistent(const Problem& problem, const DevicePlan& plan, const ThrustMemory& memory,
                   cudaStream_t stream) {
  const int slots = problem.cluster.slots, experts = problem.experts;
  const int64_t places = problem.layers * slots;
  return over_arrays(memory, stream, [=](const auto& policy) {
    thrust::for_each_n(policy, Count(0), places, NotePlace{plan, slots});
    return thrust::transform_reduce(policy, Count(0), Count(places),
                                    IsConsistent{plan, slots, experts}, true,
                                    thrust::logical_and<bool>());
  });
}

// Each once, of one expert in one slot: Thrust's kernels have no names to be loaded by.
void prepare_maps(cudaStream_t stream) {
  constexpr int64_t kPlanBytes = 256;
  const int64_t thrust_bytes = ThrustMemory::bytes_for(1);
  DeviceBlock block;
  block.at_least(kPlanBytes + thrust_bytes);
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
