#include "machines/cuda/memory_blocks.h"

#include <cuda_runtime_api.h>

#include <new>
#include <utility>

#include "machines/cuda/driver.h"

namespace eplb::cuda {

DeviceBlock::DeviceBlock(int64_t bytes) : bytes_(bytes) {
  check(cudaMalloc(&data_, static_cast<size_t>(bytes)), "cudaMalloc");
}
DeviceBlock::~DeviceBlock() {
  if (data_) cudaFree(data_);
}
DeviceBlock::DeviceBlock(DeviceBlock&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
DeviceBlock& DeviceBlock::operator=(DeviceBlock&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}
void DeviceBlock::abandon() {
  data_ = nullptr;
  bytes_ = 0;
}

PinnedBlock::~PinnedBlock() { release(); }
void PinnedBlock::release() {
  if (data_) cudaFreeHost(data_);
  data_ = nullptr;
  bytes_ = 0;
}
void PinnedBlock::at_least(int64_t bytes) {
  if (bytes <= bytes_) return;
  release();
  const cudaError_t error = cudaHostAlloc(&data_, static_cast<size_t>(bytes), cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw std::bad_alloc();
  }
  check(error, "cudaHostAlloc");
  bytes_ = bytes;
}

}  // namespace eplb::cuda
