// What the data can do wrong: one table from fault to status and sentence, for the host, which
// refuses, and for the device, which goes on without the layer's data and reports the fault later.
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
  kCurrent,
  kSplitSlot,
  kSplitExpert,
};

// Where a fault is. Faults of a whole layer have no expert; faults of a sum have no window; a fault
// of a placement may have a slot for an expert.
struct FaultPlace {
  int64_t layer, expert;
  int64_t window = -1;
};

// Throws the status and sentence of a fault; `late`: and what the device did instead.
[[noreturn]] void fail_with(Fault fault, const FaultPlace& place, bool late = false);

}  // namespace eplb
