// Faults that only the data can show, as the device keeps them.
#pragma once

#include <cstdint>

#include "core/fault.h"
#include "solver/layer/solve_layer.h"

namespace eplb::cuda {

// layer << 23 | expert << 4 | fault, where experts are at most 2^18. An atomic minimum finds
// the first fault, which is kept until the host reads it.
using FaultCode = unsigned long long;
inline constexpr FaultCode kNoFault = ~FaultCode{0};
EPLB_FN FaultCode fault_code(int64_t layer, int expert, Fault fault) {
  return static_cast<FaultCode>(layer) << 23 | static_cast<FaultCode>(expert) << 4 |
         static_cast<FaultCode>(fault);
}
inline Fault fault_of(FaultCode code) { return static_cast<Fault>(code & 15); }
inline FaultPlace place_of(FaultCode code) {
  return {.layer = static_cast<int64_t>(code >> 23),
          .expert = static_cast<int64_t>(code >> 4 & ((1 << 19) - 1))};
}

}  // namespace eplb::cuda
