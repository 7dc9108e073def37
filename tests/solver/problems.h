// Problems for tests, checked as a caller's are.
#pragma once

#include "core/check_problem.h"

namespace eplb::tests {

struct Sizes {
  int64_t experts, slots, gpus, nodes = 1, groups = 1;
  bool soft = false;  // policy SOFT; else groups are for nodes, if there are several
  bool for_splits = false;
};

inline eplb_solve_options options_of(eplb_strategy strategy, eplb_effort effort = EPLB_EFFORT_FAST,
                                     uint64_t seed = 0, int64_t max_replicas = 0) {
  eplb_solve_options options{};
  options.strategy = strategy;
  options.effort = effort;
  options.seed = seed;
  options.max_replicas = max_replicas;
  return options;
}

// Points to the cluster, if that is one.
inline Problem problem_of(const Sizes& sizes, const eplb_solve_options& options = {},
                          int64_t layers = 1, eplb_bound_kind bound_kind = EPLB_BOUND_SIMPLE,
                          const ClusterArrays& cluster = {}) {
  eplb_problem asked{};
  asked.num_slots = sizes.slots;
  asked.num_gpus = sizes.gpus;
  asked.num_nodes = sizes.nodes;
  asked.num_groups = sizes.groups;
  asked.off_home_target = 1.01;
  asked.policy = sizes.soft         ? EPLB_POLICY_SOFT
                 : sizes.groups > 1 ? EPLB_POLICY_HIERARCHICAL
                                    : EPLB_POLICY_GLOBAL;
  asked.objective = sizes.for_splits ? EPLB_OBJECTIVE_SPLIT : EPLB_OBJECTIVE_SUM;
  asked.bound_kind = bound_kind;
  return check_problem(asked, options, cluster, layers, sizes.experts);
}

}  // namespace eplb::tests
