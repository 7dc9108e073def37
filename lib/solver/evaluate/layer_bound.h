// A lower bound on a layer's largest GPU load: the closest of those that are wanted.
#pragma once

#include "solver/evaluate/loads.h"
#include "solver/evaluate/threshold_bound.h"

EPLB_STAGE_BEGIN

// Sets group_weight. Returns the sum of all.
EPLB_FN double add_group_weights(Team auto& team, const Problem& problem,
                                 const BoundWorkspace& workspace) {
  const int each = problem.experts / problem.partition.groups;
  const View<double> weight = workspace.weight, group_weight = workspace.group_weight;
  team.for_each(problem.partition.groups, [&](int group) {
    group_weight[group] = sum_in_order(each, [&](int i) { return weight[group * each + i]; });
  });
  return sum_in_order(problem.partition.groups, [&](int group) { return group_weight[group]; });
}

struct LayerBound {
  double load;
  bool nodes_proven;  // under a hierarchical policy: was every way to put groups on nodes tried?
};

// No heaviest node weighs less than the heaviest group with as many of the lightest as fill its
// node, nor less than heaviest_together, of groups on nodes.
EPLB_FN double heaviest_groups(Team auto& team, const Problem& problem,
                               const BoundWorkspace& workspace) {
  const auto [nodes, groups] = problem.partition;
  const View<double> weight = workspace.group_weight, descending = workspace.descending;
  team.order(groups, workspace.order, [&](int group) { return largest_first(weight[group]); });
  team.for_each(groups, [&](int i) { descending[i] = weight[workspace.order[i]]; });
  double first = descending[0];
  for (int i = 1; i < groups / nodes; ++i) first += descending[groups - i];
  if (groups == nodes) return first;
  return larger(first, heaviest_together(descending, groups, nodes, groups / nodes));
}

// Under a hierarchical policy whole groups are on nodes, as many on each: no way to put them there
// makes the mean load of the heaviest node's GPUs less than this.
EPLB_FN LayerBound node_bound(Team auto& team, const Problem& problem,
                              const BoundWorkspace& workspace) {
  const double total = add_group_weights(team, problem, workspace);
  if (!(total > 0)) return {0, true};
  // In units that are rounded down: the heaviest node of the best way can only get lighter by that.
  const double unit = total / (1 << 30);
  team.for_each(problem.partition.groups, [&](int group) {
    const double units = workspace.group_weight[group] / unit;
    workspace.group_size[group] = static_cast<int>(units * (1 - 0x1p-40));
  });
  const auto [nodes, groups] = problem.partition;
  const View<int> size = workspace.group_size, slot_of = workspace.group_slot;
  pack<Integer>(team, greedy(), workspace.packing, groups, nodes, size, {}, all_chains(), slot_of);
  const auto [heaviest, proven] =
      search_groups(team, workspace.groups, size, slot_of, groups, nodes, group_steps(groups));
  const double load = proven ? heaviest * unit : heaviest_groups(team, problem, workspace);
  return {load * (1 - 0x1p-40) / open_gpus(node_problem(problem).cluster), proven};
}

EPLB_FN LayerBound bound_of_weights(Team auto& team, const Problem& problem, double total,
                                    const BoundWorkspace& workspace, bool filled) {
  const double bound = wants_threshold(problem)
                           ? threshold_bound(team, problem, total, workspace, filled)
                           : simple_bound(team, problem, total, workspace, filled);
  if (problem.partition.nodes == 1) return {bound, false};
  const LayerBound node = node_bound(team, problem, workspace);
  return {larger(bound, node.load), node.nodes_proven};
}

// weight(e) is an expert's, in double; `total` is their sum in order. What loads with little total
// may have lost by rounding, half of the least denormal for each replica on a GPU, comes off again;
// times lose more, up to what the slowest GPU makes of it. filled: only of placements without
// empty slots?
EPLB_FN LayerBound bound_of_layer(Team auto& team, const Problem& problem,
                                  const BoundWorkspace& workspace, const auto& weight, double total,
                                  bool filled) {
  constexpr double kLeast = 0x1p-1074;
  const View<double> scaled = workspace.weight;
  const bool enough = total >= kLittle;
  const double scale = enough ? 1 : kMagnified;
  team.for_each(problem.experts,
                [&](int e) { scaled[e] = weight(e) * scale + 0.0; });  // -0 becomes 0
  if (enough) return bound_of_weights(team, problem, total, workspace, filled);
  total = sum_in_order(problem.experts, [&](int e) { return scaled[e]; });
  const LayerBound bound = bound_of_weights(team, problem, total, workspace, filled);
  const double slowest = problem.cluster.gpu_speed ? 2.0 * kFastest : 1;
  const double lost = kLeast * (slots_per_gpu(problem.cluster) + 1) * slowest;
  return {larger(0.0, bound.load / kMagnified - lost), bound.nodes_proven};
}

EPLB_STAGE_END
