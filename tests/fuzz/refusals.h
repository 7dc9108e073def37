// The program's operator new, which refuses an allocation or interrupts a call at it: at the same
// place every time, where another thread would come by chance. Sanitizers own malloc, not this.
#pragma once

#include <cstdint>

#include "eplb.h"

namespace eplb::fuzz {

enum class AtAllocation { kNotInCall, kNothing, kRefuse, kRefuseFromThere, kInterrupt };

// Does so at the allocation that `after` others precede. A call begins.
void arm_allocations(AtAllocation what, int64_t after, eplb_context* context);

// It has ended. Returns how many allocations were refused, those of more than kMostBytes included.
int64_t disarm_allocations();

// Larger ones are refused during every call: what asks for them is legal, but takes its time.
inline constexpr uint64_t kMostBytes = uint64_t{1} << 23;

}  // namespace eplb::fuzz
