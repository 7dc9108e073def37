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

// A caller's placement [L,S] of which nothing else is known: slots may hold nothing, experts may be
// missing.
struct PlacementSource {
  const void* data;
  int64_t length;
  eplb_dtype dtype;
  int64_t layers, slots;
};

// Throws InvalidArgument for sizes, a type or a length that cannot be.
void check_source(const PlacementSource& source);

// Copies a placement whose source was checked. Throws InvalidPlacement naming layer and slot for
// what cannot be an expert. name: of the argument.
void read_any_placement(const char* name, const PlacementSource& source, std::vector<int32_t>& ids);

// Throws InvalidPlacement if a closed slot holds an expert.
void check_closed(const std::vector<int32_t>& placement, const Problem& problem);

// Where experts are now.
struct CurrentPlacement {
  int64_t layers = 0, slots = 0;
  std::vector<int32_t> expert;  // [L,S], -1: nothing that can be read

  void resize(int64_t new_layers, int64_t new_slots) {
    layers = new_layers;
    slots = new_slots;
    expert.resize(static_cast<size_t>(layers * slots));
  }
  void reserve(const CurrentPlacement& other) {  // memory for as much, keeping what is there
    expert.reserve(other.expert.size());
  }
  int64_t bytes() const { return static_cast<int64_t>(expert.capacity() * sizeof(int32_t)); }
};

// Throws InvalidArgument or InvalidPlacement unless it is one of such a problem. Where its experts
// are not on the host, their machine looks at them.
void check_current(const CurrentPlacement& current, bool on_host, const Problem& problem);

// Throws InvalidState if a problem has none: MOVE_ maps are from there to the plan.
void check_has_current(const Problem& problem);

}  // namespace eplb
