// The program's operator new, which refuses an allocation or interrupts a call at it: at the same
// place every time, where another thread would come by chance. Sanitizers own malloc, not this.
#pragma once

#include <cstdint>

#include "eplb.h"

namespace eplb::fuzz {

enum class AtAllocation { kNothing, kRefuse, kRefuseFromThere, kInterrupt };

// Does so at the allocation that `after` others precede.
void arm_allocations(AtAllocation what, int64_t after, eplb_context* context);

// Back to normal. Returns how many allocations were refused, those of more than kMostBytes included.
int64_t disarm_allocations();

// What no call of a small size may ask for: larger ones are refused always, for time's sake.
inline constexpr uint64_t kMostBytes = uint64_t{1} << 26;

}  // namespace eplb::fuzz
