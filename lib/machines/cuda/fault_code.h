// What only the data can show, as the device keeps it: one number, so that an atomic minimum finds the
// first.
#pragma once

#include <cstdint>

#include "core/fault.h"
#include "solver/layer/solve_layer.h"

namespace eplb::cuda {

// What only the data can show, found on the device: the lowest code is kept until it is asked for.
using FaultCode = unsigned long long;  // layer << 23 | expert << 4 | fault: experts are at most 2^18
inline constexpr FaultCode kNoFault = ~FaultCode{0};
EPLB_FN FaultCode fault_code(int64_t layer, int expert, Fault fault) {
  return static_cast<FaultCode>(layer) << 23 | static_cast<FaultCode>(expert) << 4 | static_cast<FaultCode>(fault);
}

}  // namespace eplb::cuda
