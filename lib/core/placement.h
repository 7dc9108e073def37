// Anyone's placement: is it one?
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

// Copies a placement [L,S] of int32 or int64, -1 for slots that hold nothing. Throws
// InvalidArgument for a wrong type, pointer or length, and InvalidPlacement naming the rule that it
// breaks and where.
std::vector<int32_t> read_placement(const void* placement, int64_t length, eplb_dtype dtype,
                                    const Problem& problem);

// Does an open slot hold nothing?
bool has_empty_slots(const std::vector<int32_t>& placement, const Problem& problem);

// Where experts are now.
struct CurrentPlacement {
  int64_t layers = 0, slots = 0;
  std::vector<int32_t> expert;  // [L,S], -1: nothing that can be read

  bool exists() const { return layers > 0; }
  int64_t bytes() const { return static_cast<int64_t>(expert.capacity() * sizeof(int32_t)); }
};

// Copies one; none if the pointer is null. Throws as read_placement, but experts may be missing,
// and how many there are is not known yet.
CurrentPlacement read_current(const void* placement, int64_t length, eplb_dtype dtype,
                              int64_t layers, int64_t slots);

// Throws InvalidArgument or InvalidPlacement unless it is one of such a problem, or none.
void check_current(const CurrentPlacement& current, const Problem& problem);

}  // namespace eplb
