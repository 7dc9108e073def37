#include "core/plan.h"

namespace eplb {

void Plan::resize(const Problem& new_problem) {
  problem = new_problem;
  const int64_t slots = problem.layers * problem.cluster.slots;
  physical_to_logical.resize(slots);
  replica_slots.resize(slots);
  replica_count.resize(problem.layers * problem.experts);
}

void Plan::reserve(const Plan& other) {
  physical_to_logical.reserve(other.physical_to_logical.size());
  replica_count.reserve(other.replica_count.size());
  replica_slots.reserve(other.replica_slots.size());
}

int64_t Plan::bytes() const {
  return static_cast<int64_t>(
      (physical_to_logical.capacity() + replica_count.capacity() + replica_slots.capacity()) *
      sizeof(int32_t));
}

}  // namespace eplb
