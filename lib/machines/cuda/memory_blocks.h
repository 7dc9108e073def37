// Single allocations: of device memory, and of host memory for copies to and from it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <new>

#include "machines/cuda/driver.h"

namespace eplb::cuda {

template <cudaError_t (*kFree)(void*)> class Block {
 public:
  char* data() const { return static_cast<char*>(data_.get()); }
  int64_t bytes() const { return bytes_; }
  void release() { hold(nullptr, 0); }
  void abandon() { static_cast<void>(data_.release()); }  // forgets it without freeing

 protected:
  void hold(void* data, int64_t bytes) {
    data_.reset(data);
    bytes_ = bytes;
  }

 private:
  struct Free {
    void operator()(void* data) const { kFree(data); }
  };
  std::unique_ptr<void, Free> data_;
  int64_t bytes_ = 0;
};

// One allocation. The device must be current.
class DeviceBlock : public Block<cudaFree> {
 public:
  DeviceBlock() = default;
  explicit DeviceBlock(int64_t bytes) {
    void* data = nullptr;
    check(cudaMalloc(&data, static_cast<size_t>(bytes)), "cudaMalloc");
    hold(data, bytes);
  }
};

// Host memory that a device reads and writes by itself.
class PinnedBlock : public Block<cudaFreeHost> {
 public:
  void at_least(int64_t least) {
    if (least <= bytes()) return;
    release();
    void* data = nullptr;
    const cudaError_t error =
        cudaHostAlloc(&data, static_cast<size_t>(least), cudaHostAllocDefault);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      throw std::bad_alloc();
    }
    check(error, "cudaHostAlloc");
    hold(data, least);
  }
};

}  // namespace eplb::cuda
