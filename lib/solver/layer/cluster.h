// What stages ask about GPUs and nodes.
#pragma once

#include "core/problem.h"
#include "solver/team/stage.h"

EPLB_STAGE_BEGIN

// GPU g has the places g * slots_per_gpu and following, of which the first ones are open.
EPLB_FN int slots_per_gpu(const Cluster& cluster) { return cluster.slots / cluster.gpus; }
EPLB_FN int open_slots(const Cluster& cluster, int gpu) {
  return cluster.gpu_slots ? cluster.gpu_slots[gpu] : slots_per_gpu(cluster);
}
// In all, and GPUs that have any.
EPLB_FN int open_slots(const Cluster& cluster) { return cluster.slots - cluster.closed; }
EPLB_FN int open_gpus(const Cluster& cluster) { return cluster.gpus - cluster.closed_gpus; }
EPLB_FN bool is_open(const Cluster& cluster, int slot) {
  const int per_gpu = slots_per_gpu(cluster);
  return !cluster.gpu_slots || slot % per_gpu < cluster.gpu_slots[slot / per_gpu];
}

// How fast a GPU is: kFastest, or a share of it.
EPLB_FN int pace(const Cluster& cluster, int gpu) {
  return cluster.gpu_pace ? cluster.gpu_pace[gpu] : kFastest;
}

// Do GPUs differ in what they can hold or do?
EPLB_FN bool is_unequal(const Cluster& cluster) { return cluster.gpu_slots || cluster.gpu_pace; }

// Unless a cluster says otherwise, nodes have consecutive GPUs, as equally many as can be.
EPLB_FN int node_of(const Cluster& cluster, int gpu) {
  if (cluster.gpu_node) return cluster.gpu_node[gpu];
  return static_cast<int>(int64_t{gpu} * cluster.nodes / cluster.gpus);
}

// The lowest GPU of a node, or of those above it if it has none.
EPLB_FN int64_t first_gpu_of(const Cluster& cluster, int node) {
  return (int64_t{node} * cluster.gpus + cluster.nodes - 1) / cluster.nodes;
}

// The problem of one node: nodes are solved apart, and are equal. Under the global policy it is the
// whole problem.
EPLB_FN Problem node_problem(const Problem& problem) {
  const int nodes = problem.partition.nodes;
  Problem node = problem;
  node.experts /= nodes;
  node.cluster.slots /= nodes;
  node.cluster.gpus /= nodes;
  node.cluster.nodes /= nodes;
  node.cluster.closed /= nodes;
  node.cluster.closed_gpus /= nodes;
  node.limits.groups /= nodes;
  node.partition = {1, 1};
  return node;
}

// Replicas that an expert can have: under a hierarchical policy those on its node.
EPLB_FN int most_copies(const Problem& problem) {
  const Problem node = node_problem(problem);
  const int most = open_slots(node.cluster) - node.experts + 1, cap = problem.limits.max_replicas;
  return cap > 0 && cap < most ? cap : most;
}

EPLB_STAGE_END
