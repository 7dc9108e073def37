// Under a hierarchical policy whole groups are on nodes, as many on each, whatever the placement.
#pragma once

#include "solver/evaluate/bound_workspace.h"

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

// No way to put groups on nodes makes the mean load of the heaviest node's GPUs less than this. 0
// if there are too many ways to go through them all.
EPLB_FN double node_bound(Team auto& team, const Problem& problem,
                          const BoundWorkspace& workspace) {
  const double total = add_group_weights(team, problem, workspace);
  if (!(total > 0)) return 0;
  // In units that are rounded down: the heaviest node of the best way can only get lighter by that.
  const double unit = total / (1 << 30);
  team.for_each(problem.partition.groups, [&](int group) {
    const double units = workspace.group_weight[group] / unit;
    workspace.group_size[group] = static_cast<int>(units * (1 - 0x1p-40));
  });
  const auto [nodes, groups] = problem.partition;
  const View<int> size = workspace.group_size, slot_of = workspace.group_slot;
  pack<Integer>(team, greedy(), workspace.packing, groups, nodes, size, {}, all_chains(), slot_of);
  const AssignedGroups assigned =
      search_groups(team, workspace.groups, size, slot_of, groups, nodes, group_steps(groups));
  if (!assigned.proven) return 0;
  return assigned.heaviest * unit * (1 - 0x1p-40) / node_problem(problem).cluster.gpus;
}

EPLB_STAGE_END
