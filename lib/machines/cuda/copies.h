// Copies between host and device, in the order of a stream.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/weights.h"
#include "machines/cuda/device_arrays.h"
#include "machines/cuda/driver.h"

namespace eplb::cuda {

template <class T>
void copy(T* to, const T* from, int64_t n, cudaMemcpyKind kind, cudaStream_t stream) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(n) * sizeof(T), kind, stream),
        "cudaMemcpyAsync");
}
template <class T> void to_device(T* to, const T* from, int64_t n, cudaStream_t stream) {
  copy(to, from, n, cudaMemcpyHostToDevice, stream);
}
template <class T> void to_host(T* to, const T* from, int64_t n, cudaStream_t stream) {
  copy(to, from, n, cudaMemcpyDeviceToHost, stream);
}

// Sums, faults, and how many windows are known.
int64_t weight_bytes(int64_t layers, int64_t experts);

// By way of staging memory of weight_bytes(). Windows, which take up to 64 times as much, go
// straight from where they are, if `to` has memory for them.
void copy_weights(const Weights& from, const DeviceWeights& to, char* staging, cudaStream_t stream);
// Of the size and type that they have.
void copy_weights(const DeviceWeights& from, Weights& to, cudaStream_t stream);

}  // namespace eplb::cuda
