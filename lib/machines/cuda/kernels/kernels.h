// The kernels as the backend calls them: each call launches on a stream, waits for nothing and allocates nothing.
#pragma once

#include <cuda_runtime_api.h>

#include "machines/cuda/device_layers.h"

namespace eplb::cuda {

// Limits of a device that decide how a solve is spread.
struct DeviceLimits {
  int multiprocessors;
  int shared_bytes;  // that a block may have
};

// Loads every kernel, lets it have all the shared memory there is and the memory of its first launch: none of that may happen
// while a stream is captured. Waits for the stream.
void prepare_kernels(const DeviceLimits& limits, cudaStream_t stream);

// Checks caller's weights [T,L,E] and sums their windows.
void launch_sum(const void* weights, eplb_dtype dtype, int64_t windows, const DeviceWeights& out, cudaStream_t stream);

Spread spread_of(const SolveTask& task, const DeviceLimits& limits);
void launch_solve(const SolveTask& task, const Spread& spread, const DeviceWeights& weights, const SolveRoom& room,
                  const DevicePlan& plan, cudaStream_t stream);

// [L], under the policy and of the kind that the task asks for. Works where the chains of a solve have worked.
void launch_bounds(const SolveTask& task, const Spread& spread, const DeviceWeights& weights, const SolveRoom& room,
                   double* out, cudaStream_t stream);

// width: X of LOGICAL_TO_PHYSICAL. Every map but BOUND.
void launch_map(eplb_map map, eplb_dtype dtype, void* out, int64_t width, const SolveTask& task,
                const DeviceWeights& weights, const DevicePlan& plan, cudaStream_t stream);

}  // namespace eplb::cuda
