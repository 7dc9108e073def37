// EPLB_STRATEGY_BEST as section 7 of docs/algorithms.md defines it, to be compared with what the
// library does: efforts, chains and the winner.
#pragma once

#include "tests/solver/plain_chain.h"
#include "tests/solver/plain_fold.h"
#include "tests/solver/plain_presets.h"

namespace eplb::tests::plain {

struct Answer {
  std::vector<int> experts;  // by slot
  int64_t largest = int64_t{1} << 60;

  // Ties: the one that was first.
  void improve(int64_t other, const std::vector<int>& other_experts) {
    if (other >= largest) return;
    largest = other;
    experts = other_experts;
  }
};

class Best {
 public:
  // effort: 0 FAST, 1 NORMAL, 2 MAX.
  Best(const Layer& layer, int effort) : layer_(layer), effort_(effort) {}

  std::vector<int> solve() {
    const SortedReplicas dhondt(layer_, *count_by_rule(layer_, layer_.q, kRule[0]));
    if (layer_.places() == 1) return dhondt.expert;
    if (layer_.places() == 2 && layer_.slots == layer_.experts()) return fold_of_the_order(dhondt);
    if (layer_.places() == 2)
      search_folds(dhondt.count);
    else
      search_chains(dhondt);
    if (tiny() && layer_.slots > layer_.experts()) try_counts();
    return answer_.experts;
  }

 private:
  // Tiny problems are the library's own: there it also tries counts one by one, with the rounds
  // that the chains have left.
  bool tiny() const { return layer_.slots <= 24; }

  int fine() const { return effort_ == 2 ? 17 : 16; }

  int64_t budget() const {
    const int s = layer_.slots, g = layer_.gpus;
    const int64_t steps[] = {5 * (s + g) / 16, tiny() ? (s + g) / 2 : (4 * s + g) / 2,
                             (s > 128 ? 12 * s + g : 2 * s + g) / 2};
    return steps[effort_];
  }

  std::vector<int> fold_of_the_order(const SortedReplicas& p) const {
    std::vector<int> experts;
    for (int g = 0; g < layer_.gpus; ++g)
      experts.insert(experts.end(), {p.expert[g], p.expert[layer_.slots - 1 - g]});
    return experts;
  }

  void search_chains(const SortedReplicas& dhondt) {
    const int chains[] = {tiny() ? 1 : 2, tiny() ? 1 : 3,
                          layer_.slots > 128 ? 4
                          : tiny()           ? 8
                                             : 24},
              slack[] = {100, 400, 32768};
    lower_ = std::max(layer_.mean(), layer_.slots == layer_.experts()
                                         ? bound(layer_, dhondt)
                                         : dhondt.size[0] + dhondt.smallest(layer_.places() - 1));
    for (int m = 0; m < chains[effort_]; ++m) {
      const SortedReplicas positions(layer_, counts_of_chain(m));
      Chain chain(layer_, m, positions, fine());
      chain.run(budget());
      spent_ += chain.spent();
      answer_.improve(chain.best(), chain.experts());
      if (answer_.largest <= lower_ + lower_ / slack[effort_]) return;
    }
    if (effort_ < 2 || layer_.slots != layer_.experts() || layer_.slots > 128) return;
    Presets(layer_).each([&](const Packed& packed) {
      answer_.improve(packed.largest(), packed.experts());
      return answer_.largest > lower_ + lower_ / slack[effort_];
    });
  }

