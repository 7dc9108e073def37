// The replicas of a plan in device memory: where each expert's begin, and whether all maps agree.
#include <thrust/for_each.h>
#include <thrust/functional.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/scan.h>
#include <thrust/transform_reduce.h>

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
// of that slot's expert? A layer has no fewer places than experts, so place i also answers for
// expert i: do its places follow those of the expert before?
struct IsConsistent {
  DevicePlan plan;
  int slots, experts;

  EPLB_FN bool operator()(int64_t i) const {
    const int64_t layer = i / slots, place = i - layer * slots;
    return is_placed(layer, place) && (place >= experts || is_counted(layer, place));
  }

 private:
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
    const int64_t end_before =
        expert == 0 ? 0 : int64_t{plan.first_place[i - 1]} + plan.replica_count[i - 1];
    return first == end_before && count >= 1 && first + count <= slots;
  }
};

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

}  // namespace eplb::cuda
