// Weights and plans in device memory, and the faults that only their data can show: plain structs
// that kernels get by value.
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

// Weights [L,E], windows summed: doubles or int64. A layer with a bad weight is all zeros.
struct DeviceWeights {
  void* sums;
  FaultCode* float32_fault;  // [L]: what GREEDY's float32 cannot hold
  FaultCode* fault;          // one, the lowest
  int64_t layers;
  int experts;
  bool whole;

  EPLB_FN double at(int64_t layer, int e) const {
    const int64_t i = layer * experts + e;
    return whole ? static_cast<double>(static_cast<const int64_t*>(sums)[i])
                 : static_cast<const double*>(sums)[i];
  }
};

// A plan: [L,S], [L,S], [L,E], and what follows from it.
struct DevicePlan {
  int32_t *physical_to_logical, *replica_slots, *replica_count;
  int32_t* first_place;  // [L,E]: where an expert's slots begin in its layer's replica_slots
  int32_t* rank;         // [L,S]: scratch of a solve and of is_consistent
};

}  // namespace eplb::cuda
