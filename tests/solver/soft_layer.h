// Any layer of policy SOFT, from its weights on: in the library, and by its definition.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "solver/strategies/fresh_by_excess.h"
#include "solver/strategies/rebalance.h"
#include "tests/solver/any_state.h"
#include "tests/solver/plain_soft.h"
#include "tests/solver/shuffled.h"

namespace eplb::tests {

// A few GPUs on up to four nodes, or on some of more nodes than GPUs; windows of which some have no
// weight.
struct SoftLayer {
  std::vector<std::vector<double>> windows;
  int nodes = 1, asked_groups = 1, groups = 1;
  int target = 0;  // in parts of 2^-20
  Cluster cluster;
  plain::OldLayer layer;
  eplb_effort effort = EPLB_EFFORT_FAST;
  uint64_t seed = 0;
  bool allow_empty = false;
  std::vector<int32_t> current;  // by slot
  int64_t budget = plain::kAny;  // of moves
  int price = 0;                 // of one, in parts of 2^-20

  explicit SoftLayer(uint32_t number) : random_(number) {
    choose_cluster();
    choose_weights();
    asked_groups = 1 + below(most_groups());
    groups = std::min(asked_groups, layer.experts());
    target = (1 << 20) + below(chance(50) ? 1 << 15 : 1 << 20);
    seed = random_();
    allow_empty = chance(20);
    effort = chance(60) ? EPLB_EFFORT_FAST : chance(80) ? EPLB_EFFORT_NORMAL : EPLB_EFFORT_MAX;
    choose_cap();
  }
  SoftLayer(const SoftLayer&) = delete;
  SoftLayer& operator=(const SoftLayer&) = delete;

  bool has_load() const {
    return std::ranges::any_of(windows, [](const std::vector<double>& window) {
      return std::ranges::any_of(window, [](double w) { return w > 0; });
    });
  }
  // A current placement that has changed since, and how far the next one may be from it.
  void remember(const std::vector<int>& placement) {
    const int stays = chance(20) ? 0 : 50 + below(51);
    for (int slot = 0; slot < cluster.slots; ++slot)
      current.push_back(chance(stays) ? placement[slot] : chance(60) ? below(layer.experts()) : -1);
    for (int g = 0; g < layer.gpus(); ++g)
      layer.was[g].assign(current.begin() + g * layer.rows, current.begin() + (g + 1) * layer.rows);
    if (chance(40)) budget = below(cluster.slots);
    if (chance(30)) layer.most_arrivals = 1 + below(4);
    if (chance(30)) price = 1 << below(18);
  }
  Problem problem() const {
    Problem problem;
    problem.experts = layer.experts();
    problem.windows = problem.windows_apart = static_cast<int>(windows.size());
    problem.layers = 1;
    problem.cluster = cluster;
    problem.limits.policy = EPLB_POLICY_SOFT;
    problem.limits.groups = asked_groups;
    problem.limits.most_replicas = most_replicas;
    problem.current.expert = current.data();
    problem.moves.most = static_cast<int>(std::min<int64_t>(budget, solver::kNever));
    problem.moves.most_arrivals =
        static_cast<int>(std::min<int64_t>(layer.most_arrivals, solver::kNever));
    problem.moves.price = price;
    problem.moves.target = target;
    problem.moves.allow_empty = allow_empty;
    problem.options.effort = effort;
    problem.options.seed = seed;
    return problem;
  }

 private:
  int below(int n) { return draw_below(random_, n); }
  bool chance(int percent) { return below(100) < percent; }