  int64_t bound_of(const std::optional<Counts>& counts) const {
    return counts ? bound(layer_, SortedReplicas(layer_, *counts)) : int64_t{1} << 60;
  }
  Counts counts_of_chain(int m) const {
    const int64_t good = lower_ + lower_ / 400;
    const std::optional<Counts> own = m < kRules
                                          ? count_by_rule(layer_, layer_.q, kRule[m])
                                          : count_by_noisy_rule(layer_, kRule[m % kRules], 1, m);
    if (bound_of(own) <= good) return *own;
    int f = 0;
    for (int i = 1; i < kRules; ++i)
      if (bound_of(count_by_rule(layer_, layer_.q, kRule[i])) <
          bound_of(count_by_rule(layer_, layer_.q, kRule[f])))
        f = i;
    const std::optional<Counts> least = count_by_rule(layer_, layer_.q, kRule[f]);
    const std::optional<Counts> noisy = count_by_noisy_rule(layer_, kRule[f], 3, m);
    if (m > 0 && noisy && bound_of(noisy) <= std::max(good, bound_of(least))) return *noisy;
    return *least;
  }

  // Chains are compared after pairs of one expert are parted: by what they would answer.
  void search_folds(const Counts& dhondt) {
    const int chains[] = {1, 1, 4},
              proposals[] = {3 * layer_.slots / 4, (tiny() ? 2 : 4) * layer_.slots,
                             10 * layer_.slots};
    for (int m = 0; m < chains[effort_]; ++m) {
      Fold fold(layer_, m, dhondt);
      fold.run(proposals[effort_]);
      const Pairing pairing(layer_, fold.kept());
      answer_.improve(pairing.largest, pairing.experts);
    }
  }

  // Counts in lexicographic order, most extras for the heaviest experts first. Each expert has as
  // many copies as a largest load below the answer so far takes.
  void try_counts() {
    const int quarters[] = {1, 4, 97};
    rounds_left_ = quarters[effort_] * layer_.slots / 4 - spent_;
    if (layer_.places() == 2) try_rules();
    if (answer_.largest == 0) return;
    std::vector<int> order(layer_.experts());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return layer_.q[a] > layer_.q[b]; });
    Counts counts(layer_.experts());
    for (int e = 0; e < layer_.experts(); ++e)
      counts[e] = static_cast<int>(layer_.q[e] / answer_.largest) + 1;
    const int extras = layer_.slots - std::accumulate(counts.begin(), counts.end(), 0);
    if (extras >= 0) try_extras(order, 0, extras, counts);
  }
  void try_rules() {
    for (int rule = kRules - 1; rule > 0 && rounds_left_ > 0; --rule) {
      rounds_left_ -= 4;
      const std::optional<Counts> counts = count_by_rule(layer_, layer_.q, kRule[rule]);
      if (bound_of(counts) >= answer_.largest) continue;
      const Pairing pairing(layer_, SortedReplicas(layer_, *counts));
      answer_.improve(pairing.largest, pairing.experts);
    }
  }
  void try_extras(const std::vector<int>& order, int from, int extras, Counts& counts) {
    if (from + 1 == layer_.experts()) {
      counts[order[from]] += extras;
      if (rounds_left_ > 0) try_these(counts);
      counts[order[from]] -= extras;
      return;
    }
    for (int x = extras; x >= 0 && rounds_left_ > 0; --x) {
      counts[order[from]] += x;
      try_extras(order, from + 1, extras - x, counts);
      counts[order[from]] -= x;
    }
  }
  void try_these(const Counts& counts) {
    rounds_left_ -= 4;
    if (*std::max_element(counts.begin(), counts.end()) > layer_.most) return;
    const SortedReplicas positions(layer_, counts);
    if (bound(layer_, positions) >= answer_.largest) return;
    if (layer_.places() == 2) {
      const Pairing pairing(layer_, positions);
      return answer_.improve(pairing.largest, pairing.experts);
    }
    Chain chain(layer_, 0, positions, fine());
    rounds_left_ -= 4;
    chain.run(std::min<int64_t>(20, rounds_left_));
    rounds_left_ -= chain.spent();
    answer_.improve(chain.best(), chain.experts());
  }

  const Layer& layer_;
  int effort_;
  int64_t lower_ = 0;
  Answer answer_;
  int64_t spent_ = 0, rounds_left_ = 0;
};

}  // namespace eplb::tests::plain
