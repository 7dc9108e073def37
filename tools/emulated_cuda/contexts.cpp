// Devices and contexts: the runtime's view, and the driver's functions that are had by name.
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "machine.h"

namespace emulated {
namespace {

// Every function of the driver but those that tell versions wants cuInit, or the runtime, before.
template <class Body> CUresult driver_call(Body body) {
  Machine& m = machine();
  std::lock_guard lock(m.mutex);
  if (!m.initialised || m.forked) return CUDA_ERROR_NOT_INITIALIZED;
  return body(m);
}

CUresult init(unsigned flags) {
  Machine& m = machine();
  std::lock_guard lock(m.mutex);
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (driver_state() == cudaErrorNoDevice) return CUDA_ERROR_NO_DEVICE;
  if (m.forked) return CUDA_ERROR_NOT_INITIALIZED;
  m.initialised = true;
  return CUDA_SUCCESS;
}

CUresult driver_version(int* version) {
  return cudaDriverGetVersion(version) == cudaSuccess ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult device_count(int* count) {
  return driver_call([=](Machine&) {
    *count = 2;
    return CUDA_SUCCESS;
  });
}

CUresult device(CUdevice* device, int ordinal) {
  return driver_call([=](Machine&) {
    if (ordinal < 0 || ordinal > 1) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult retain(CUcontext* context, CUdevice device) {
  return driver_call([=](Machine& m) {
    if (device < 0 || device > 1) return CUDA_ERROR_INVALID_DEVICE;
    ++m.devices[device].primary.retained;
    *context = &m.devices[device].primary;
    return CUDA_SUCCESS;
  });
}

CUresult release(CUdevice device) {
  return driver_call([=](Machine& m) {
    if (device < 0 || device > 1) return CUDA_ERROR_INVALID_DEVICE;
    if (m.devices[device].primary.retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
    --m.devices[device].primary.retained;
    return CUDA_SUCCESS;
  });
}

CUresult state(CUdevice device, unsigned* flags, int* active) {
  return driver_call([=](Machine& m) {
    if (device < 0 || device > 1) return CUDA_ERROR_INVALID_DEVICE;
    *flags = 0;
    *active = m.devices[device].primary.active();
    return CUDA_SUCCESS;
  });
}

bool is_context(Machine& m, CUcontext context) {
  for (Device& device : m.devices)
    if (context == &device.primary) return context->active();
  return false;
}

CUresult get_current(CUcontext* context) {
  return driver_call([=](Machine&) {
    const auto& stack = this_thread().contexts;
    *context = stack.empty() ? nullptr : stack.back();
    return CUDA_SUCCESS;
  });
}

CUresult set_current(CUcontext context) {
  return driver_call([=](Machine& m) {
    auto& stack = this_thread().contexts;
    if (context && !is_context(m, context)) return CUDA_ERROR_INVALID_CONTEXT;
    if (!stack.empty()) stack.pop_back();
    if (context) stack.push_back(context);
    return CUDA_SUCCESS;
  });
}

CUresult push_current(CUcontext context) {
  return driver_call([=](Machine& m) {
    if (!is_context(m, context)) return CUDA_ERROR_INVALID_CONTEXT;
    this_thread().contexts.push_back(context);
    return CUDA_SUCCESS;
  });
}

CUresult pop_current(CUcontext* context) {
  return driver_call([=](Machine&) {
    auto& stack = this_thread().contexts;
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context) *context = stack.back();
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult get_device(CUdevice* device) {
  return driver_call([=](Machine&) {
    const auto& stack = this_thread().contexts;
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    *device = stack.back()->device->number;
    return CUDA_SUCCESS;
  });
}

// The casts hold them to the types of cuda.h.
void* find_function(std::string_view name) {
#define EMULATED_IS(declared, defined) \
  if (name == #declared) return reinterpret_cast<void*>(static_cast<decltype(&declared)>(defined))
  EMULATED_IS(cuInit, init);
  EMULATED_IS(cuDriverGetVersion, driver_version);
  EMULATED_IS(cuDeviceGet, device);
  EMULATED_IS(cuDeviceGetCount, device_count);
  EMULATED_IS(cuDevicePrimaryCtxRetain, retain);
  EMULATED_IS(cuDevicePrimaryCtxRelease, release);
  EMULATED_IS(cuDevicePrimaryCtxGetState, state);
  EMULATED_IS(cuCtxGetCurrent, get_current);
  EMULATED_IS(cuCtxSetCurrent, set_current);
  EMULATED_IS(cuCtxPushCurrent, push_current);
  EMULATED_IS(cuCtxPopCurrent, pop_current);
  EMULATED_IS(cuCtxGetDevice, get_device);
#undef EMULATED_IS
  return nullptr;
}

cudaError_t make_current(int device) {
  if (device < 0 || device > 1) return cudaErrorInvalidDevice;
  auto& stack = this_thread().contexts;
  CUctx_st& primary = machine().devices[device].primary;
  primary.of_runtime = true;
  if (!stack.empty()) stack.pop_back();
  stack.push_back(&primary);
  return cudaSuccess;
}

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
  return call("cudaDriverGetVersion", Needs::kNothing, [=](Machine&) {
    const char* value = std::getenv("EMULATED_CUDA");
    *version = !value                                  ? 13000
               : std::strcmp(value, "no_driver") == 0  ? 0
               : std::strcmp(value, "old_driver") == 0 ? 12040
                                                       : 13000;
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  return call("cudaRuntimeGetVersion", Needs::kNothing, [=](Machine&) {
    *version = CUDART_VERSION;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceCount(int* count) {
  return call("cudaGetDeviceCount", Needs::kDriver, [=](Machine&) {
    *count = 2;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", Needs::kDriver, [=](Machine&) {
    *device = current_device().number;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call("cudaSetDevice", Needs::kDriver, [=](Machine&) { return make_current(device); });
}

cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  return call("cudaInitDevice", Needs::kDriver, [=](Machine& m) {
    if (device < 0 || device > 1) return cudaErrorInvalidDevice;
    m.devices[device].primary.of_runtime = true;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned version,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  return call("cudaGetDriverEntryPointByVersion", Needs::kNothing, [=](Machine&) {
    if (driver_state() == cudaErrorInsufficientDriver) return cudaErrorInsufficientDriver;
    *function = version <= CUDART_VERSION ? find_function(symbol) : nullptr;
    if (result)
      *result = *function                  ? cudaDriverEntryPointSuccess
                : version > CUDART_VERSION ? cudaDriverEntryPointVersionNotSufficent
                                           : cudaDriverEntryPointSymbolNotFound;
    return *function || result ? cudaSuccess : cudaErrorSymbolNotFound;
  });
}

}  // extern "C"
