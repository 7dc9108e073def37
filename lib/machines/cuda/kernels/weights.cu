// The caller's weights, checked and summed on the device.
#include <cfloat>

#include "machines/cuda/kernels/kernels.h"
#include "machines/cuda/kernels/launch.cuh"

namespace eplb::cuda {
namespace {

__device__ bool is_bad(double x) { return !(x >= 0 && x <= DBL_MAX); }
__device__ bool is_bad(int64_t x) { return x < 0; }
__device__ Fault fault_of(double x) {
  return x != x ? Fault::kNaN : x < 0 ? Fault::kNegative : Fault::kInfinite;
}
__device__ Fault fault_of(int64_t) { return Fault::kNegative; }

// 0 + x makes -0.0 a 0.
__device__ bool add(double& sum, double x) { return sum = sum + x, sum <= DBL_MAX; }
__device__ bool add(int64_t& sum, int64_t x) {
  if (x > INT64_MAX - sum) return false;
  sum += x;
  return true;
}

template <class T> using SumOf = std::conditional_t<std::is_integral_v<T>, int64_t, double>;

// One expert's windows, in order: -1 and the sum, or the first fault. `kept`: where they go, too,
// unless null.
template <class T>
__device__ int sum_windows(const T* weights, int64_t stride, int64_t windows, SumOf<T>& sum,
                           SumOf<T>* kept) {
  sum = 0;
  for (int64_t t = 0; t < windows; ++t) {
    const SumOf<T> x = weights[t * stride];
    if (is_bad(x)) return static_cast<int>(fault_of(x));
    if (kept) kept[t * stride] = x;
  }
  for (int64_t t = 0; t < windows; ++t)
    if (!add(sum, SumOf<T>{weights[t * stride]}))
      return static_cast<int>(std::is_integral_v<T> ? Fault::kWindowSumInteger
                                                    : Fault::kWindowSumReal);
  return -1;
}

// Sums that a layer's total, or GREEDY's float32, may not hold: looked at one after the other, as
// on the host.
__device__ void check_layer_sum(WarpTeam& team, const double* sums, int64_t layer,
                                const DeviceWeights& out, View<FaultCode> fault) {
  const double limit = static_cast<double>(FLT_MAX) / out.experts;
  if (team.find_of(out.experts, [&](int e) { return sums[e] > limit; }) == out.experts) return;
  team.single([&] {
    double total = 0, rounded_total = 0;
    FaultCode float32 = kNoFault;
    for (int e = 0; e < out.experts; ++e) {
      const float rounded = static_cast<float>(sums[e]);
      total += sums[e];
      rounded_total += rounded;
      if (rounded > FLT_MAX && float32 == kNoFault) float32 = fault_code(layer, e, Fault::kFloat32);
    }
    if (float32 == kNoFault && static_cast<float>(rounded_total) > FLT_MAX)
      float32 = fault_code(layer, out.experts - 1, Fault::kFloat32Sum);
    out.float32_fault[layer] = float32;
    if (!(total <= DBL_MAX)) fault[0] = fault_code(layer, out.experts - 1, Fault::kLayerSum);
  });
}

// Sums a layer's windows; kNoFault, or the first fault. `found`: one, in shared memory.
template <class T>
__device__ __forceinline__ FaultCode sum_layer(WarpTeam& team, const T* weights, int64_t windows,
                                               int64_t layer, SumOf<T>* sums,
                                               const DeviceWeights& out, View<FaultCode> found) {
  const T* const first = weights + layer * out.experts;
  SumOf<T>* const kept = out.of_layer<SumOf<T>>(out.windows, layer);
  team.single([&] {
    found[0] = kNoFault;
    out.float32_fault[layer] = kNoFault;
  });
  team.for_each(out.experts, [&](int e) {
    const int fault =
        sum_windows(first + e, out.stride(), windows, sums[e], kept ? kept + e : nullptr);
    if (fault >= 0) atomicMin(&found[0], fault_code(layer, e, static_cast<Fault>(fault)));
  });
  if constexpr (!std::is_integral_v<T>)
    if (found[0] == kNoFault) check_layer_sum(team, sums, layer, out, found);
  const FaultCode fault = found[0];
  team.barrier();
  return fault;
}

template <class Sum>
__device__ void clear_layer(WarpTeam& team, int64_t windows, int64_t layer, Sum* sums,
                            const DeviceWeights& out) {
  Sum* const kept = out.of_layer<Sum>(out.windows, layer);
  team.for_each(out.experts, [&](int e) {
    sums[e] = 0;
    for (int64_t t = 0; kept && t < windows; ++t) kept[t * out.stride() + e] = 0;
  });
}

template <class T>
__global__ void sum_weights(const T* weights, int64_t windows, DeviceWeights out) {
  __shared__ FaultCode found[1];
  WarpTeam team({nullptr});
  for_each_piece(out.layers, [&](int64_t layer) {
    SumOf<T>* const sums = static_cast<SumOf<T>*>(out.sums) + layer * out.experts;
    const FaultCode fault = sum_layer(team, weights, windows, layer, sums, out, {found});
    if (layer == 0)
      team.single([&] { *out.windows_known = windows == 1 || out.windows ? windows : 0; });
    if (fault == kNoFault) return;
    clear_layer(team, windows, layer, sums, out);
    team.single([&] {
      out.float32_fault[layer] = kNoFault;
      atomicMin(out.fault, fault);
    });
  });
}

}  // namespace

void prepare_sum() {
  prepare(sum_weights<float>, 0);
  prepare(sum_weights<double>, 0);
  prepare(sum_weights<int32_t>, 0);
  prepare(sum_weights<int64_t>, 0);
}

void launch_sum(const WeightSource& source, const DeviceWeights& out, cudaStream_t stream) {
  const auto sum = [&]<class T>(void (*kernel)(const T*, int64_t, DeviceWeights)) {
    launch(kernel, grid_of(out.layers), 0, stream, static_cast<const T*>(source.data),
           source.windows, out);
  };
  switch (source.dtype) {
    case EPLB_FLOAT32: return sum(sum_weights<float>);
    case EPLB_FLOAT64: return sum(sum_weights<double>);
    case EPLB_INT32: return sum(sum_weights<int32_t>);
    default: return sum(sum_weights<int64_t>);
  }
}

}  // namespace eplb::cuda
