// The device memory of splits: taken when a host call prepares one, for problems up to that size.
#pragma once

#include "machines/cuda/device_memory.h"

namespace eplb::cuda {

class SplitMemory {
 public:
  // Has room for such a problem afterwards; where it had, everything stays in place.
  void at_least(const Problem& problem, const DeviceLimits& limits, cudaStream_t stream);
  bool holds(const Problem& problem, const DeviceLimits& limits) const;

  // Of a problem that it has room for.
  DeviceSplit of(const Problem& problem, const DeviceLimits& limits) const;

  int64_t bytes() const { return block_.bytes(); }
  void release() { block_.release(); }
  void abandon() { block_.abandon(); }

 private:
  DeviceBlock block_;
};

}  // namespace eplb::cuda
