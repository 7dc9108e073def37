// How good a placement is, as plainly as it can be written: what the stage spares itself must not
// be seen in a figure.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <queue>
#include <set>
#include <utility>
#include <vector>

namespace eplb::tests::plain {

struct Figures {
  std::vector<double> gpu_load;
  double mean_load, largest_load, imbalance;
  int64_t duplicates = 0, unavoidable_duplicates = 0;
};

// Of weights that are no denormals. gpus_per_node: how many GPUs an expert's replicas can be on.
inline Figures evaluate(const std::vector<double>& weight, const std::vector<int32_t>& placement,
                        int gpus, int gpus_per_node) {
  Figures figures;
  std::vector<int> count(weight.size());
  for (const int32_t e : placement) ++count[e];
  const size_t per_gpu = placement.size() / gpus;
  for (auto held = placement.begin(); held != placement.end(); held += per_gpu) {
    double load = 0;
    for (size_t k = 0; k < per_gpu; ++k) load += weight[held[k]] / count[held[k]];
    figures.gpu_load.push_back(load);
    figures.duplicates +=
        static_cast<int64_t>(per_gpu - std::set<int32_t>(held, held + per_gpu).size());
  }
  for (const int c : count) figures.unavoidable_duplicates += std::max(0, c - gpus_per_node);
  double total = 0;
  for (const double w : weight) total += w;
  figures.mean_load = total / gpus;
  figures.largest_load = *std::max_element(figures.gpu_load.begin(), figures.gpu_load.end());
  figures.imbalance =
      figures.largest_load <= figures.mean_load ? 1 : figures.largest_load / figures.mean_load;
  return figures;
}

// The simple bound, step by step, with nothing left out because its answer is known.
class SimpleBound {
 public:
  SimpleBound(std::vector<double> weight, int slots, int gpus, int most_copies)
      : weight_(std::move(weight)),
        experts_(static_cast<int>(weight_.size())),
        extras_(slots - experts_),
        gpus_(gpus),
        per_gpu_(slots / gpus),
        most_copies_(most_copies) {
    for (const double w : weight_) total_ += w;
    std::sort(weight_.begin(), weight_.end(), std::greater<>());
  }

  double operator()() const {
    if (!(total_ > 0)) return 0;
    double bound = std::max(total_ / gpus_, largest_replica());
    for (int j = 0; j < std::min(per_gpu_, 64); ++j) {
      if (reachable(bound * (1 - 1e-12), j)) continue;
      double low = bound, high = 1.5 * bound;
      for (; !reachable(high, j); high = 1.5 * low) low = high;
      for (int i = 0; i < 50; ++i) {
        const double middle = low + (high - low) / 2;
        (reachable(middle, j) ? high : low) = middle;
      }
      bound = std::max(bound, low);
    }
    if (extras_ == 0 && per_gpu_ > 1) bound = std::max(bound, heaviest_together());
    return bound * (1 - 0x1p-40);
  }

 private:
  // D'Hondt over all experts; none has more copies than it can.
  double largest_replica() const {
    std::priority_queue<std::pair<double, int>> shares;
    for (int e = 0; e < experts_; ++e) shares.push({weight_[e], e});
    std::vector<int> copies(experts_, 1);
    for (int i = 0; i < extras_; ++i) {
      const int e = shares.top().second;
      shares.pop();
      shares.push({weight_[e] / ++copies[e], e});
    }
    return std::max(shares.top().first, weight_[0] / most_copies_);
  }
  bool reachable(double load, int j) const {
    const int others = per_gpu_ - 1 - j;
    for (int spare = 0; spare < (others == 0 ? 1 : extras_ + 1); ++spare) {
      const double x = largest_allowed(load, j, others, spare);
      if (x > 0 && cuts(x, int64_t{j} * gpus_, extras_ - spare)) return true;
    }
    return false;
  }
  double filling(double x, int others, int spare) const {
    const int pieces = std::min(1 + spare, most_copies_);
    double sum = 0;
    for (int i = 0; i < others; ++i)
      sum += std::min(weight_[experts_ - 1 - std::min(i / pieces, experts_ - 1)], x / 2) / pieces;
    return sum;
  }
  double largest_allowed(double load, int j, int others, int spare) const {
    auto step = [&](double x) {
      return (load - filling(std::max(x, 0.0), others, spare)) / (j + 1);
    };
    const double above = step(step(load));
    return std::min(above, step(step(above)));
  }
  bool cuts(double x, int64_t whole, int most) const {
    double needed = 0;
    for (int64_t i = whole; i < experts_ && weight_[i] > x; ++i) {
      const double pieces = std::ceil(weight_[i] / x - 1e-12);
      if (pieces > most_copies_) return false;
      needed += pieces - 1;
    }
    return needed <= most;
  }
  double heaviest_together() const {
    double smallest = 0;
    for (int k = 0; k + 2 < per_gpu_; ++k) smallest += weight_[experts_ - 1 - k];
    double top = weight_[0], rest = 0, best = 0;
    int next = experts_ - 1;
    for (int k = 0; k < per_gpu_ - 1; ++k) rest += weight_[next--];
    for (int m = 2; m <= gpus_; ++m) {
      top += weight_[m - 1];
      for (int k = 0; k < per_gpu_ - 1; ++k) rest += weight_[next--];
      best = std::max(best, std::min((top + rest) / m, weight_[m - 1] + weight_[m - 2] + smallest));
    }
    return best;
  }

  std::vector<double> weight_;  // largest first
  int experts_, extras_, gpus_, per_gpu_, most_copies_;
  double total_ = 0;
};

}  // namespace eplb::tests::plain
