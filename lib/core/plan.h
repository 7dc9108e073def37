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

  void resize(const Problem& new_problem) {
    problem = new_problem;
    const int64_t slots = problem.layers * problem.cluster.slots;
    physical_to_logical.resize(slots);
    replica_slots.resize(slots);
    replica_count.resize(problem.layers * problem.experts);
  }
  void reserve(const Plan& other) {  // memory for as much, keeping what is there
    physical_to_logical.reserve(other.physical_to_logical.size());
    replica_count.reserve(other.replica_count.size());
    replica_slots.reserve(other.replica_slots.size());
  }
  int64_t bytes() const {
    return static_cast<int64_t>(
        (physical_to_logical.capacity() + replica_count.capacity() + replica_slots.capacity()) *
        sizeof(int32_t));
  }
};

// A number that stands for a plan; equal ones have equal numbers. See docs/algorithms.md.
uint64_t fingerprint(const Plan& plan);

}  // namespace eplb
