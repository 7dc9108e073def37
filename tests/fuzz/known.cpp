#include "known.h"

#include <algorithm>

namespace eplb::fuzz {
namespace {

// No GPU counts as slower than this part of the fastest one.
constexpr double kSlowest = 1.0 / 65536;

// Of GPUs that have slots.
std::vector<double> open_only(const KnownCluster& cluster, const std::vector<double>& values) {
  std::vector<double> open;
  for (size_t gpu = 0; gpu < values.size(); ++gpu)
    if (cluster.slots.empty() || cluster.slots[gpu] > 0) open.push_back(values[gpu]);
  return open;
}

// Those of others are never asked for.
std::vector<double> speeds_of(const KnownCluster& cluster) {
  if (cluster.speeds.empty()) return {};
  const std::vector<double> given = open_only(cluster, cluster.speeds);
  const double fastest = *std::max_element(given.begin(), given.end());
  double sum = 0;
  for (const double speed : given) sum += std::max(speed / fastest, kSlowest);
  std::vector<double> speeds;
  for (const double speed : cluster.speeds)
    speeds.push_back(std::max(speed / fastest, kSlowest) / sum * static_cast<double>(given.size()));
  const std::vector<double> open = open_only(cluster, speeds);
  const bool equal = std::equal(open.begin() + 1, open.end(), open.begin());
  return equal ? std::vector<double>() : speeds;
}

}  // namespace

Gpus gpus_of(const KnownCluster& cluster, const eplb_problem& problem) {
  Gpus gpus;
  const int64_t count = problem.num_gpus;
  gpus.places = problem.num_slots / count;
  gpus.open = cluster.slots.empty() ? std::vector<int64_t>(static_cast<size_t>(count), gpus.places)
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

int64_t groups_of(const eplb_problem& problem) { return std::max<int64_t>(problem.num_groups, 1); }

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
