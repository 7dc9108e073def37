#include "known.h"

#include <algorithm>

namespace eplb::fuzz {
namespace {

// No GPU counts as slower than this part of the fastest one.
constexpr double kSlowest = 1.0 / 65536;

std::vector<double> speeds_of(const KnownCluster& cluster) {
  const auto is_open = [&](size_t gpu) { return cluster.slots.empty() || cluster.slots[gpu] > 0; };
  double fastest = 0, sum = 0;
  int open = 0;
  for (size_t gpu = 0; gpu < cluster.speeds.size(); ++gpu)
    if (is_open(gpu)) fastest = std::max(fastest, cluster.speeds[gpu]);
  std::vector<double> speed(cluster.speeds.size(), 1);
  for (size_t gpu = 0; gpu < speed.size(); ++gpu) {
    if (!is_open(gpu)) continue;
    speed[gpu] = std::max(cluster.speeds[gpu] / fastest, kSlowest);
    sum += speed[gpu];
    ++open;
  }
  double least = 0, most = 0;
  for (size_t gpu = 0; gpu < speed.size(); ++gpu) {
    if (!is_open(gpu)) continue;
    speed[gpu] = speed[gpu] / sum * open;
    least = least == 0 ? speed[gpu] : std::min(least, speed[gpu]);
    most = std::max(most, speed[gpu]);
  }
  return least == most ? std::vector<double>() : speed;
}

}  // namespace

Gpus gpus_of(const KnownCluster& cluster, const eplb_problem& problem) {
  Gpus gpus;
  const int64_t count = problem.num_gpus;
  gpus.places = problem.num_slots / count;
  gpus.open = cluster.slots.empty()
                  ? std::vector<int64_t>(static_cast<size_t>(count), gpus.places)
                  : cluster.slots;
  gpus.node = cluster.nodes;
  const int64_t nodes = std::min(problem.num_nodes, kMostSlots);
  for (int64_t gpu = 0; cluster.nodes.empty() && gpu < count; ++gpu)
    gpus.node.push_back(gpu * nodes / count);
  gpus.speed = speeds_of(cluster);
  for (const int64_t open : gpus.open) {
    gpus.open_slots += open;
    gpus.open_gpus += open > 0;
  }
  return gpus;
}

int64_t groups_of(const eplb_problem& problem) {
  return std::max<int64_t>(problem.num_groups, 1);
}

bool is_hierarchical(const eplb_problem& problem) {
  return policy_of(problem) == EPLB_POLICY_HIERARCHICAL;
}

eplb_policy policy_of(const eplb_problem& problem) {
  if (problem.policy != EPLB_POLICY_AUTO) return problem.policy;
  return groups_of(problem) % problem.num_nodes == 0 ? EPLB_POLICY_HIERARCHICAL
                                                     : EPLB_POLICY_GLOBAL;
}

double KnownPlan::home_target() const {
  const bool own = options.strategy == EPLB_STRATEGY_REBALANCE && options.target > 0 &&
                   policy_of(problem) == EPLB_POLICY_SOFT;
  return own ? options.target : problem.off_home_target;
}

}  // namespace eplb::fuzz
