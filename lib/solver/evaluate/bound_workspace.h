// Memory of a layer's bounds, and the arithmetic that all of them share. Bounds are worked out in
// double from the original weights, in an order that does not depend on the team, and made smaller
// by 2^-40, so that no rounding lifts them above the optimum.
#pragma once

#include "solver/layer/group_assignment.h"
#include "solver/layer/solve_layer.h"
#include "solver/packing/pack.h"

EPLB_STAGE_BEGIN

// Of the kinds of bounds, the closer one?
EPLB_FN bool wants_threshold(const Problem& problem) {
  return problem.options.bound_kind == EPLB_BOUND_THRESHOLD;
}

struct BoundWorkspace {
  View<double> weight, descending;  // by expert, and largest first
  View<int> order;                  // experts, largest first
  View<int64_t> key;                // of the largest experts: their share as a key of team.serve
  View<int> copies;                 // and their replicas
  View<double> slope;  // what threshold_bound gains, two for each expert; only if it is wanted
  View<int> steps, picked, sorted;  // of those gains
  // Under a hierarchical policy:
  View<double> group_weight;         // by group
  View<int> group_size, group_slot;  // see node_bound
  Packing packing;
  GroupWorkspace groups;

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    const int gains = wants_threshold(problem) ? 2 * problem.experts : 0;
    const auto [nodes, groups_there] = problem.partition;
    arena.take(problem.experts, weight, descending, order, key, copies);
    arena.take(gains, slope, steps, picked, sorted);
    if (nodes == 1) return;
    arena.take(groups_there, group_weight, group_size, group_slot);
    packing.lay_out(arena, groups_there, nodes);
    groups.lay_out(arena, groups_there, nodes);
  }
};

// Keys that the team sorts and serves at most.
EPLB_FN int most_bound_keys(const Problem& problem) {
  return wants_threshold(problem) ? 2 * problem.experts : problem.experts;
}

EPLB_FN double larger(double a, double b) { return a < b ? b : a; }
EPLB_FN double smaller(double a, double b) { return b < a ? b : a; }

// Doubles that are not negative compare like their bits.
EPLB_FN uint64_t largest_first(double value) { return ~static_cast<uint64_t>(bits_of(value)); }

// value(i) for i < n, added in the order of their indices: the same sum on every team.
EPLB_FN double sum_in_order(int n, const auto& value) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += value(i);
  return sum;
}

EPLB_STAGE_END
