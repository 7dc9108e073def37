#include "machines/cuda/driver.h"

#include <cuda.h>

#include <string>

#include "core/error.h"

namespace eplb::cuda {
namespace {

// The driver's own functions: the runtime has none that gives a context back.
struct Driver {
  CUresult (*retain)(CUcontext* context, CUdevice device);
  CUresult (*release)(CUdevice device);
  CUresult (*push)(CUcontext context);
  CUresult (*pop)(CUcontext* context);
};

template <class Function> void find(const char* name, Function& function) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  check(cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result), name);
  if (found == nullptr || result != cudaDriverEntryPointSuccess)
    fail(EPLB_DEVICE_ERROR, "the CUDA driver has no %s", name);
  function = reinterpret_cast<Function>(found);
}

const Driver& driver() {
  static const Driver found = [] {
    Driver driver{};
    find("cuDevicePrimaryCtxRetain", driver.retain);
    find("cuDevicePrimaryCtxRelease", driver.release);
    find("cuCtxPushCurrent", driver.push);
    find("cuCtxPopCurrent", driver.pop);
    return driver;
  }();
  return found;
}

// Found while something ran, perhaps long ago. The numbers are the same in the runtime and the
// driver.
const char* whose(int error) {
  constexpr int kAsynchronous = 700, kAsynchronousEnd = 730;
  const bool perhaps_theirs = error >= kAsynchronous && error < kAsynchronousEnd;
  return perhaps_theirs ? ", perhaps of an earlier launch, the caller's included" : "";
}

void check_driver(CUresult result, const char* what) {
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    fail(EPLB_DEVICE_OUT_OF_MEMORY, "%s: the device is out of memory", what);
  if (result != CUDA_SUCCESS)
    fail(EPLB_DEVICE_ERROR, "%s: the CUDA driver answers error %d%s", what,
         static_cast<int>(result), whose(result));
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, name, device), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // this call reports it, so the runtime need not keep it
  fail(error == cudaErrorMemoryAllocation ? EPLB_DEVICE_OUT_OF_MEMORY : EPLB_DEVICE_ERROR,
       "%s: %s (%s)%s", what, cudaGetErrorString(error), cudaGetErrorName(error), whose(error));
}

Device::Device(int index) : index_(index) {
  const auto [backend, sentence] = cuda::facts();
  if (backend.status != EPLB_OK) fail(backend.status, "%s", sentence.c_str());
  if (index < 0 || index >= backend.num_devices)
    fail(EPLB_NO_DEVICE, "device_index is %d, there are %d CUDA devices (0 to %d)", index,
         backend.num_devices, backend.num_devices - 1);
  const int major = attribute(cudaDevAttrComputeCapabilityMajor, index);
  if (major < 8)
    fail(EPLB_NO_DEVICE, "CUDA device %d has compute capability %d.%d, libeplb needs 8.0 or later",
         index, major, attribute(cudaDevAttrComputeCapabilityMinor, index));
  check_driver(driver().retain(&context_, index), "cuDevicePrimaryCtxRetain");
}

Device::~Device() {
  if (context_) driver().release(index_);
}

DeviceLimits Device::limits() const {
  return {attribute(cudaDevAttrMultiProcessorCount, index_),
          attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index_)};
}

DeviceScope::DeviceScope(const Device& device, Quietly) noexcept
    : answer_(driver().push(device.context())) {
  if (entered()) exchanged_ = cudaThreadExchangeStreamCaptureMode(&mode_) == cudaSuccess;
}

DeviceScope::DeviceScope(const Device& device) : DeviceScope(device, Quietly()) {
  check_driver(static_cast<CUresult>(answer_), "cuCtxPushCurrent");
}

DeviceScope::~DeviceScope() {
  if (!entered()) return;
  if (exchanged_) cudaThreadExchangeStreamCaptureMode(&mode_);
  CUcontext ours;
  driver().pop(&ours);
}

bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

MachineFacts facts() {
  eplb_backend backend{};
  backend.built = 1;
  backend.runtime_version = CUDART_VERSION;
  backend.driver_needed = CUDART_VERSION / 1000 * 1000;
  cudaDriverGetVersion(&backend.driver_version);
  auto with = [&](eplb_status status, const auto& sentence) {
    backend.status = status;
    return MachineFacts{backend, sentence};
  };
  const auto needed =
      "libeplb needs one for CUDA " + version_text(backend.driver_needed) + " or later";
  const auto driver = version_text(backend.driver_version);
  if (backend.driver_version == 0)
    return with(EPLB_NO_DRIVER, "no CUDA driver on this machine: " + needed);
  if (backend.driver_version < backend.driver_needed)
    return with(EPLB_NO_DRIVER, "the CUDA driver is for CUDA " + driver + ": " + needed);
  const std::string none = "a CUDA driver for CUDA " + driver + ", but no device";
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return with(EPLB_NO_DEVICE, none + ": " + cudaGetErrorString(error));
  }
  if (devices == 0) return with(EPLB_NO_DEVICE, none);
  backend.num_devices = devices;
  return with(EPLB_OK, std::to_string(devices) + (devices == 1 ? " CUDA device" : " CUDA devices") +
                           ", driver for CUDA " + driver + ", runtime " +
                           version_text(CUDART_VERSION));
}

std::string device_name(int index) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  return properties.name;
}

}  // namespace eplb::cuda
