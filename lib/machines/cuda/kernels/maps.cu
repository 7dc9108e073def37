// Maps of integers of a plan in device memory.
#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"

namespace eplb::cuda {
namespace {

template <class T> __global__ void widen(const int32_t* from, int64_t n, T* out) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step)
    out[i] = from[i];
}

// Neighbouring experts of a layer: where the slots of each begin, and how many it has.
struct SlotsOfExperts {
  static constexpr int kMost = WarpTeam::kLanes;
  int *first, *count;  // [kMost]

  // Of n experts from `from` on, whose counts are in `counts` [E].
  __device__ void read(WarpTeam& team, const int32_t* counts, int from, int n) const {
    const int before = team.sum(0, from, [&](int e) { return counts[e]; });
    team.scan(
        n, [&](int e) { return counts[from + e]; },
        [&](int e, int others) {
          first[e] = before + others;
          count[e] = counts[from + e];
        });
  }
};

// A piece is a layer's 32 experts: neighbouring lanes write neighbouring elements.
template <class T>
__global__ void write_logical_to_physical(Problem problem, DevicePlan plan, int64_t width, T* out) {
  constexpr int kMost = SlotsOfExperts::kMost;
  __shared__ int first[kMost], count[kMost];
  WarpTeam team({nullptr});
  const int experts = problem.experts, pieces = (experts + kMost - 1) / kMost;
  for_each_piece(problem.layers * pieces, [&](int64_t i) {
    const int64_t layer = i / pieces;
    const int from = static_cast<int>(i % pieces) * kMost;
    const int n = solver::smaller(kMost, experts - from);
    const int32_t* const slots = plan.replica_slots + layer * problem.cluster.slots;
    SlotsOfExperts{first, count}.read(team, plan.replica_count + layer * experts, from, n);
    for (int e = 0; e < n; ++e) {
      T* const row = out + (layer * experts + from + e) * width;
      for (int x = threadIdx.x; x < width; x += WarpTeam::kLanes)
        row[x] = x < count[e] ? slots[first[e] + x] : -1;
    }
  });
}

void copy_or_widen(const int32_t* from, int64_t n, eplb_dtype dtype, void* out,
                   cudaStream_t stream) {
  if (dtype == EPLB_INT64)
    return launch(widen<int64_t>, grid_of((n + WarpTeam::kLanes - 1) / WarpTeam::kLanes, 4096), 0,
                  stream, from, n, static_cast<int64_t*>(out));
  check(cudaMemcpyAsync(out, from, static_cast<size_t>(n) * sizeof(int32_t),
                        cudaMemcpyDeviceToDevice, stream),
        "cudaMemcpyAsync");
}

template <class T>
void launch_integers(eplb_map map, eplb_dtype dtype, void* out, int64_t width,
                     const Problem& problem, const DevicePlan& plan, cudaStream_t stream) {
  const int64_t slots = problem.layers * problem.cluster.slots,
                experts = problem.layers * problem.experts;
  switch (map) {
    case EPLB_MAP_PHYSICAL_TO_LOGICAL:
      return copy_or_widen(plan.physical_to_logical, slots, dtype, out, stream);
    case EPLB_MAP_REPLICA_SLOTS:
      return copy_or_widen(plan.replica_slots, slots, dtype, out, stream);
    case EPLB_MAP_REPLICA_COUNT:
      return copy_or_widen(plan.replica_count, experts, dtype, out, stream);
    default:
      return launch(write_logical_to_physical<T>,
                    grid_of(experts / WarpTeam::kLanes + problem.layers), 0, stream, problem, plan,
                    width, static_cast<T*>(out));
  }
}

}  // namespace

void prepare_maps() {
  prepare(widen<int64_t>, 0);
  prepare(write_logical_to_physical<int32_t>, 0);
  prepare(write_logical_to_physical<int64_t>, 0);
}

void launch_map(eplb_map map, eplb_dtype dtype, void* out, int64_t width, const Problem& problem,
                const DevicePlan& plan, cudaStream_t stream) {
  if (dtype == EPLB_INT64)
    return launch_integers<int64_t>(map, dtype, out, width, problem, plan, stream);
  launch_integers<int32_t>(map, dtype, out, width, problem, plan, stream);
}

}  // namespace eplb::cuda
