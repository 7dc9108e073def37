// Policy SOFT as section 15 of docs/algorithms.md defines it: weights, homes of groups, prices, and
// where a fresh placement begins. All assignments of homes are tried; slow on purpose.
#pragma once

#include <numeric>

#include "tests/solver/plain_steps.h"

namespace eplb::tests::plain {

// Makes room for costs next to loads.
inline std::vector<Weights> scaled(std::vector<Weights> q) {
  const int64_t all = std::min(int64_t{1} << 23, (int64_t{1} << 26) / std::ssize(q));
  for (Weights& window : q) {
    const int64_t sum = std::accumulate(window.begin(), window.end(), int64_t{0});
    for (int64_t& w : window) w = std::max<int64_t>(1, w * all / sum);
  }
  return q;
}
// Of windows that are balanced apart, or of their sum.
inline std::vector<Weights> soft_weights(const std::vector<std::vector<double>>& windows) {
  std::vector<Weights> q = windows_of(windows);
  if (q.size() < 2) q = {quantised(sums_of(windows, {}))};
  return scaled(q);
}
// What prices are multiplied by.
inline Weights price_weights(const std::vector<Weights>& q) {
  Weights v(q[0].size());
  for (size_t e = 0; e < v.size(); ++e) {
    int64_t sum = 0;
    for (const Weights& window : q) sum += window[e];
    v[e] = std::max<int64_t>(1, sum / std::ssize(q) / 64);
  }
  return v;
}
// The largest size of a replica that is none too large, of the mean time rounded up.
inline int64_t most_size_of(int64_t mean) { return 4 * mean / 5; }

// Groups of consecutive experts, whose numbers differ by one at most.
inline int group_of(int e, int groups, int experts) {
  return static_cast<int>(int64_t{e} * groups / experts);
}

// Everything is free at home and costs 64 elsewhere.
inline std::vector<std::vector<int>> prices_of(const std::vector<int>& home, int nodes,
                                               int experts) {
  std::vector<std::vector<int>> price(nodes, std::vector<int>(experts, 64));
  for (int e = 0; e < experts; ++e)
    price[home[group_of(e, static_cast<int>(home.size()), experts)]][e] = 0;
  return price;
}

// Which nodes groups may be at home on, and how good that is.
class Homes {
 public:
  // What is above the caps of nodes, in all and where it is most. Less is better.
  using Above = std::pair<int64_t, int64_t>;

  // target: in parts of 2^-20. The layer has prices.
  Homes(const OldLayer& layer, int nodes, int groups, int64_t target)
      : pairs_(groups, std::vector<int>(nodes)), load_(groups), cap_(nodes), most_(nodes) {
    number_nodes(layer, nodes);
    for (int e = 0; e < layer.experts(); ++e)
      load_[group_of(e, groups, layer.experts())] += layer.prices->weight[e];
    for (int g = 0; g < layer.gpus(); ++g)
      for (int e = 0; e < layer.experts(); ++e)
        pairs_[group_of(e, groups, layer.experts())][layer.node[g]] += layer.had(g, e);
    std::vector<int64_t> pace(nodes), slots(nodes);
    for (int g = 0; g < layer.gpus(); ++g) {
      slots[layer.node[g]] += layer.open[g];
      if (layer.open[g] > 0) pace[layer.node[g]] += layer.pace[g];
    }
    const int64_t paces = std::accumulate(pace.begin(), pace.end(), int64_t{0});
    const int64_t all = std::accumulate(slots.begin(), slots.end(), int64_t{0});
    for (int n = 0; n < nodes; ++n) {
      cap_[n] = (total() * target >> 20) * pace[n] / paces;
      most_[n] = (groups * slots[n] + all - 1) / all;
    }
  }

