// Section 7.9 of docs/algorithms.md as it is written: the search for counts on two slots per GPU.
// SortedReplicas, pairs, prices and the violation are computed for every proposal.
#pragma once

#include "tests/solver/plain_counts.h"

namespace eplb::tests::plain {

// Position i with S-1-i. A pair of one expert changes partners with the nearest pair outwards
// without it.
struct Pairing {
  std::vector<int> experts;  // by slot
  int64_t largest;

  Pairing(const Layer& layer, const SortedReplicas& p) : experts(layer.slots), largest(0) {
    const int pairs = layer.gpus;
    std::vector<int> partner(pairs);
    for (int i = 0; i < pairs; ++i) partner[i] = layer.slots - 1 - i;
    auto has = [&](int i, int e) { return p.expert[i] == e || p.expert[partner[i]] == e; };
    for (int i = pairs - 1; i >= 0; --i) {
      if (p.expert[i] != p.expert[partner[i]]) continue;
      int j = i - 1;
      while (j >= 0 && has(j, p.expert[i])) --j;
      if (j >= 0) std::swap(partner[i], partner[j]);
    }
    for (int i = 0; i < pairs; ++i) {
      experts[2 * i] = p.expert[i];
      experts[2 * i + 1] = p.expert[partner[i]];
      largest = std::max(largest, p.size[i] + p.size[partner[i]]);
    }
  }
};

class Fold {
 public:
  // use_prices: prices reject what would be rejected anyway, so the answer is the same without.
  Fold(const Layer& layer, int chain, const Counts& counts, bool use_prices = true)
      : layer_(layer), chain_(chain), use_prices_(use_prices), now_(counts), kept_(now_) {
    best_ = largest(SortedReplicas(layer_, now_));
    aim();
  }
  void run(int proposals) {
    for (int t = 0; t < proposals; ++t) propose();
  }
  SortedReplicas kept() const { return SortedReplicas(layer_, kept_); }

 private:
  int64_t pair(const SortedReplicas& p, int i) const {
    return p.size[i] + p.size[layer_.slots - 1 - i];
  }
  int64_t largest(const SortedReplicas& p) const {
    int64_t most = 0;
    for (int i = 0; i < layer_.gpus; ++i) most = std::max(most, pair(p, i));
    return most;
  }
  int64_t violation(const SortedReplicas& p) const {
    int64_t sum = 0;
    for (int i = 0; i < layer_.gpus; ++i) sum += std::max<int64_t>(0, pair(p, i) - target_);
    return sum;
  }
  void aim() {
    target_ = best_ - best_ * 6 / 1024;
    violation_ = violation(SortedReplicas(layer_, now_));
  }
  std::vector<int> split(const SortedReplicas& p) const {
    std::vector<int> experts;
    for (int s = 0; s < layer_.slots; ++s)
      if (p.count[p.expert[s]] > 1 && p.first[p.expert[s]] == s) experts.push_back(p.expert[s]);
    return experts;
  }
  std::vector<int> over(const SortedReplicas& p) const {
    std::vector<int> pairs;
    for (int i = 0; i < layer_.gpus; ++i)
      if (pair(p, i) > target_) pairs.push_back(i);
    return pairs;
  }

  // How much of the union of [max(T - A[S-1-i], T/2), A[i]) over the pairs above T is below r.
  int64_t too_many_below(const SortedReplicas& p, int64_t r) const {
    std::vector<std::pair<int64_t, int64_t>> intervals;
    for (const int i : over(p))
      intervals.push_back(
          {std::max(target_ - p.size[layer_.slots - 1 - i], target_ / 2), p.size[i]});
    std::sort(intervals.begin(), intervals.end());
    int64_t sum = 0, reached = 0;  // sizes below are counted
    for (const auto& [from, to] : intervals) {
      const int64_t low = std::max(from, reached), high = std::min(to, r);
      sum += std::max<int64_t>(0, high - low);
      reached = std::max(reached, to);
    }
    return sum;
  }
  int64_t price(const SortedReplicas& p, int e, int copies) const {
    const int64_t size = layer_.q[e] / copies;
    return copies * (too_many_below(p, size) - too_many_below(p, target_ - size));
  }
  bool cannot_help(const SortedReplicas& p, int a, int b) const {
    const int64_t give = price(p, a, p.count[a] - 1) - price(p, a, p.count[a]);
    const int64_t take = price(p, b, p.count[b] + 1) - price(p, b, p.count[b]);
    return give + take >= 0;
  }

  void propose() {
    const SortedReplicas p(layer_, now_);
    const uint32_t r1 = layer_.u(9, chain_, 2 * draws_), r2 = layer_.u(9, chain_, 2 * draws_ + 1);
    ++draws_;
    const std::vector<int> split = this->split(p), over = this->over(p);
    const int a = split[below(r1, static_cast<int64_t>(split.size()))];
    int b = below(r2, layer_.experts());
    if (!over.empty() && (r1 * 0x9E3779B1u) >> 27 < 26) {
      const int i = over[below(r2, static_cast<int64_t>(over.size()))];
      b = p.expert[r2 & 3 ? i : layer_.slots - 1 - i];
    }
    if (++since_ > 600) return kick(split);
    if (a == b || now_[b] >= layer_.most || (use_prices_ && cannot_help(p, a, b))) return;
    Counts changed = now_;
    --changed[a];
    ++changed[b];
    const SortedReplicas proposed(layer_, changed);
    if (violation(proposed) >= violation_) return;
    now_ = changed;
    violation_ = violation(proposed);
    keep_if_best();
    if (violation_ == 0) aim();
  }
  void keep_if_best() {
    const int64_t most = largest(SortedReplicas(layer_, now_));
    if (most >= best_) return;
    best_ = most;
    since_ = 0;
    kept_ = now_;
  }

  void kick(const std::vector<int>& split) {
    now_ = kept_;
    for (int i = 0; i < 3; ++i, draws_ += 2) {
      const uint32_t r = layer_.u(8, chain_, draws_), r2 = layer_.u(8, chain_, draws_ + 1);
      const int a = split[below(r, static_cast<int64_t>(split.size()))],
                b = below(r2, layer_.experts());
      if (a == b || now_[a] == 1 || now_[b] >= layer_.most) continue;
      --now_[a];
      ++now_[b];
    }
    since_ = 0;
    aim();
    keep_if_best();
  }

  const Layer& layer_;
  int chain_;
  bool use_prices_;
  Counts now_, kept_;
  int64_t best_ = 0, target_ = 0, violation_ = 0;
  int since_ = 0;
  uint32_t draws_ = 0;
};

}  // namespace eplb::tests::plain
