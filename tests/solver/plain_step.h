// Sections 12.1 and 12.3 of docs/algorithms.md as they are written, and what section 15 adds to
// them: an arrangement, and the choice of a step. Loads and costs are recounted for every change
// that there could be; slow on purpose.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "tests/solver/plain_counts.h"

namespace eplb::tests::plain {

inline constexpr int64_t kAny = int64_t{1} << 40;  // more than there are of anything
inline constexpr int kFastestPace = 1 << 16;

using Rows = std::vector<std::vector<int>>;  // by GPU and row

// What it costs that an expert is on a node, and how large a replica should be.
struct Prices {
  std::vector<std::vector<int>> of;  // [node][expert], 0 to 64
  Weights weight;                    // by expert: what a price is multiplied by
  int64_t most_size = kAny;          // in each window; more is oversize
};

// A layer that has a current placement. The void is the number of experts.
struct OldLayer {
  std::vector<Weights> q;             // by window
  int rows = 0;                       // of a GPU
  std::vector<int> open, pace, node;  // by GPU
  std::vector<int> home;              // by expert: the only node; -1: any
  Rows was;                           // an expert or -1, nothing
  int64_t most_copies = kAny, most_arrivals = kAny;
  int64_t max_replicas = kAny;  // most_copies counts GPUs, too
  std::optional<Prices> prices;

  int gpus() const { return static_cast<int>(open.size()); }
  int experts() const { return static_cast<int>(q[0].size()); }
  int64_t weight(int e) const {  // of all windows
    int64_t sum = 0;
    for (const Weights& window : q) sum += window[e];
    return sum;
  }
  int none() const { return experts(); }
  int stride() const { return (gpus() + 15) / 16 * 16; }
  int place(int g, int row) const { return row * stride() + g; }
  bool had(int g, int e) const {
    return std::find(was[g].begin(), was[g].end(), e) != was[g].end();
  }
  bool may_be_on(int g, int e) const { return home[e] < 0 || home[e] == node[g]; }
};

struct Step {
  enum Kind { kSwap, kElsewhere, kHere, kNone };
  Kind kind = kNone;
  int gpu = 0, row = 0;              // of the head
  int other_gpu = 0, other_row = 0;  // of a swap, and of a re-target elsewhere
  int expert = 0;                    // that a place gets
};

struct StepAsk {
  int64_t budget;
  bool moves_cost;
  uint32_t round;      // 0: no noise
  int64_t lambda = 2;  // what excess counts for where there are prices
};

class Arranged {
 public:
  Rows at;  // by GPU and open row: an expert or the void
  std::vector<int64_t> limit;
  int64_t most_empty = 0;

  explicit Arranged(const OldLayer& layer) : layer_(&layer) {}

