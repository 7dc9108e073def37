// How kernels are launched: one warp to a block, blocks that take one piece of work after the
// other.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>

#include "machines/cuda/driver.h"
#include "machines/cuda/team/warp_team.cuh"

extern __shared__ __align__(128) char eplb_shared[];

namespace eplb::cuda {

// Calls work(int64_t i) for the block's share of `count` pieces.
template <class Work> __device__ __forceinline__ void for_each_piece(int64_t count, Work work) {
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    work(i);
    __syncwarp();  // before the next piece takes the memory of this one
  }
}

inline unsigned grid_of(int64_t pieces, int64_t most = int64_t{1} << 30) {
  return static_cast<unsigned>(std::clamp<int64_t>(pieces, 1, std::min(most, int64_t{1} << 30)));
}

// In shared memory if a block may have as much; in global memory blocks take turns.
inline Workspace workspace_of(int64_t bytes, int64_t pieces, const DeviceLimits& limits) {
  constexpr int kBlocksInGlobalMemory = 8;  // for each multiprocessor
  if (bytes <= limits.shared_bytes) return {bytes, true, pieces};
  return {bytes, false, std::min<int64_t>(pieces, limits.multiprocessors * kBlocksInGlobalMemory)};
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), unsigned blocks, int64_t shared, cudaStream_t stream,
            const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(WarpTeam::kLanes);
  config.dynamicSmemBytes = static_cast<size_t>(shared);
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), "a kernel's launch");
}

// Loads a kernel, which happens on its first use otherwise.
template <class... Parameters> void prepare(void (*kernel)(Parameters...), int shared_bytes) {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)),
        "cudaFuncGetAttributes");
  if (shared_bytes > 0)
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               shared_bytes - static_cast<int>(attributes.sharedSizeBytes)),
          "cudaFuncSetAttribute");
}

// A kernel whose task has a workspace, with a piece of work for each layer.
template <class Task>
void launch_for_layers(void (*kernel)(Task), cudaStream_t stream, const Task& task) {
  const Workspace& workspace = task.workspace;
  launch(kernel, grid_of(task.problem.layers, workspace.most_blocks),
         workspace.shared ? workspace.bytes : 0, stream, task);
}
// Launches it once with nothing to do: the first launch may take memory for stacks.
template <class Task>
void prepare_for_layers(void (*kernel)(Task), int shared_bytes, cudaStream_t stream) {
  prepare(kernel, shared_bytes);
  Task nothing{};
  nothing.workspace = {0, true, 1};
  launch_for_layers(kernel, stream, nothing);
}

// Each file prepares its own kernels.
void prepare_sum();
void prepare_take_placement();
void prepare_maps(cudaStream_t stream);
void prepare_evaluation(int shared_bytes, cudaStream_t stream);
void prepare_transfers(int shared_bytes, cudaStream_t stream);
void prepare_splits(int shared_bytes, cudaStream_t stream);

}  // namespace eplb::cuda
