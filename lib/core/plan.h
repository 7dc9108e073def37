// A solved placement: the maps that a solve writes.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

struct Plan {
  Problem problem;
  std::vector<int32_t> physical_to_logical;  // [L,S]
  std::vector<int32_t> replica_count;        // [L,E]
  // [L,S]: the slots of expert 0 in replica order, of expert 1, ...
  std::vector<int32_t> replica_slots;

  void resize(const Problem& problem);
  void reserve(const Plan& other);  // memory for as much, keeping what is there
  int64_t bytes() const;
};

}  // namespace eplb
