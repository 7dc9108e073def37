// Anyone's placement: is it one?
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

// Copies a placement [L,S] of int32 or int64. Throws InvalidArgument for a wrong type, pointer or
// length, and InvalidPlacement naming the rule that it breaks and where.
std::vector<int32_t> read_placement(const void* placement, int64_t length, eplb_dtype dtype,
                                    const Problem& problem);

}  // namespace eplb
