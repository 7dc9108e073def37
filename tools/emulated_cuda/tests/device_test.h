// What the tests of the emulation share: a context, a stream, and a launch in a line.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <vector>

#include "emulation.h"

extern __shared__ __align__(128) char eplb_shared[];

namespace eplb::tests {

class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    testing::GTEST_FLAG(death_test_style) = "threadsafe";  // CUDA does not outlive a fork
    emulation_heal();
    emulation_seed(static_cast<uint64_t>(testing::UnitTest::GetInstance()->random_seed()) + 1);
    emulation_set_progress(0);
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    emulation_heal();
    cudaSetDevice(0);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    emulation_set_progress(8);
  }

  template <class... Expected, class... Actual>
  static cudaError_t launch(cudaStream_t where, dim3 grid, dim3 block, size_t shared,
                            void (*kernel)(Expected...), Actual... arguments) {
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = where;
    return cudaLaunchKernelEx(&config, kernel, arguments...);
  }

  cudaStream_t stream = nullptr;
};

// Pinned memory: kernels and host may both look at it.
template <class T> class Pinned {
 public:
  explicit Pinned(size_t n) : n_(n) {
    cudaMallocHost(&data, n * sizeof(T));
    for (size_t i = 0; i < n; ++i) data[i] = T();
  }
  ~Pinned() { cudaFreeHost(data); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  T& operator[](size_t i) { return data[i]; }
  std::vector<T> all() const { return {data, data + n_}; }

  T* data = nullptr;

 private:
  size_t n_;
};

__global__ inline void put(int* where, int value) {
  if (threadIdx.x == 0) *where = value;
}
__global__ inline void copy(int* to, const int* from) {
  if (threadIdx.x == 0) *to = *from;
}

}  // namespace eplb::tests
