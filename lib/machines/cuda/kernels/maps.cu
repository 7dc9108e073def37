// Maps of a plan in device memory.
#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"
#include "solver/evaluate/loads.h"

namespace eplb::cuda {
namespace {

template <class T> __global__ void widen(const int32_t* from, int64_t n, T* out) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) out[i] = from[i];
}

// A piece is a layer's 32 experts: neighbouring lanes write neighbouring elements.
template <class T> __global__ void write_logical_to_physical(SolveTask task, DevicePlan plan, int64_t width, T* out) {
  constexpr int kExperts = WarpTeam::kLanes;
  __shared__ int first[kExperts], count[kExperts];
  WarpTeam team({nullptr});
  const int experts = task.shape.experts, chunks = (experts + kExperts - 1) / kExperts;
  for_each_piece(task.layers * chunks, [&](int64_t i) {
    const int64_t layer = i / chunks;
    const int from = static_cast<int>(i % chunks) * kExperts, n = solver::smaller(kExperts, experts - from);
    const int32_t *counts = plan.replica_count + layer * experts,
                  *slots = plan.replica_slots + layer * task.shape.slots;
    const int before = team.sum(0, from, [&](int e) { return counts[e]; });
    team.scan(
        n, [&](int e) { return counts[from + e]; },
        [&](int e, int others) {
          first[e] = before + others;
          count[e] = counts[from + e];
        });
    for (int e = 0; e < n; ++e) {
      T* const row = out + (layer * experts + from + e) * width;
      for (int x = threadIdx.x; x < width; x += WarpTeam::kLanes) row[x] = x < count[e] ? slots[first[e] + x] : -1;
    }
  });
}

// A layer's loads, each in the order of the report on the host.
struct LayerLoads {
  const SolveTask& task;
  const DeviceWeights& weights;
  const DevicePlan& plan;
  int64_t layer;

  __device__ double weight(int e) const { return weights.at(layer, e); }
  __device__ double load(int g) const {
    const int places = task.shape.slots / task.shape.gpus;
    const int32_t* const counts = plan.replica_count + layer * weights.experts;
    return solver::gpu_load(
        plan.physical_to_logical + layer * task.shape.slots + int64_t{g} * places, places,
        [&](int e) { return weight(e); }, [&](int e) { return counts[e]; });
  }
};

__global__ void write_loads(SolveTask task, DeviceWeights weights, DevicePlan plan, double* out) {
  WarpTeam team({nullptr});
  const int gpus = task.shape.gpus;
  for_each_piece(task.layers, [&](int64_t layer) {
    const LayerLoads loads{task, weights, plan, layer};
    team.for_each(gpus, [&](int g) { out[layer * gpus + g] = loads.load(g); });
  });
}

__global__ void write_imbalance(SolveTask task, DeviceWeights weights, DevicePlan plan, double* out) {
  WarpTeam team({nullptr});
  for_each_piece(task.layers, [&](int64_t layer) {
    const LayerLoads loads{task, weights, plan, layer};
    // Numbers that are not negative compare like their bits.
    const int64_t largest = team.max_of(task.shape.gpus, [&](int g) { return solver::bits_of(loads.load(g)); });
    team.single([&] {
      double total = 0;
      for (int e = 0; e < weights.experts; ++e) total += loads.weight(e);
      out[layer] = solver::imbalance_of(total, solver::of_bits(largest), task.shape.gpus);
    });
  });
}

template <class T> __global__ void write_duplicates(SolveTask task, DevicePlan plan, T* out) {
  WarpTeam team({nullptr});
  const int places = task.shape.slots / task.shape.gpus;
  for_each_piece(task.layers, [&](int64_t layer) {
    const int32_t* const row = plan.physical_to_logical + layer * task.shape.slots;
    const int64_t duplicates = team.sum_of(
        task.shape.gpus, [&](int g) { return int64_t{solver::duplicates_on(row + int64_t{g} * places, places)}; });
    team.single([&] { out[layer] = static_cast<T>(duplicates); });
  });
}

void copy_or_widen(const int32_t* from, int64_t n, eplb_dtype dtype, void* out, cudaStream_t stream) {
  if (dtype == EPLB_INT64)
    return launch(widen<int64_t>, grid_of((n + WarpTeam::kLanes - 1) / WarpTeam::kLanes, 4096), 0, stream, from, n,
                  static_cast<int64_t*>(out));
  check(cudaMemcpyAsync(out, from, static_cast<size_t>(n) * sizeof(int32_t), cudaMemcpyDeviceToDevice, stream),
        "cudaMemcpyAsync");
}

template <class T>
void launch_integers(eplb_map map, eplb_dtype dtype, void* out, int64_t width, const SolveTask& task,
                     const DevicePlan& plan, cudaStream_t stream) {
  const int64_t slots = task.layers * task.shape.slots, experts = task.layers * task.shape.experts;
  switch (map) {
    case EPLB_MAP_PHYSICAL_TO_LOGICAL: return copy_or_widen(plan.physical_to_logical, slots, dtype, out, stream);
    case EPLB_MAP_REPLICA_SLOTS: return copy_or_widen(plan.replica_slots, slots, dtype, out, stream);
    case EPLB_MAP_REPLICA_COUNT: return copy_or_widen(plan.replica_count, experts, dtype, out, stream);
    case EPLB_MAP_LOGICAL_TO_PHYSICAL:
      return launch(write_logical_to_physical<T>, grid_of(experts / WarpTeam::kLanes + task.layers), 0, stream, task,
                    plan, width, static_cast<T*>(out));
    default: return launch(write_duplicates<T>, grid_of(task.layers), 0, stream, task, plan, static_cast<T*>(out));
  }
}

}  // namespace

void prepare_maps() {
  prepare(widen<int64_t>, 0);
  prepare(write_logical_to_physical<int32_t>, 0);
  prepare(write_logical_to_physical<int64_t>, 0);
  prepare(write_duplicates<int32_t>, 0);
  prepare(write_duplicates<int64_t>, 0);
  prepare(write_loads, 0);
  prepare(write_imbalance, 0);
}

void launch_map(eplb_map map, eplb_dtype dtype, void* out, int64_t width, const SolveTask& task,
                const DeviceWeights& weights, const DevicePlan& plan, cudaStream_t stream) {
  const unsigned layers = grid_of(task.layers);
  if (map == EPLB_MAP_GPU_LOAD)
    return launch(write_loads, layers, 0, stream, task, weights, plan, static_cast<double*>(out));
  if (map == EPLB_MAP_IMBALANCE)
    return launch(write_imbalance, layers, 0, stream, task, weights, plan, static_cast<double*>(out));
  if (dtype == EPLB_INT64) return launch_integers<int64_t>(map, dtype, out, width, task, plan, stream);
  launch_integers<int32_t>(map, dtype, out, width, task, plan, stream);
}

}  // namespace eplb::cuda
