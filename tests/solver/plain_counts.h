// Sections 1, 7.1 and 7.2 of docs/algorithms.md as they are written: weights as integers, rules for
// replica counts, positions, the bound of counts. No windows, no vectors, no estimates; slow on
// purpose. What BEST's shortcuts are compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

#include "solver/team/random.h"

namespace eplb::tests::plain {

using Counts = std::vector<int>;  // replicas by expert
using Weights = std::vector<int64_t>;

// round(weight * 2^p), at least 1, with the largest p for which the sum stays below 2^29. A layer
// of zeros counts as ones.
inline Weights quantised(std::vector<double> weights) {
  if (*std::max_element(weights.begin(), weights.end()) == 0) weights.assign(weights.size(), 1);
  const double largest = *std::max_element(weights.begin(), weights.end());
  for (int p = 29 - std::ilogb(largest);; --p) {
    Weights q;
    for (const double w : weights)
      q.push_back(
          std::max<int64_t>(1, static_cast<int64_t>(std::floor(std::ldexp(1.0L * w, p) + 0.5L))));
    if (std::accumulate(q.begin(), q.end(), int64_t{0}) < int64_t{1} << 29) return q;
  }
}

// One layer, or a node of one.
struct Layer {
  Weights q;
  int slots, gpus;
  int most;  // copies that an expert may have
  uint64_t seed;

  // max_replicas: 0 means no cap. Experts that are too few for the slots have more copies than
  // there are GPUs.
  Layer(const std::vector<double>& weights, int s, int g, int max_replicas, uint64_t random_seed)
      : q(quantised(weights)), slots(s), gpus(g), seed(random_seed) {
    const int round = (slots + experts() - 1) / experts();
    most = std::max(max_replicas > 0 ? std::min(gpus, max_replicas) : gpus, round);
  }
  int experts() const { return static_cast<int>(q.size()); }
  int places() const { return slots / gpus; }
  int64_t mean() const { return std::accumulate(q.begin(), q.end(), int64_t{0}) / gpus; }
  uint32_t u(int stage, int chain, uint32_t draw) const {
    return solver::Chance{seed, static_cast<uint32_t>(stage), 0,
                          static_cast<uint32_t>(chain)}(draw);
  }
};

inline int below(uint32_t u, int64_t n) {
  return static_cast<int>(uint64_t{u} * static_cast<uint64_t>(n) >> 32);
}

struct Rule {
  int floors, b;
};
inline constexpr int kRules = 8;
inline constexpr Rule kRule[kRules] = {{0, 0},  {0, 16}, {17, -14}, {0, 4},
                                       {0, -6}, {0, 8},  {0, -10},  {20, -14}};

// One for each expert, or what a rule with floors wants; nothing if the rule fails.
inline std::optional<Counts> floors(const Layer& layer, const Weights& q, Rule rule) {
  Counts c(q.size(), 1);
  if (rule.floors == 0) return c;
  Weights ascending = q;
  std::sort(ascending.begin(), ascending.end());
  int64_t fill = 0;
  for (int i = 0; i < std::min(layer.places() - 1, layer.experts()); ++i) fill += ascending[i];
  const int64_t cap = (layer.mean() + layer.mean() / 1000 - fill) * rule.floors / 20;
  if (cap <= 0) return std::nullopt;
  for (int e = 0; e < layer.experts(); ++e) {
    if (q[e] <= cap) continue;
    const int64_t copies = (q[e] + cap - 1) / cap;
    if (copies > layer.most) return std::nullopt;
    c[e] = static_cast<int>(copies);
  }
  return c;
}

inline std::optional<Counts> count_by_rule(const Layer& layer, const Weights& q, Rule rule) {
  std::optional<Counts> c = floors(layer, q, rule);
  if (!c) return c;
  int64_t extras = layer.slots - std::accumulate(c->begin(), c->end(), int64_t{0});
  if (extras < 0) return std::nullopt;
  for (; extras > 0; --extras) {
    int64_t largest = -1;
    int chosen = -1;
    for (int e = 0; e < layer.experts(); ++e) {
      const int64_t priority = 8 * q[e] / (16 * (*c)[e] + rule.b);
      if ((*c)[e] >= layer.most || priority <= largest) continue;
      largest = priority;
      chosen = e;
    }
    ++(*c)[chosen];
  }
  return c;
}

inline std::optional<Counts> count_by_noisy_rule(const Layer& layer, Rule rule, int depth,
                                                 int chain) {
  Weights less = layer.q;
  for (int e = 0; e < layer.experts(); ++e)
    less[e] -=
        static_cast<int64_t>(layer.q[e] * uint64_t{layer.u(3, chain, e) >> 8} >> (24 + depth));
  return count_by_rule(layer, less, rule);
}

// Replicas by (size descending, expert).
struct SortedReplicas {
  Counts count;
  std::vector<int64_t> size;       // by position
  std::vector<int> expert, first;  // by position; by expert

  SortedReplicas(const Layer& layer, Counts counts)
      : count(std::move(counts)), first(count.size()) {
    std::vector<int> order(count.size());
    std::iota(order.begin(), order.end(), 0);
    auto share = [&](int e) { return layer.q[e] / count[e]; };
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return share(a) > share(b); });
    for (const int e : order) {
      first[e] = static_cast<int>(size.size());
      size.insert(size.end(), count[e], share(e));
      expert.insert(expert.end(), count[e], e);
    }
  }
  int64_t largest(int n) const {
    return std::accumulate(size.begin(), size.begin() + n, int64_t{0});
  }
  int64_t smallest(int n) const { return std::accumulate(size.end() - n, size.end(), int64_t{0}); }
};

// No placement of these counts has a largest load below.
inline int64_t bound(const Layer& layer, const SortedReplicas& p) {
  constexpr int kDepth = 64;
  const int g = layer.gpus, k = layer.places();
  int64_t bound = (p.largest(layer.slots) + g - 1) / g;
  for (int j = 0; j < std::min(k, kDepth); ++j)
    bound = std::max(bound, p.largest(j * g + 1) - p.largest(j * g - j) + p.smallest(k - 1 - j));
  for (int m = 2; m <= g && k > 1; ++m) {
    const int64_t apart = (p.largest(m) + p.smallest((k - 1) * m) + m - 1) / m;
    bound = std::max(bound, std::min(apart, p.size[m - 1] + p.size[m - 2] + p.smallest(k - 2)));
  }
  return bound;
}

}  // namespace eplb::tests::plain