  void choose_cluster() {
    const int gpus = 2 + below(9);
    nodes = chance(15) ? gpus + 1 + below(4) : 1 + below(std::min(gpus, 4));
    layer.rows = 1 + below(5);
    const bool closed = chance(40), paced = chance(40), mixed = chance(50);
    for (int g = 0; g < gpus; ++g) {
      layer.open.push_back(closed && chance(40) ? below(layer.rows + 1) : layer.rows);
      layer.pace.push_back(!paced ? kFastest : chance(50) ? kFastest / 2 : 1 + below(kFastest));
      layer.node.push_back(mixed ? below(nodes) : g * nodes / gpus);
    }
    layer.open[0] = layer.rows;
    layer.was.assign(layer.open.size(), std::vector<int>(layer.rows, -1));
    const auto slots = std::accumulate(layer.open.begin(), layer.open.end(), 0);
    cluster = {.slots = gpus * layer.rows,
               .gpus = gpus,
               .nodes = nodes,
               .gpu_slots = closed ? layer.open.data() : nullptr,
               .gpu_node = mixed ? layer.node.data() : nullptr,
               .gpu_pace = paced ? layer.pace.data() : nullptr,
               .closed = gpus * layer.rows - slots,
               .closed_gpus = static_cast<int>(std::ranges::count(layer.open, 0))};
  }
  // So few that all assignments can be tried.
  int most_groups() const {
    int groups = 1;
    for (int ways = nodes * nodes; groups < 8 && ways < 1 << 14; ways *= nodes) ++groups;
    return groups;
  }
  // As few copies as can fill the slots, or a few more; or any number.
  void choose_cap() {
    const int slots = cluster.slots - cluster.closed, experts = layer.experts();
    most_replicas = chance(70) ? cluster.slots : (slots + experts - 1) / experts + below(3);
    layer.max_replicas = most_replicas;
    layer.most_copies = std::min(cluster.gpus - cluster.closed_gpus, most_replicas);
  }
  double weight(int kind) {
    if (kind == 0) return below(4);
    return std::floor(std::lognormal_distribution<double>(kind == 1 ? 3 : 9, 1)(random_));
  }
  void choose_weights() {
    const int slots = cluster.slots - cluster.closed;
    const int experts = 1 + below(chance(70) ? slots : std::min(slots, 24)), kind = below(3);
    const int count = chance(50) ? 1 : 2 + below(chance(30) ? 12 : 3);
    for (int t = 0; t < count; ++t) {
      windows.emplace_back(experts);
      const bool is_empty = chance(10);
      for (double& w : windows.back()) w = is_empty ? 0 : weight(kind);
    }
    layer.q = plain::soft_weights(windows);
    layer.home.assign(experts, -1);
    layer.prices = plain::Prices{{}, plain::price_weights(layer.q)};
    layer.prices->most_size = plain::most_size_of(plain::mean_time_of(layer));
  }

  std::mt19937 random_;
  int most_replicas = 0;
};

// The library's method, of which tests see the parts.
template <class Method> class SoftMethod : public Method {
 public:
  explicit SoftMethod(const SoftLayer& soft) : Method(soft.problem()) {
    solver::Arena count(nullptr);
    this->lay_out(count);
    memory_.reset(std::aligned_alloc(64, static_cast<size_t>(count.used() + 63) / 64 * 64),
                  std::free);
    std::fill_n(static_cast<char*>(memory_.get()), count.used(), 0x7f);
    solver::Arena arena(memory_.get());
    this->lay_out(arena);
    read_weights(soft);
    const auto& current = soft.current;
    search = solver::ExcessMethod::begin(team, current.empty() ? nullptr : current.data());
  }
  SoftMethod(const SoftMethod&) = delete;
  SoftMethod& operator=(const SoftMethod&) = delete;

  ShuffledTeam team{3};
  solver::LayerSearch search;

  // By group.
  std::vector<int> choose_homes() {
    const solver::NodesAndGroups of = search.nodes_and_groups();
    team.single([&] {
      if (this->problem.current.expert)
        solver::keep_homes_if_good(of);
      else
        solver::HomeSearch(of).run();
    });
    solver::price_groups(team, of);
    std::vector<int> home;
    for (int group = 0; group < search.groups; ++group)
      home.push_back(node(search.homes.home[group]));
    return home;
  }
  // The node that the caller means, of those that have GPUs if there are more than GPUs.
  int node(int number) const {
    int g = 0;
    if (search.nodes == this->problem.cluster.nodes) return number;
    while (search.homes.node[g] != number) ++g;
    return solver::node_of(this->problem.cluster, g);
  }
  // By slot; -1: nothing.
  std::vector<int> solve() {
    std::vector<int> slots(this->problem.cluster.slots);
    tests::solve_node(*this, team, {slots.data()});
    return slots;
  }
  // By number of moves.
  std::vector<int> path(int most) {
    std::vector<int> path(most + 1);
    tests::find_path(*this, team, most, {path.data()});
    return path;
  }
  int64_t time() { return this->aims_of(team, search.state).least(); }
  plain::Rows arranged(const plain::OldLayer& layer) const {
    plain::Rows at(layer.open.size());
    for (int g = 0; g < layer.gpus(); ++g)
      for (int row = 0; row < layer.open[g]; ++row)
        at[g].push_back(search.state.expert[layer.place(g, row)]);
    return at;
  }

 private:
  void read_weights(const SoftLayer& soft) {
    std::vector<double> sums(soft.windows[0].size()), all;
    for (const auto& window : soft.windows) {
      for (size_t e = 0; e < sums.size(); ++e) sums[e] += window[e];
      all.insert(all.end(), window.begin(), window.end());
    }
    this->read(team, solver::RealWeights{sums.data(), all.data(), std::ssize(sums)});
  }

  std::shared_ptr<void> memory_;
};

using SoftBest = SoftMethod<solver::FreshByExcess>;
using SoftRebalance = SoftMethod<solver::RebalanceMethod>;

}  // namespace eplb::tests
