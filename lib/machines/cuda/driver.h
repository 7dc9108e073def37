// The driver and the caller's world: what is there, and leaving it as it was found.
#pragma once

#include <cuda_runtime_api.h>

#include "machines/cuda/kernels/kernels.h"
#include "machines/machine.h"

struct CUctx_st;  // the driver's

namespace eplb::cuda {

// Throws unless the call succeeded: DEVICE_OUT_OF_MEMORY or DEVICE_ERROR with the runtime's own
// words. An error of this library is cleared in the runtime. An error that an earlier launch of the
// caller may have caused is reported as possibly theirs.
void check(cudaError_t error, const char* what);

// A device with its primary context, held for as long as this lives.
class Device {
 public:
  explicit Device(int index);  // throws NO_DRIVER, NO_DEVICE
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  CUctx_st* context() const { return context_; }
  DeviceLimits limits() const;
  void abandon() { context_ = nullptr; }  // after fork: nothing of it is this process's

 private:
  int index_;
  CUctx_st* context_ = nullptr;
};

// Makes a device current for a call. The caller's context comes back as a context, none included:
// by number it would be created on device 0 in processes that never asked for it. Calls that come
// while the caller captures a stream of its own are not counted as part of that.
class DeviceScope {
 public:
  struct Quietly {};
  explicit DeviceScope(const Device& device);
  DeviceScope(const Device& device, Quietly) noexcept;  // entered() tells whether it could be
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

  bool entered() const { return answer_ == 0; }

 private:
  int answer_;  // the driver's answer
  bool exchanged_ = false;
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// A caller's stream.
inline cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

// Is the stream being captured?
bool is_capturing(cudaStream_t stream);

// Waits until all work on it is done. what: the work, for an error.
inline void finish(cudaStream_t stream, const char* what = "cudaStreamSynchronize") {
  check(cudaStreamSynchronize(stream), what);
}

}  // namespace eplb::cuda
