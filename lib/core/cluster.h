// GPUs that are not all equal.
#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"

namespace eplb {

// What a caller gave, by GPU; an array is empty where all GPUs are equal.
struct ClusterArrays {
  int64_t gpus = 0;
  std::vector<int32_t> slots, node;
  std::vector<double> speed;  // as Cluster::gpu_speed
  std::vector<int32_t> pace;  // as Cluster::gpu_pace

  bool exists() const { return gpus > 0; }
  int64_t bytes() const {
    return static_cast<int64_t>((slots.capacity() + node.capacity() + pace.capacity()) *
                                    sizeof(int32_t) +
                                speed.capacity() * sizeof(double));
  }
};

// Copies arrays [G], each of which may be null; none for no GPUs. Throws InvalidArgument for what
// cannot be in any problem.
ClusterArrays read_cluster(const int64_t* slots, const double* speeds, const int64_t* nodes,
                           int64_t gpus);

// Unless a cluster says otherwise, nodes have consecutive GPUs, as equally many as can be. Stages
// ask solver/layer/cluster.h.
inline int consecutive_node(const Cluster& cluster, int64_t gpu) {
  return static_cast<int>(gpu * cluster.nodes / cluster.gpus);
}
inline int node_of_gpu(const Cluster& cluster, int64_t gpu) {
  return cluster.gpu_node ? cluster.gpu_node[gpu] : consecutive_node(cluster, gpu);
}

// Throws InvalidArgument unless there is no cluster or it has this number of GPUs.
void check_num_gpus(const ClusterArrays& arrays, int64_t gpus);

// Points a problem, checked but for this, to the arrays: to those in which its GPUs differ. Throws
// InvalidArgument unless they fit it.
void set_cluster(const ClusterArrays& arrays, Problem& problem);

}  // namespace eplb
