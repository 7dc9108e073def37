// Launches, and what a kernel may ask for.
#include <algorithm>
#include <cstdlib>

#include "block.h"
#include "include/emulated/launch.h"
#include "machine.h"

namespace emulated {
namespace {

constexpr int kDefaultShared = 48 << 10, kMostShared = 227 << 10,
              kSharedOfMultiprocessor = 228 << 10;

// What a block may have after cudaFuncSetAttribute.
int shared_optin() {
  static const int bytes = [] {
    const char* value = std::getenv("EMULATED_CUDA_SHARED");
    return value ? std::atoi(value) : kMostShared;
  }();
  return bytes;
}
constexpr int kSharedOfSystem = 1 << 10;  // that the driver takes from each block's

cudaError_t check(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  if (!grid.x || !grid.y || !grid.z || !block.x || !block.y || !block.z)
    return cudaErrorInvalidConfiguration;
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    return cudaErrorInvalidConfiguration;
  if (block.x > 1024 || block.y > 1024 || block.z > 64 || block.x * block.y * block.z > 1024)
    return cudaErrorInvalidConfiguration;
  const auto found = machine().shared_limits.find(kernel);
  const int limit = found == machine().shared_limits.end() ? kDefaultShared : found->second;
  return config.dynamicSmemBytes > static_cast<size_t>(limit) ? cudaErrorInvalidValue : cudaSuccess;
}

Work kernel_work(const cudaLaunchConfig_t& config, Device& device, std::function<void()> lane) {
  return [grid = config.gridDim, block = config.blockDim, shared = config.dynamicSmemBytes,
          lane = std::move(lane), &device] {
    if (const cudaError_t error = fail_if_asked("kernel")) return error;
    open_memory(&device);
    const bool fine = run_grid(grid, block, shared, lane);
    close_memory();
    return fine ? cudaSuccess : cudaErrorLaunchFailure;
  };
}

int attribute_value(cudaDeviceAttr attribute) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: return 1024;
    case cudaDevAttrMaxSharedMemoryPerBlock: return kDefaultShared;
    case cudaDevAttrWarpSize: return 32;
    case cudaDevAttrMultiProcessorCount: return multiprocessors();
    case cudaDevAttrMaxThreadsPerMultiProcessor: return 2048;
    case cudaDevAttrComputeCapabilityMajor: return 9;
    case cudaDevAttrComputeCapabilityMinor: return 0;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return kSharedOfMultiprocessor;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return shared_optin();
    case cudaDevAttrMaxBlocksPerMultiprocessor: return 32;
    case cudaDevAttrReservedSharedMemoryPerBlock: return kSharedOfSystem;
  }
  return -1;
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> lane) {
  return call("launch", Needs::kContext, [&](Machine& m) {
    CUstream_st* stream = find_stream(config.stream);
    if (!stream || stream->device != &current_device()) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = check(config, kernel)) return error;
    if (!stream->capture) ++m.counts["launches"];
    return submit(*stream, kernel_work(config, *stream->device, std::move(lane)));
  });
}

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", Needs::kContext, [=](Machine& m) {
    if (!kernel) return cudaErrorInvalidDeviceFunction;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || value > shared_optin()) return cudaErrorInvalidValue;
    m.shared_limits[kernel] = value;
    return cudaSuccess;
  });
}

cudaError_t get_attributes(const void* kernel, cudaFuncAttributes* attributes) {
  return call("cudaFuncGetAttributes", Needs::kContext, [=](Machine& m) {
    if (!kernel || !attributes) return cudaErrorInvalidDeviceFunction;
    const auto found = m.shared_limits.find(kernel);
    *attributes = {};
    attributes->maxThreadsPerBlock = 1024;
    attributes->numRegs = 64;
    attributes->ptxVersion = attributes->binaryVersion = 90;
    attributes->maxDynamicSharedSizeBytes =
        found == m.shared_limits.end() ? kDefaultShared : found->second;
    return cudaSuccess;
  });
}

cudaError_t blocks_per_multiprocessor(const void* kernel, int threads, size_t shared_bytes,
                                      int* blocks) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", Needs::kContext, [=](Machine& m) {
    if (!kernel || !blocks || threads <= 0) return cudaErrorInvalidValue;
    const auto found = m.shared_limits.find(kernel);
    const int limit = found == m.shared_limits.end() ? kDefaultShared : found->second;
    *blocks = 0;
    if (threads > 1024 || shared_bytes > static_cast<size_t>(limit)) return cudaSuccess;
    const int warps = (threads + 31) / 32, by_threads = 64 / warps;
    const int by_registers = 65536 / (warps * 32 * 64);
    const int by_shared =
        kSharedOfMultiprocessor / (static_cast<int>(shared_bytes) + kSharedOfSystem);
    *blocks = std::min({32, by_threads, by_registers, by_shared});
    return cudaSuccess;
  });
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call("cudaDeviceGetAttribute", Needs::kDriver, [=](Machine&) {
    if (device < 0 || device > 1) return cudaErrorInvalidDevice;
    const int found = attribute_value(attribute);
    if (!value || found < 0) return cudaErrorInvalidValue;
    *value = found;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", Needs::kDriver, [=](Machine& m) {
    if (device < 0 || device > 1) return cudaErrorInvalidDevice;
    *properties = {};
    __builtin_strcpy(properties->name, "Emulated GPU");
    properties->totalGlobalMem = m.devices[device].capacity;
    properties->sharedMemPerBlock = kDefaultShared;
    properties->sharedMemPerMultiprocessor = kSharedOfMultiprocessor;
    properties->sharedMemPerBlockOptin = shared_optin();
    properties->reservedSharedMemPerBlock = kSharedOfSystem;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->major = 9;
    properties->multiProcessorCount = multiprocessors();
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->maxBlocksPerMultiProcessor = 32;
    properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
    properties->l2CacheSize = 50 << 20;
    return cudaSuccess;
  });
}

}  // extern "C"
