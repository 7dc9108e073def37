// Nodes are solved apart, each as a problem of its own.
#pragma once

#include "core/problem.h"
#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

// The problem of one node; nodes are all equal. Under the global policy it is the whole problem.
EPLB_FN Problem node_problem(const Problem& problem) {
  const int nodes = problem.partition.nodes;
  Problem node = problem;
  node.experts /= nodes;
  node.cluster.slots /= nodes;
  node.cluster.gpus /= nodes;
  node.cluster.nodes /= nodes;
  node.limits.groups /= nodes;
  node.partition = {1, 1};
  return node;
}

EPLB_STAGE_END
