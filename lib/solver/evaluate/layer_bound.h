// A lower bound on a layer's largest GPU load: the closest of those that are wanted.
#pragma once

#include "solver/evaluate/node_bound.h"
#include "solver/evaluate/threshold_bound.h"

EPLB_STAGE_BEGIN

struct LayerBound {
  double load;
  bool nodes_proven;  // under a hierarchical policy: was every way to put groups on nodes tried?
};

EPLB_FN LayerBound bound_of_weights(Team auto& team, const Problem& problem, bool threshold,
                                    double total, const BoundWorkspace& workspace) {
  const double bound = threshold ? threshold_bound(team, problem, total, workspace)
                                 : simple_bound(team, problem, total, workspace);
  if (problem.partition.nodes == 1) return {bound, false};
  const double node = node_bound(team, problem, workspace);
  return {larger(bound, node), node > 0 || bound == 0};
}

// weight(e) is an expert's, in double. Quotients of denormals lose bits, or become 0: such layers
// are taken 2^200 times as heavy. What a report's loads may have lost by rounding, half of the
// least denormal for each replica on a GPU, comes off again.
EPLB_FN LayerBound bound_of_layer(Team auto& team, const Problem& problem, bool threshold,
                                  const BoundWorkspace& workspace, const auto& weight) {
  constexpr double kLittle = 0x1p-900, kScale = 0x1p200, kLeast = 0x1p-1074;
  auto total_weight = [&] {
    return sum_in_order(problem.experts, [&](int e) { return workspace.weight[e]; });
  };
  team.for_each(problem.experts,
                [&](int e) { workspace.weight[e] = weight(e) + 0.0; });  // -0 becomes 0
  const double total = total_weight();
  if (total >= kLittle) return bound_of_weights(team, problem, threshold, total, workspace);
  team.barrier();  // all lanes have added up what is scaled next
  team.for_each(problem.experts, [&](int e) { workspace.weight[e] *= kScale; });
  const LayerBound bound = bound_of_weights(team, problem, threshold, total_weight(), workspace);
  const double lost = kLeast * (slots_per_gpu(problem.cluster) + 1);
  return {larger(0.0, bound.load / kScale - lost), bound.nodes_proven};
}

EPLB_STAGE_END
