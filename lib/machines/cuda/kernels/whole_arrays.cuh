// Thrust over arrays in device memory, in the order of a stream: what it runs on and the memory
// that it works in. The only place that knows which of Thrust's systems this is.
#pragma once

#include <thrust/detail/config.h>

#include <cstddef>
#include <new>
#include <type_traits>

#if THRUST_DEVICE_SYSTEM == THRUST_DEVICE_SYSTEM_CUDA
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>
#else
#include <thrust/system/cpp/execution_policy.h>
#endif

#include "machines/cuda/kernels/launch.cuh"

namespace eplb::cuda {

// Thrust's allocator: takes from the reserve what one call needs, which is given back as a whole
// when the allocator goes. Calls of one stream take the same memory one after the other.
class ThrustAllocator {
 public:
  using value_type = char;

  explicit ThrustAllocator(const ThrustMemory& memory) : memory_(memory) {}
  ThrustAllocator(const ThrustAllocator&) = delete;
  ThrustAllocator& operator=(const ThrustAllocator&) = delete;

  char* allocate(std::ptrdiff_t bytes) {
    constexpr int64_t kAlign = 256;
    const int64_t first = used_;
    used_ += (bytes + kAlign - 1) / kAlign * kAlign;
    if (used_ > memory_.bytes) throw std::bad_alloc();
    return memory_.data + first;
  }
  void deallocate(char*, size_t) {}

 private:
  ThrustMemory memory_;
  int64_t used_ = 0;
};

#if THRUST_DEVICE_SYSTEM == THRUST_DEVICE_SYSTEM_CUDA

// work(policy) calls Thrust. Only calls with an answer wait for the stream.
template <class Work>
auto over_arrays(const ThrustMemory& memory, cudaStream_t stream, const Work& work) {
  ThrustAllocator allocator(memory);
  try {
    return work(thrust::cuda::par_nosync(allocator).on(stream));
  } catch (const thrust::system_error& error) {
    check(static_cast<cudaError_t>(error.code().value()), "Thrust");
    throw;
  }
}

#else

template <class Work> __global__ void run_alone(Work work) {
  if (threadIdx.x == 0) work();
}

// The emulation's streams do their work late, so Thrust's system for C++ has its turn in a kernel.
template <class Work>
auto over_arrays(const ThrustMemory& memory, cudaStream_t stream, const Work& work) {
  auto call = [memory, work] {
    ThrustAllocator allocator(memory);
    return work(thrust::cpp::par(allocator));
  };
  using Answer = decltype(call());
  if constexpr (std::is_void_v<Answer>) {
    launch(run_alone<decltype(call)>, 1, 0, stream, call);
  } else {
    Answer answer;
    auto keep = [call, to = &answer] { *to = call(); };
    launch(run_alone<decltype(keep)>, 1, 0, stream, keep);
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    return answer;
  }
}

#endif

}  // namespace eplb::cuda
