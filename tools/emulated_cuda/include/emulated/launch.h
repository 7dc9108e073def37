// Launches and what is asked of a kernel. A kernel is an ordinary function here; each lane calls it
// with its own copy of the arguments, which were copied at the launch.
#pragma once

#include <emulated/runtime.h>

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace emulated {

__attribute__((visibility("default"))) cudaError_t launch(const cudaLaunchConfig_t& config,
                                                          const void* kernel,
                                                          std::function<void()> lane);
__attribute__((visibility("default"))) cudaError_t set_attribute(const void* kernel,
                                                                 cudaFuncAttribute attribute,
                                                                 int value);
__attribute__((visibility("default"))) cudaError_t get_attributes(const void* kernel,
                                                                  cudaFuncAttributes* attributes);
__attribute__((visibility("default"))) cudaError_t blocks_per_multiprocessor(const void* kernel,
                                                                             int threads,
                                                                             size_t shared_bytes,
                                                                             int* blocks);

template <class Result, class... Arguments> const void* address(Result (*kernel)(Arguments...)) {
  return reinterpret_cast<const void*>(kernel);
}
inline const void* address(const void* kernel) { return kernel; }

}  // namespace emulated

template <class... Expected, class... Actual>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...),
                               Actual&&... arguments) {
  std::tuple<std::decay_t<Expected>...> kept(std::forward<Actual>(arguments)...);
  return emulated::launch(*config, emulated::address(kernel), [kernel, kept = std::move(kept)] {
    auto own = kept;
    std::apply(kernel, std::move(own));
  });
}

template <class... Expected>
cudaError_t cudaLaunchKernel(void (*kernel)(Expected...), dim3 grid, dim3 block, void** arguments,
                             size_t shared_bytes = 0, cudaStream_t stream = nullptr) {
  cudaLaunchConfig_t config{grid, block, shared_bytes, stream, nullptr, 0};
  return [&]<size_t... kPlace>(std::index_sequence<kPlace...>) {
    return cudaLaunchKernelEx(&config, kernel,
                              *static_cast<std::decay_t<Expected>*>(arguments[kPlace])...);
  }
  (std::index_sequence_for<Expected...>());
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel kernel, cudaFuncAttribute attribute, int value) {
  return emulated::set_attribute(emulated::address(kernel), attribute, value);
}
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel kernel) {
  return emulated::get_attributes(emulated::address(kernel), attributes);
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel kernel, int threads,
                                                          size_t shared_bytes) {
  return emulated::blocks_per_multiprocessor(emulated::address(kernel), threads, shared_bytes,
                                             blocks);
}
template <class T> cudaError_t cudaMalloc(T** memory, size_t bytes) {
  return ::cudaMalloc(reinterpret_cast<void**>(memory), bytes);
}
template <class T> cudaError_t cudaMallocHost(T** memory, size_t bytes, unsigned flags = 0) {
  return ::cudaHostAlloc(reinterpret_cast<void**>(memory), bytes, flags);
}
template <class T> cudaError_t cudaHostAlloc(T** memory, size_t bytes, unsigned flags) {
  return ::cudaHostAlloc(reinterpret_cast<void**>(memory), bytes, flags);
}