  bool holds(int g, int e) const { return std::find(at[g].begin(), at[g].end(), e) != at[g].end(); }
  std::vector<int> copies() const {
    std::vector<int> count(layer_->experts() + 1);
    for (const auto& row : at)
      for (const int e : row) ++count[e];
    return count;
  }
  int copies_of(int e) const { return copies()[e]; }
  int empty() const { return copies_of(layer_->none()); }
  bool is_new(int g, int e) const { return e != layer_->none() && !layer_->had(g, e); }
  int arrivals(int g) const {
    return static_cast<int>(
        std::count_if(at[g].begin(), at[g].end(), [&](int e) { return is_new(g, e); }));
  }
  int moves() const {
    int sum = 0;
    for (int g = 0; g < layer_->gpus(); ++g) sum += arrivals(g);
    return sum;
  }
  int most_arrived() const {
    int most = 0;
    for (int g = 0; g < layer_->gpus(); ++g) most = std::max(most, arrivals(g));
    return most;
  }
  // By window and GPU.
  std::vector<std::vector<int64_t>> loads() const {
    const std::vector<int> count = copies();
    std::vector<std::vector<int64_t>> load(layer_->q.size(), std::vector<int64_t>(at.size()));
    for (size_t t = 0; t < load.size(); ++t)
      for (int g = 0; g < layer_->gpus(); ++g)
        for (const int e : at[g])
          if (e != layer_->none()) load[t][g] += layer_->q[t][e] / count[e];
    return load;
  }
  void aim(int64_t time) {
    limit.clear();
    for (const int pace : layer_->pace) limit.push_back(time * pace / kFastestPace);
  }
  int64_t excess() const {
    int64_t sum = 0;
    for (const auto& load : loads())
      for (size_t g = 0; g < load.size(); ++g) sum += std::max<int64_t>(0, load[g] - limit[g]);
    return sum;
  }
  // What hosts cost: an expert pays for each place that holds it.
  int64_t cost() const {
    if (!layer_->prices) return 0;
    const std::vector<int> count = copies();
    int64_t sum = 0;
    for (int g = 0; g < layer_->gpus(); ++g)
      for (const int e : at[g])
        if (e != layer_->none())
          sum += layer_->prices->of[layer_->node[g]][e] * (layer_->prices->weight[e] / count[e]);
    return sum;
  }
  // What replicas are too large, which counts four times.
  int64_t oversize() const {
    if (!layer_->prices) return 0;
    const std::vector<int> count = copies();
    int64_t sum = 0;
    for (int e = 0; e < layer_->experts(); ++e) sum += oversize(e, count[e]);
    return sum;
  }
  int64_t oversize(int e, int copies) const {
    int64_t sum = 0;
    for (const Weights& q : layer_->q)
      if (copies > 0)
        sum += 4 * copies * std::max<int64_t>(0, q[e] / copies - layer_->prices->most_size);
    return sum;
  }
  int64_t time() const {
    int64_t largest = 0;
    for (const auto& load : loads())
      for (size_t g = 0; g < load.size(); ++g)
        largest =
            std::max(largest, (load[g] * kFastestPace + layer_->pace[g] - 1) / layer_->pace[g]);
    return std::min(largest, int64_t{1} << 30);
  }
  // GPUs that have excess, by (the most that they have in a window, largest first; GPU).
  std::vector<int> heads() const {
    std::vector<int64_t> peak(at.size(), -kAny);
    for (const auto& load : loads())
      for (size_t g = 0; g < load.size(); ++g) peak[g] = std::max(peak[g], load[g] - limit[g]);
    std::vector<int> found;
    for (int g = 0; g < layer_->gpus(); ++g)
      if (peak[g] > 0) found.push_back(g);
    std::stable_sort(found.begin(), found.end(), [&](int g, int h) { return peak[g] > peak[h]; });
    return found;
  }

  void make(const Step& step) {
    if (step.kind == Step::kSwap)
      std::swap(at[step.gpu][step.row], at[step.other_gpu][step.other_row]);
    else if (step.kind == Step::kElsewhere)
      at[step.other_gpu][step.other_row] = step.expert;
    else
      at[step.gpu][step.row] = step.expert;
  }

  // What ruins ask, which may go above the limits on moves.
  bool may_swap(int g, int row, int h, int other) const {
    const int e = at[g][row], f = at[h][other];
    return g != h && e != f && may_come(h, e) && may_come(g, f);
  }
  bool may_become(int g, int row, int e) const {
    const int f = at[g][row];
    if (f == e || (f != layer_->none() && copies_of(f) == 1)) return false;
    if (e == layer_->none()) return empty() < most_empty;
    return copies_of(e) < layer_->most_copies && may_come(g, e);
  }

 private:
  bool may_come(int g, int e) const {
    return e == layer_->none() || (!holds(g, e) && layer_->may_be_on(g, e));
  }

