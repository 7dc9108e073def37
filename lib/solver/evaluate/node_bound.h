// Under a hierarchical policy whole groups are on nodes, as many on each, whatever the placement.
#pragma once

#include "solver/evaluate/bound_workspace.h"

EPLB_STAGE_BEGIN

// No way to put groups on nodes makes the mean load of the heaviest node's GPUs less than this. 0
// if there are too many ways to go through them all.
template <class Team>
EPLB_FN double node_bound(Team& team, const Shape& shape, const BoundWorkspace& workspace) {
  const int each = shape.experts / shape.groups;
  const View<int> size = workspace.group_size, result = workspace.walk_result;
  team.for_each(shape.groups, [&](int group) {
    workspace.group_weight[group] =
        sum_in_order(each, [&](int i) { return workspace.weight[group * each + i]; });
  });
  const double total =
      sum_in_order(shape.groups, [&](int group) { return workspace.group_weight[group]; });
  if (!(total > 0)) return 0;
  // In units that are rounded down: the heaviest node of the best way can only get lighter by that.
  const double unit = total / (1 << 30);
  team.for_each(shape.groups, [&](int group) {
    size[group] = static_cast<int>(workspace.group_weight[group] / unit * (1 - 0x1p-40));
  });
  team.single([&] {
    const int heaviest = spread_groups(workspace.groups, size, shape.groups, shape.nodes);
    GroupWalk walk(workspace.groups, size, shape.groups, shape.nodes, heaviest);
    walk.run();
    result[0] = walk.best();
    result[1] = walk.proven();
  });
  if (!result[1]) return 0;
  return result[0] * unit * (1 - 0x1p-40) / shape.node_gpus();
}

EPLB_STAGE_END
