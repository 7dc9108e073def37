// What the data can do wrong: one table from fault to status and sentence, for the host, which
// refuses, and for the device, which solves the layer as zeros and reports the fault later.
#pragma once

#include <cstdint>

#include "eplb.h"

namespace eplb {

enum class Fault : int {
  kNaN,
  kNegative,
  kInfinite,
  kWindowSumReal,
  kWindowSumInteger,
  kLayerSum,
  kFloat32,
  kFloat32Sum,
  kCap,
};

// Where a fault is. Faults of a whole layer have no expert; faults of a sum have no window.
struct FaultPlace {
  int64_t layer, expert;
  int64_t window = -1;
};

// Throws the status and sentence of a fault; `consequence` ends the sentence.
[[noreturn]] void fail_with(Fault fault, const FaultPlace& place, const char* consequence = "");

}  // namespace eplb
