// The cluster, the rule and the options of a solve, checked against the number of experts.
#pragma once

#include <cstdint>

#include "eplb.h"

namespace eplb {

// Largest num_slots: replica counts are compared exactly through 64-bit quotients, which needs c1 *
// c2 <= 2^34.
inline constexpr int64_t kMaxSlots = int64_t{1} << 18;

// A checked problem. Under the global policy nodes and groups are 1, so nothing after this asks for
// the policy.
struct Problem {
  int64_t experts, slots, gpus, nodes, groups;
  eplb_policy policy;
  eplb_policy_reason reason;
  eplb_bound_kind bound_kind;

  int64_t slots_per_gpu() const { return slots / gpus; }
  bool operator==(const Problem&) const = default;
};

struct Options {
  eplb_strategy strategy;
  eplb_effort effort;
  uint64_t seed;
  int64_t max_replicas;  // 0: no cap
  bool operator==(const Options&) const = default;
};

// A solve of a whole model, checked: all that a machine is given but the weights.
struct Request {
  Problem problem{};
  Options options{};
  int64_t layers = 0;
};

// Throw InvalidArgument naming the argument, both numbers and the nearest legal values; Unavailable
// for a constant above those that this version knows.
Problem check_problem(const eplb_problem& problem, int64_t experts);
Options check_options(const eplb_solve_options& options, const Problem& problem);

// Copies that an expert may have. GREEDY is the published program, which knows no cap: what it
// gives is checked afterwards.
int64_t most_replicas(const Problem& problem, const Options& options);

// The sizes of a layer as a machine's own struct: experts, slots, gpus, nodes, groups, most
// replicas, seed.
template <class Sizes> Sizes layer_sizes(const Problem& p, const Options& options) {
  auto whole = [](int64_t size) { return static_cast<int>(size); };  // at most kMaxSlots
  return {whole(p.experts), whole(p.slots),  whole(p.gpus),
          whole(p.nodes),   whole(p.groups), whole(most_replicas(p, options)),
          options.seed};
}

}  // namespace eplb
