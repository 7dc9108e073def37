// Where a rebalance begins and how it ends, as sections 12.1, 12.2 and 12.10 of docs/algorithms.md
// define it.
#pragma once

#include <numeric>

#include "tests/solver/plain_step.h"

namespace eplb::tests::plain {

// Section 14.1: windows with weight; fewer than two are not balanced apart.
inline std::vector<Weights> windows_of(const std::vector<std::vector<double>>& windows) {
  std::vector<Weights> q;
  for (const auto& window : windows)
    if (std::any_of(window.begin(), window.end(), [](double w) { return w > 0; }))
      q.push_back(quantised(window));
  for (Weights& window : q) {
    const int64_t sum = std::accumulate(window.begin(), window.end(), int64_t{0});
    const int64_t all = (int64_t{1} << 28) / std::ssize(q);
    for (int64_t& w : window) w = std::max<int64_t>(1, w * all / sum);
  }
  return q;
}
// What a fresh placement is made for: the sum of windows that are balanced apart, or of all.
inline std::vector<double> sums_of(const std::vector<std::vector<double>>& windows,
                                   const std::vector<Weights>& apart) {
  std::vector<double> sums(windows[0].size());
  for (size_t e = 0; e < sums.size(); ++e) {
    if (apart.size() < 2)
      for (const auto& window : windows) sums[e] += window[e];
    else
      for (const Weights& window : apart) sums[e] += static_cast<double>(window[e]);
  }
  return sums;
}

// Section 12.1: homes of groups on nodes.
inline void choose_homes(OldLayer& layer, int nodes, int groups) {
  const int each = layer.experts() / groups;
  std::vector<int> used(nodes);
  for (int group = 0; group < groups; ++group) {
    std::vector<int> pairs(nodes);
    for (int g = 0; g < layer.gpus(); ++g)
      for (int e = group * each; e < (group + 1) * each; ++e)
        pairs[layer.node[g]] += layer.had(g, e);
    int home = -1;
    for (int node = 0; node < nodes; ++node)
      if (used[node] < groups / nodes && (home < 0 || pairs[node] > pairs[home])) home = node;
    ++used[home];
    std::fill_n(layer.home.begin() + group * each, each, home);
  }
}

// Section 12.1: the mean time of the heaviest window, in parts of 2^-8, and rounded up.
inline int64_t parts_of_mean_time(const OldLayer& layer) {
  int64_t sum = 0, paces = 0;
  for (const Weights& q : layer.q)
    sum = std::max(sum, std::accumulate(q.begin(), q.end(), int64_t{0}));
  for (int g = 0; g < layer.gpus(); ++g)
    if (layer.open[g] > 0) paces += layer.pace[g];
  return (sum << 24) / paces;
}
inline int64_t mean_time_of(const OldLayer& layer) {
  return (parts_of_mean_time(layer) + 255) / 256;
}

struct RebalanceAsk {
  int64_t budget = kAny;        // max_moves, or what the layer has of max_moves_total
  int target = 0, price = 0;    // in parts of 2^-20; 0: none
  bool shares_a_total = false;  // is there a limit on all moves?
  bool allow_empty = false;
  int effort = 0;  // 0 FAST, 1 NORMAL, 2 MAX
  uint64_t seed = 0;
};

class RebalanceStart {
 protected:
  RebalanceStart(const OldLayer& layer, const RebalanceAsk& ask)
      : layer_(layer), ask_(ask), now_(layer_), budget_(ask.budget) {
    choose_times();
  }

