// Any state of a search by excess, to compare its steps with their plain definition.
#pragma once

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "tests/solver/plain_step.h"

namespace eplb::tests {

inline int draw_below(std::mt19937& random, int n) { return static_cast<int>(random() % n); }

// Any arrangement that can be: some experts stay, some have moved, some have many copies.
struct AnyState {
  plain::OldLayer layer;
  Cluster cluster;
  std::vector<int> gpu_slots, gpu_pace, gpu_node;
  plain::Arranged now{layer};
  plain::StepAsk ask{};
  int aim = 0;

  explicit AnyState(uint32_t seed) : random_(seed) {
    choose_cluster();
    choose_experts();
    fill();
    remember();
    choose_limits();
  }
  AnyState(const AnyState&) = delete;
  AnyState& operator=(const AnyState&) = delete;

  Problem problem() const {
    Problem problem;
    problem.experts = layer.experts();
    problem.windows_apart = static_cast<int>(layer.q.size());
    problem.cluster = cluster;
    if (layer.prices) problem.limits.policy = EPLB_POLICY_SOFT;
    return problem;
  }

 protected:
  int below(int n) { return draw_below(random_, n); }
  bool chance(int percent) { return below(100) < percent; }
  void choose_limits() {
    const std::vector<int64_t> load = now.loads()[0];
    const int64_t most = now.time(), sum = std::accumulate(load.begin(), load.end(), int64_t{0});
    const int64_t mean = sum / layer.gpus();
    aim = static_cast<int>(chance(15) ? below(static_cast<int>(mean) + 1)
                                      : mean + (most - mean) * below(101) / 100);
    layer.most_copies = chance(30) ? 1 + below(4) : layer.gpus();
    layer.most_arrivals = chance(50) ? below(4) : plain::kAny;
    now.most_empty = chance(50) ? plain::kAny : below(now.empty() + 2);
    now.aim(aim);
    ask = {chance(50) ? plain::kAny : now.moves() + below(5) - 2, chance(70),
           chance(50) ? 0 : static_cast<uint32_t>(1 + below(2000))};
  }

 private:
  void choose_cluster() {
    const int gpus = 2 + below(chance(10) ? 40 : 10);
    layer.rows = 1 + below(6);
    const bool closed = chance(30), paced = chance(30), nodes = chance(30);
    for (int g = 0; g < gpus; ++g) {
      gpu_slots.push_back(closed && chance(40) ? below(layer.rows + 1) : layer.rows);
      gpu_pace.push_back(paced ? 1 + below(kFastest) : kFastest);
      gpu_node.push_back(nodes ? below(3) : 0);
    }
    gpu_slots[0] = layer.rows;
    layer.open = gpu_slots;
    layer.pace = gpu_pace;
    layer.node = gpu_node;
    const int slots = std::accumulate(gpu_slots.begin(), gpu_slots.end(), 0);
    cluster = {.slots = gpus * layer.rows,
               .gpus = gpus,
               .nodes = 3,
               .gpu_slots = closed ? gpu_slots.data() : nullptr,
               .gpu_node = gpu_node.data(),
               .gpu_pace = paced ? gpu_pace.data() : nullptr,
               .closed = gpus * layer.rows - slots};
  }
  // From ties everywhere to a few that weigh nearly all.
  void choose_experts() {
    const int slots = cluster.slots - cluster.closed;
    const int experts = 1 + (chance(30) ? below(slots) : slots * (50 + below(51)) / 101);
    const int windows = chance(50) ? 1 : 2 + below(5);
    for (int t = 0; t < windows; ++t) layer.q.push_back(any_weights(experts, windows));
    layer.home.assign(experts, -1);
  }
  plain::Weights any_weights(int experts, int windows) {
    const int kind = below(4);
    std::lognormal_distribution<double> lognormal(8, 1.2);
    plain::Weights q;
    for (int e = 0; e < experts; ++e)
      q.push_back(kind == 0   ? 1 + below(4)
                  : kind == 1 ? 1 + below((1 << 20) / windows)
                  : kind == 2 ? static_cast<int64_t>(lognormal(random_)) + 1
                  : e < 2     ? ((1 << 27) + below(1 << 26)) / windows
                              : 1 + below(1000));
    return q;
  }
  // Each expert once, then copies and voids.
  void fill() {
    std::vector<std::pair<int, int>> free;
    now.at.resize(layer.open.size());
    for (int g = 0; g < layer.gpus(); ++g) {
      now.at[g].assign(layer.open[g], layer.none());
      for (int row = 0; row < layer.open[g]; ++row) free.push_back({g, row});
    }
    std::shuffle(free.begin(), free.end(), random_);
    const int favourite = below(layer.experts()), empty = chance(50) ? below(30) : 0;
    const bool together = chance(30);
    for (size_t i = 0; i < free.size(); ++i) {
      const auto [g, row] = free[i];
      const int e = static_cast<int>(i) < layer.experts() ? static_cast<int>(i)
                    : chance(20)                          ? favourite
                                                          : below(layer.experts());
      if (static_cast<int>(i) < layer.experts() ||
          ((together || !now.holds(g, e)) && !chance(empty)))
        now.at[g][row] = e;
    }
    if (chance(30))
      for (int e = 0; e < layer.experts(); ++e)
        if (const int node = only_node(e); node >= 0 && chance(70)) layer.home[e] = node;
  }
  int only_node(int e) const {
    int node = -1;
    for (int g = 0; g < layer.gpus(); ++g)
      if (now.holds(g, e)) {
        if (node >= 0 && node != layer.node[g]) return -1;
        node = layer.node[g];
      }
    return node;
  }
  // Duplicates of the current placement, and what closed slots held, too.
  void remember() {
    const int stays = below(101);
    layer.was.assign(layer.open.size(), std::vector<int>(layer.rows, -1));
    for (int g = 0; g < layer.gpus(); ++g)
      for (int row = 0; row < layer.rows; ++row) {
        const int here = row < layer.open[g] ? now.at[g][row] : layer.none();
        const bool kept = chance(stays) && here != layer.none();
        layer.was[g][row] = kept ? here : chance(80) ? below(layer.experts()) : -1;
      }
  }

  std::mt19937 random_;
};

}  // namespace eplb::tests