  // What all groups weigh.
  int64_t total() const { return std::accumulate(load_.begin(), load_.end(), int64_t{0}); }
  // Of a node: what its groups may weigh.
  int64_t cap(int node) const { return cap_[node]; }
  // home: by group.
  bool is_allowed(const std::vector<int>& home) const {
    for (int n = 0; n < nodes(); ++n)
      if (std::count(home.begin(), home.end(), n) > most_[n]) return false;
    return std::all_of(home.begin(), home.end(), [&](int n) { return n >= 0 && n < nodes(); });
  }
  Above above(const std::vector<int>& home) const {
    std::vector<int64_t> on(cap_.size());
    for (size_t group = 0; group < home.size(); ++group) on[home[group]] += load_[group];
    Above above(0, -kAny);
    for (const int n : number_) {
      above.first += std::max<int64_t>(0, on[n] - cap_[n]);
      above.second = std::max(above.second, on[n] - cap_[n]);
    }
    return above;
  }
  // In order of groups, the node that has most of it in the current placement.
  std::vector<int> kept() const {
    std::vector<int> home;
    for (const std::vector<int>& pairs : pairs_) {
      int best = -1;
      for (const int n : number_)
        if (std::ranges::count(home, n) < most_[n] && (best < 0 || pairs[n] > pairs[best]))
          best = n;
      home.push_back(best);
    }
    return home;
  }
  // Of all assignments.
  Above least() const {
    std::vector<int> home(load_.size());
    for (Above least(kAny, kAny);;) {
      if (is_allowed(home)) least = std::min(least, above(home));
      size_t group = 0;
      while (group < home.size() && ++home[group] == nodes()) home[group++] = 0;
      if (group == home.size()) return least;
    }
  }

 private:
  int nodes() const { return static_cast<int>(cap_.size()); }
  // Of more nodes than GPUs, those that have some count, in order of their first one.
  void number_nodes(const OldLayer& layer, int nodes) {
    number_.resize(nodes);
    std::iota(number_.begin(), number_.end(), 0);
    if (nodes <= layer.gpus()) return;
    number_.clear();
    for (const int n : layer.node)
      if (std::ranges::count(number_, n) == 0) number_.push_back(n);
  }

  std::vector<std::vector<int>> pairs_;     // [group][node] of the current placement
  std::vector<int64_t> load_, cap_, most_;  // by group; by node
  std::vector<int> number_;                 // nodes in their order
};

// Every expert at home, as far as there is room.
class SoftStart : protected RebalanceSteps {
 public:
  // home: by group.
  SoftStart(const OldLayer& layer, const RebalanceAsk& ask, std::vector<int> home, int nodes)
      : RebalanceSteps(layer, ask), home_(std::move(home)), nodes_(nodes) {}

  // Experts that find no room at home go where they cost least.
  const Arranged& start_at_home() {
    now_.at.clear();
    for (int g = 0; g < layer_.gpus(); ++g) now_.at.emplace_back(layer_.open[g], layer_.none());
    for (int n = 0; n < nodes_; ++n) place_at_home(n);
    now_.most_empty = 0;
    now_.aim(asked_);
    create_lost();
    return now_;
  }

 private:
  void place_at_home(int node) {
    std::vector<int> experts;
    for (int e = 0; e < layer_.experts(); ++e)
      if (home_[group_of(e, static_cast<int>(home_.size()), layer_.experts())] == node)
        experts.push_back(e);
    std::stable_sort(experts.begin(), experts.end(),
                     [&](int e, int f) { return layer_.weight(e) > layer_.weight(f); });
    int64_t slots = 0;
    for (int g = 0; g < layer_.gpus(); ++g)
      if (layer_.node[g] == node) slots += layer_.open[g];
    for (const int e : experts) place_on(node, e, std::ssize(experts), slots);
  }
  void place_on(int node, int e, int64_t experts, int64_t slots) {
    int best = -1;
    for (int g = 0; g < layer_.gpus(); ++g) {
      if (layer_.node[g] != node || layer_.open[g] == 0) continue;
      const int64_t share = (experts * layer_.open[g] + slots - 1) / slots;
      if (held(g) < std::min<int64_t>(layer_.open[g], share) && (best < 0 || time(g) < time(best)))
        best = g;
    }
    if (best >= 0) now_.at[best][held(best)] = e;
  }
  int held(int g) const {
    return static_cast<int>(std::ssize(now_.at[g]) -
                            std::count(now_.at[g].begin(), now_.at[g].end(), layer_.none()));
  }
  int64_t time(int g) const {
    int64_t load = 0;
    for (const int e : now_.at[g])
      if (e != layer_.none()) load += layer_.weight(e);
    return load * kFastestPace / layer_.pace[g];
  }

  std::vector<int> home_;  // by group
  int nodes_;
};

}  // namespace eplb::tests::plain
