#include "core/problem.h"

#include <algorithm>

#include "core/error.h"
#include "core/strategy.h"

namespace eplb {
namespace {

using ll = long long;

void check_least(const char* name, int64_t value, int64_t least) {
  if (value < least)
    fail(EPLB_INVALID_ARGUMENT, "%s is %lld, must be at least %lld", name, ll(value), ll(least));
}

void check_most(const char* name, int64_t value, int64_t most, const char* why) {
  if (value > most)
    fail(EPLB_INVALID_ARGUMENT, "%s is %lld, must be at most %lld (%s)", name, ll(value), ll(most),
         why);
}

// Constants from 0 to `last` are known. Above them may be what a later version has; below is
// nothing.
void check_constant(const char* name, int32_t value, int32_t last) {
  if (value > last)
    fail(EPLB_UNAVAILABLE, "%s is %d, but this version knows 0 to %d: a later one may know it",
         name, value, last);
  if (value < 0) fail(EPLB_INVALID_ARGUMENT, "%s is %d, must be from 0 to %d", name, value, last);
}

// Names the nearest multiples below and above that are at least `least`.
void check_multiple(const char* name, int64_t value, const char* of, int64_t divisor,
                    int64_t least = 1) {
  if (value % divisor == 0) return;
  const int64_t below = value / divisor * divisor, from = std::max(value, least) - 1;
  int64_t above;
  if (__builtin_add_overflow(from - from % divisor, divisor, &above))
    fail(EPLB_INVALID_ARGUMENT, "%s is %lld, must be a multiple of %s = %lld (%lld)", name,
         ll(value), of, ll(divisor), ll(below));
  if (below >= least)
    fail(EPLB_INVALID_ARGUMENT, "%s is %lld, must be a multiple of %s = %lld (%lld or %lld)", name,
         ll(value), of, ll(divisor), ll(below), ll(above));
  fail(EPLB_INVALID_ARGUMENT, "%s is %lld, must be a multiple of %s = %lld (%lld)", name, ll(value),
       of, ll(divisor), ll(above));
}

eplb_policy resolve_policy(const eplb_problem& asked, int64_t groups, eplb_policy_reason* reason) {
  switch (asked.policy) {
    case EPLB_POLICY_HIERARCHICAL:
    case EPLB_POLICY_GLOBAL: *reason = EPLB_POLICY_REASON_ASKED; return asked.policy;
    default:
      *reason = groups % asked.num_nodes == 0 ? EPLB_POLICY_REASON_GROUPS_DIVIDE
                                              : EPLB_POLICY_REASON_GROUPS_DO_NOT;
      return groups % asked.num_nodes == 0 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
  }
}

void check_ranges(const eplb_problem& asked) {
  constexpr const char* kWhy = "2^18, the range of exact 32-bit arithmetic";
  check_least("num_slots", asked.num_slots, 1);
  check_least("num_gpus", asked.num_gpus, 1);
  check_least("num_nodes", asked.num_nodes, 1);
  check_least("num_groups", asked.num_groups, 0);
  check_most("num_slots", asked.num_slots, kMaxSlots, kWhy);
  check_most("num_gpus", asked.num_gpus, kMaxSlots, kWhy);
  check_constant("policy", asked.policy, EPLB_POLICY_GLOBAL);
}

void check_hierarchy(const eplb_problem& asked, int64_t experts, int64_t groups) {
  check_multiple("num_groups", groups, "num_nodes", asked.num_nodes);
  check_multiple("num_experts", experts, "num_groups", groups);
  check_multiple("num_gpus", asked.num_gpus, "num_nodes", asked.num_nodes);
}

void check_slots(const eplb_problem& asked, int64_t experts) {
  check_multiple("num_slots", asked.num_slots, "num_gpus", asked.num_gpus, experts);
  if (asked.num_slots < experts)
    fail(EPLB_INVALID_ARGUMENT, "num_slots is %lld, must be at least num_experts = %lld (%lld)",
         ll(asked.num_slots), ll(experts),
         ll((experts + asked.num_gpus - 1) / asked.num_gpus * asked.num_gpus));
}

}  // namespace

Problem check_problem(const eplb_problem& asked, int64_t experts) {
  check_ranges(asked);
  const int64_t groups = std::max<int64_t>(asked.num_groups, 1);
  eplb_policy_reason reason;
  const eplb_policy policy = resolve_policy(asked, groups, &reason);
  const bool hierarchical = policy == EPLB_POLICY_HIERARCHICAL;
  if (hierarchical) check_hierarchy(asked, experts, groups);
  check_slots(asked, experts);
  check_constant("bound_kind", asked.bound_kind, EPLB_BOUND_NODE);
  if (asked.bound_kind == EPLB_BOUND_NODE)
    fail(EPLB_INVALID_ARGUMENT, "bound_kind is EPLB_BOUND_NODE, which is reported, not asked for");
  return {experts,
          asked.num_slots,
          asked.num_gpus,
          hierarchical ? asked.num_nodes : 1,
          hierarchical ? groups : 1,
          policy,
          reason,
          asked.bound_kind};
}

int64_t most_replicas(const Problem& problem, const Options& options) {
  const bool capped = options.max_replicas > 0 && traits_of(options.strategy).knows_caps;
  return capped ? std::min(options.max_replicas, problem.slots) : problem.slots;
}

Options check_options(const eplb_solve_options& asked, const Problem& problem) {
  check_constant("strategy", asked.strategy, EPLB_STRATEGY_BEST);
  check_constant("effort", asked.effort, EPLB_EFFORT_MAX);
  check_least("max_replicas", asked.max_replicas, 0);
  check_most("max_replicas", asked.max_replicas, kMaxSlots, "2^18, the most slots there can be");
  // Nodes have equal shares of slots and experts, so one test serves both policies. GREEDY takes no
  // cap: it is the published program, and is refused only if it would exceed one.
  const int64_t least = (problem.slots + problem.experts - 1) / problem.experts;
  if (asked.max_replicas > 0 && asked.max_replicas < least)
    fail(EPLB_INVALID_ARGUMENT,
         "max_replicas is %lld, too few: %lld slots of %lld experts need at least %lld",
         ll(asked.max_replicas), ll(problem.slots), ll(problem.experts), ll(least));
  return {asked.strategy, asked.effort, asked.seed, asked.max_replicas};
}

}  // namespace eplb
