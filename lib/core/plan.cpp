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

bool is_consistent(const Plan& plan) {
  const int64_t slots = plan.problem.cluster.slots, experts = plan.problem.experts;
  std::vector<bool> seen(slots);
  for (int64_t l = 0; l < plan.problem.layers; ++l) {
    const int32_t *placement = &plan.physical_to_logical[l * slots],
                  *slot = &plan.replica_slots[l * slots];
    const int32_t* const end = slot + slots;
    seen.assign(slots, false);
    for (int64_t e = 0; e < experts; ++e) {
      const int32_t count = plan.replica_count[l * experts + e];
      if (count < 1 || count > end - slot) return false;
      for (const int32_t* const own = slot + count; slot < own; ++slot) {
        if (*slot < 0 || *slot >= slots || seen[*slot] || placement[*slot] != e) return false;
        seen[*slot] = true;
      }
    }
    if (slot != end) return false;
  }
  return true;
}

}  // namespace eplb
