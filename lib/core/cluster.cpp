#include "core/cluster.h"

#include <algorithm>
#include <cmath>

#include "core/caller_array.h"
#include "core/error.h"

namespace eplb {
namespace {

std::vector<int32_t> read_whole(const char* name, const int64_t* given, int64_t gpus,
                                int64_t most) {
  if (given == nullptr) return {};
  const std::vector<int64_t> values = copy_of(given, gpus);
  std::vector<int32_t> whole(static_cast<size_t>(gpus));
  for (int64_t g = 0; g < gpus; ++g) {
    if (values[g] < 0 || values[g] > most)
      fail(EPLB_INVALID_ARGUMENT, "%s[GPU %lld] is %lld, must be from 0 to %lld", name, ll(g),
           ll(values[g]), ll(most));
    whole[g] = static_cast<int32_t>(values[g]);
  }
  return whole;
}

void check_speeds(const double* speeds, int64_t gpus) {
  for (int64_t g = 0; g < gpus; ++g)
    if (!(speeds[g] > 0) || !std::isfinite(speeds[g]))
      fail(EPLB_INVALID_ARGUMENT,
           "speeds[GPU %lld] is %s, must be positive and finite: a GPU that is to hold nothing has "
           "0 slots",
           ll(g),
           std::isnan(speeds[g]) ? "NaN"
           : speeds[g] == 0      ? "0"
           : speeds[g] < 0       ? "negative"
                                 : "infinite");
}

bool is_open(const ClusterArrays& arrays, size_t gpu) {
  return arrays.slots.empty() || arrays.slots[gpu] > 0;
}

// Shares of the fastest GPU that is open. A slower one than searches can tell counts as the slowest
// that they can.
void read_speeds(const double* speeds, ClusterArrays& arrays) {
  const auto gpus = static_cast<size_t>(arrays.gpus);
  double fastest = 0, sum = 0;
  int open = 0;
  for (size_t g = 0; g < gpus; ++g)
    if (is_open(arrays, g)) fastest = std::max(fastest, speeds[g]);
  arrays.speed.assign(gpus, 1);
  arrays.pace.assign(gpus, kFastest);
  for (size_t g = 0; g < gpus; ++g) {
    if (!is_open(arrays, g)) continue;
    const double share = std::max(speeds[g] / fastest, 1.0 / kFastest);
    arrays.speed[g] = share;
    const auto halves = static_cast<int32_t>(share * (2 * kFastest));
    arrays.pace[g] = (halves + 1) / 2;  // rounded without libm
    sum += share;
    ++open;
  }
  for (size_t g = 0; g < gpus; ++g)
    if (is_open(arrays, g)) arrays.speed[g] = arrays.speed[g] / sum * open;
}

// Sets what is closed. Throws unless slots fit in their GPUs and experts in them.
void set_slots(const ClusterArrays& arrays, int experts, Cluster& cluster) {
  if (arrays.slots.empty()) return;
  const int per_gpu = cluster.slots / cluster.gpus;
  for (size_t g = 0; g < arrays.slots.size(); ++g) {
    if (arrays.slots[g] > per_gpu)
      fail(EPLB_INVALID_ARGUMENT,
           "the cluster's slots[GPU %lld] is %d, must be at most num_slots / num_gpus = %d / %d = "
           "%d",
           ll(g), arrays.slots[g], cluster.slots, cluster.gpus, per_gpu);
    cluster.closed += per_gpu - arrays.slots[g];
    cluster.closed_gpus += arrays.slots[g] == 0;
  }
  const int open = cluster.slots - cluster.closed;
  if (open < experts)
    fail(EPLB_INVALID_ARGUMENT,
         "the cluster has %d open slots, %d fewer than the %d experts: each needs one", open,
         experts - open, experts);
  if (cluster.closed > 0) cluster.gpu_slots = arrays.slots.data();
}

void set_speeds(const ClusterArrays& arrays, Cluster& cluster) {
  if (arrays.speed.empty()) return;
  double fastest = 0, slowest = HUGE_VAL;
  for (size_t g = 0; g < arrays.speed.size(); ++g) {
    if (!is_open(arrays, g)) continue;
    fastest = std::max(fastest, arrays.speed[g]);
    slowest = std::min(slowest, arrays.speed[g]);
  }
  if (fastest == slowest) return;
  cluster.gpu_speed = arrays.speed.data();
  cluster.gpu_pace = arrays.pace.data();
}

// Consecutive GPUs, equally many on each node, are what nodes are without an array.
void set_nodes(const ClusterArrays& arrays, Cluster& cluster) {
  for (size_t g = 0; g < arrays.node.size(); ++g) {
    if (arrays.node[g] >= cluster.nodes)
      fail(EPLB_INVALID_ARGUMENT,
           "the cluster's nodes[GPU %lld] is %d, must be from 0 to num_nodes - 1 = %d", ll(g),
           arrays.node[g], cluster.nodes - 1);
    if (arrays.node[g] != consecutive_node(cluster, static_cast<int64_t>(g)))
      cluster.gpu_node = arrays.node.data();
  }
}

// What is solved apart must be equal: the first node stands for all.
void check_equal_nodes(const Cluster& cluster) {
  constexpr const char* kNeeds = "the hierarchical policy needs equal nodes of consecutive GPUs";
  const int each = cluster.gpus / cluster.nodes;
  for (int g = 0; g < cluster.gpus; ++g) {
    const int node = g / each, first = g % each;
    if (cluster.gpu_node && cluster.gpu_node[g] != node)
      fail(EPLB_INVALID_ARGUMENT,
           "%s, but GPU %d is on node %d, must be on %d: the global policy takes any", kNeeds, g,
           cluster.gpu_node[g], node);
    if (cluster.gpu_slots && cluster.gpu_slots[g] != cluster.gpu_slots[first])
      fail(EPLB_INVALID_ARGUMENT,
           "%s, but GPU %d has %d slots and GPU %d, in its place on node 0, %d: the global policy "
           "takes any",
           kNeeds, g, cluster.gpu_slots[g], first, cluster.gpu_slots[first]);
    if (cluster.gpu_speed && cluster.gpu_speed[g] != cluster.gpu_speed[first])
      fail(EPLB_INVALID_ARGUMENT,
           "%s, but GPUs %d and %d, in its place on node 0, differ in speed: the global policy "
           "takes any",
           kNeeds, g, first);
  }
}

}  // namespace

ClusterArrays read_cluster(const int64_t* slots, const double* speeds, const int64_t* nodes,
                           int64_t gpus) {
  check_least("num_gpus", gpus, 0);
  check_most("num_gpus", gpus, kMaxSlots, "2^18, the most slots there can be");
  if (gpus == 0) return {};
  ClusterArrays arrays;
  arrays.gpus = gpus;
  arrays.slots = read_whole("slots", slots, gpus, kMaxSlots);
  arrays.node = read_whole("nodes", nodes, gpus, kMaxSlots - 1);
  if (slots && std::all_of(arrays.slots.begin(), arrays.slots.end(), [](int n) { return n == 0; }))
    fail(EPLB_INVALID_ARGUMENT, "slots are 0 on all %lld GPUs, must be at least 1 on one",
         ll(gpus));
  if (speeds) {
    const std::vector<double> copy = copy_of(speeds, gpus);
    check_speeds(copy.data(), gpus);
    read_speeds(copy.data(), arrays);
  }
  return arrays;
}

void check_num_gpus(const ClusterArrays& arrays, int64_t gpus) {
  if (!arrays.exists() || arrays.gpus == gpus) return;
  fail(EPLB_INVALID_ARGUMENT,
       "num_gpus is %lld, but the cluster has %lld GPUs: upload another one with "
       "eplb_upload_cluster, or none",
       ll(gpus), ll(arrays.gpus));
}

void set_cluster(const ClusterArrays& arrays, Problem& problem) {
  if (!arrays.exists()) return;
  set_slots(arrays, problem.experts, problem.cluster);
  set_speeds(arrays, problem.cluster);
  set_nodes(arrays, problem.cluster);
  if (problem.partition.nodes > 1) check_equal_nodes(problem.cluster);
}

}  // namespace eplb