  bool is_limited() const { return budget_ < int64_t{layer_.gpus()} * layer_.rows; }
  void choose_times() {
    const int64_t mean_time = parts_of_mean_time(layer_), f = ask_.target;
    mean_ = least_ = asked_ = mean_time_of(layer_);
    if (f == 0) return;
    const int64_t t = f < 32 << 20 ? mean_time * f >> 28 : mean_time * (f / 32) >> 23;
    asked_ = std::max(mean_, t - std::min<int64_t>(2 * layer_.rows, t / 1024));
    least_ = std::min(asked_, int64_t{1} << 30);
  }
  bool is_kept(int g, int row) const {
    const auto& was = layer_.was[g];
    return was[row] >= 0 && layer_.may_be_on(g, was[row]) &&
           std::find(was.begin(), was.begin() + row, was[row]) == was.begin() + row;
  }
  bool start() {
    std::vector<int> keepers(layer_.experts());
    for (int g = 0; g < layer_.gpus(); ++g)
      for (int row = 0; row < layer_.rows; ++row)
        if (is_kept(g, row)) ++keepers[layer_.was[g][row]];
    now_.at.assign(layer_.open.size(), {});
    for (int g = 0; g < layer_.gpus(); ++g) keep_on(g, keepers);
    now_.aim(asked_);
    now_.most_empty = ask_.allow_empty ? kAny : now_.empty();
    return create_lost();
  }
  void keep_on(int g, std::vector<int>& keepers) {
    std::vector<int> rows;
    for (int row = 0; row < layer_.rows; ++row)
      if (is_kept(g, row)) rows.push_back(row);
    auto expert = [&](int row) { return layer_.was[g][row]; };
    while (static_cast<int>(rows.size()) > layer_.open[g]) {
      auto order = [&](int row) {
        const int e = expert(row);
        return std::pair(keepers[e] == 1, layer_.weight(e) / keepers[e]);
      };
      const auto first = std::min_element(
          rows.begin(), rows.end(), [&](int one, int other) { return order(one) < order(other); });
      --keepers[expert(*first)];
      rows.erase(first);
    }
    auto& at = now_.at[g];
    at.assign(layer_.open[g], layer_.none());
    for (const int row : rows)
      if (row < layer_.open[g]) at[row] = expert(row);
    for (const int row : rows)
      if (row >= layer_.open[g]) *std::find(at.begin(), at.end(), layer_.none()) = expert(row);
    for (int row = 0; row < layer_.open[g]; ++row)
      if (at[row] == layer_.none() && now_.holds(g, expert(row))) at[row] = expert(row);
  }
  bool create_lost() {
    for (bool fits = true;;) {
      const std::vector<int> copies = now_.copies();
      int lost = -1;
      for (int e = 0; e < layer_.experts(); ++e)
        if (copies[e] == 0 && (lost < 0 || layer_.weight(e) > layer_.weight(lost))) lost = e;
      if (lost < 0) return fits;
      if (create(lost, copies, layer_.most_arrivals)) continue;
      fits = false;
      create(lost, copies, kAny);
    }
  }
  // What an expert's first place brings: section 15.2 where there are prices.
  // Its own oversize is the same everywhere.
  int64_t burden_of(const Arranged& then, int lost) const {
    if (!layer_.prices) return then.excess();
    const int64_t growth =
        then.excess() + then.oversize() - now_.excess() - now_.oversize() - now_.oversize(lost, 1);
    return 20 * std::min(int64_t{1} << 25, growth) + then.cost() - now_.cost();
  }
  bool create(int lost, const std::vector<int>& copies, int64_t most_arrivals) {
    Arranged best = now_;
    int64_t least = kAny;
    for (int row = 0; row < layer_.rows; ++row)
      for (int g = 0; g < layer_.gpus(); ++g) {
        if (row >= layer_.open[g] || !layer_.may_be_on(g, lost)) continue;
        const int before = now_.at[g][row];
        if (before != layer_.none() && copies[before] < 2) continue;
        if (now_.arrivals(g) >= most_arrivals) continue;
        Arranged then = now_;
        then.at[g][row] = lost;
        const int64_t burden = burden_of(then, lost);
        if (burden >= least) continue;
        least = burden;
        best = then;
      }
    now_ = best;
    return least < kAny;
  }
  std::vector<int> slots() const {
    std::vector<int> all;
    for (int g = 0; g < layer_.gpus(); ++g) {
      std::vector<int> left = now_.at[g], slots(layer_.rows, -1);
      left.erase(std::remove(left.begin(), left.end(), layer_.none()), left.end());
      for (int row = 0; row < layer_.open[g]; ++row) {
        const auto stays = std::find(left.begin(), left.end(), layer_.was[g][row]);
        if (stays == left.end()) continue;
        slots[row] = *stays;
        left.erase(stays);
      }
      std::sort(left.begin(), left.end());
      for (const int e : left) *std::find(slots.begin(), slots.end(), -1) = e;
      all.insert(all.end(), slots.begin(), slots.end());
    }
    return all;
  }

  OldLayer layer_;
  RebalanceAsk ask_;
  Arranged now_;
  int64_t budget_, mean_ = 0;
  int64_t asked_ = 0, least_ = 0;  // the target, or the mean; least_: at most the longest time
};

}  // namespace eplb::tests::plain
