// Weights and plans in device memory: plain structs that kernels get by value.
#pragma once

#include <cstdint>

#include "machines/cuda/fault_code.h"

namespace eplb::cuda {

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
