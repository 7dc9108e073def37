#include "machines/cuda/memory_blocks.h"

#include <cuda_runtime_api.h>

#include <new>

#include "machines/cuda/driver.h"

namespace eplb::cuda {

void DeviceBlock::Free::operator()(void* data) const { cudaFree(data); }

DeviceBlock::DeviceBlock(int64_t bytes) : bytes_(bytes) {
  void* data = nullptr;
  check(cudaMalloc(&data, static_cast<size_t>(bytes)), "cudaMalloc");
  data_.reset(data);
}

void PinnedBlock::Free::operator()(void* data) const { cudaFreeHost(data); }

void PinnedBlock::release() {
  data_.reset();
  bytes_ = 0;
}

void PinnedBlock::at_least(int64_t bytes) {
  if (bytes <= bytes_) return;
  release();
  void* data = nullptr;
  const cudaError_t error = cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw std::bad_alloc();
  }
  check(error, "cudaHostAlloc");
  data_.reset(data);
  bytes_ = bytes;
}

}  // namespace eplb::cuda