  const OldLayer* layer_;
};

// The best of all changes at a head.
class StepChoice {
 public:
  StepChoice(const OldLayer& layer, const Arranged& now, const StepAsk& ask, int head)
      : layer_(layer),
        now_(now),
        then_(now),
        ask_(ask),
        head_(head),
        above_(now.excess() + now.oversize()),
        cost_(now.cost()),
        moves_(now.moves()) {
    for (int row = 0; row < layer.open[head]; ++row) {
      each_place([&](int g, int other) { try_swap(row, g, other); });
      each_place([&](int g, int other) { try_elsewhere(row, g, other); });
      for (int e = 0; e <= layer.none(); ++e) try_here(row, e);
    }
  }
  const Step& best() const { return best_; }

 private:
  // Elsewhere, row by row.
  template <class Visit> void each_place(Visit visit) const {
    for (int row = 0; row < layer_.rows; ++row)
      for (int g = 0; g < layer_.gpus(); ++g)
        if (g != head_ && row < layer_.open[g]) visit(g, row);
  }
  void try_swap(int row, int g, int other) {
    if (now_.at[head_][row] == layer_.none() || !now_.may_swap(head_, row, g, other)) return;
    weigh({Step::kSwap, head_, row, g, other, 0}, layer_.place(g, other));
  }
  void try_elsewhere(int row, int g, int other) {
    const int e = now_.at[head_][row];
    if (e == layer_.none() || !now_.may_become(g, other, e)) return;
    weigh({Step::kElsewhere, head_, row, g, other, e}, layer_.place(g, other));
  }
  void try_here(int row, int e) {
    if (!now_.may_become(head_, row, e)) return;
    weigh({Step::kHere, head_, row, head_, row, e}, layer_.rows * layer_.stride() + e);
  }
  void weigh(const Step& step, int noisy) {
    then_.make(step);
    if (const int64_t worth = value(); worth > 0 && is_allowed()) compare(step, worth, noisy);
    for (const auto& [g, row] : {std::pair(step.gpu, step.row), {step.other_gpu, step.other_row}})
      then_.at[g][row] = now_.at[g][row];
  }
  // The gain; where there are prices, against what it costs.
  int64_t value() const {
    constexpr int64_t kMostGain = 1 << 25;
    const int64_t gain = above_ - then_.excess() - then_.oversize();
    if (!layer_.prices) return gain;
    return ask_.lambda * std::clamp(gain, -kMostGain, kMostGain) - (then_.cost() - cost_);
  }
  bool is_allowed() const {
    if (then_.moves() - moves_ > std::min<int64_t>(ask_.budget - moves_, 2)) return false;
    for (int g = 0; g < layer_.gpus(); ++g)
      if (then_.arrivals(g) > now_.arrivals(g) && now_.arrivals(g) >= layer_.most_arrivals)
        return false;
    return true;
  }
  void compare(const Step& step, int64_t value, int noisy) {
    const int added = then_.moves() - moves_;
    const int shift = !ask_.moves_cost || added == 2 ? 0 : added == 1 ? 1 : 3;
    int64_t score = std::min(value, int64_t{1} << 27) << shift;
    if (ask_.round > 0) score += score / 1024 * noise(noisy, 3 * step.row + step.kind);
    if (score <= best_score_) return;
    best_score_ = score;
    best_ = step;
  }

  static uint32_t hash(uint32_t x, uint32_t salt) {
    uint32_t y = (x ^ salt) * 0x9E3779B1;
    y ^= y >> 15;
    return y * 0x85EBCA6B;
  }
  int64_t noise(int there, int here) const {
    const uint32_t b = hash(static_cast<uint32_t>(there), hash(ask_.round, 0)) >> 24;
    const uint32_t a = hash(static_cast<uint32_t>(here), ~ask_.round) >> 24;
    return a ^ b;
  }

  const OldLayer& layer_;
  const Arranged& now_;
  Arranged then_;
  StepAsk ask_;
  int head_;
  int64_t above_, cost_;  // above_: excess and oversize
  int moves_;
  int64_t best_score_ = 0;
  Step best_;
};

}  // namespace eplb::tests::plain
