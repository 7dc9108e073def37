// The optimum of a tiny layer by trying everything: all replica counts, all ways to put replicas on
// GPUs, and whole groups on nodes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace eplb::tests {

class Exhaustive {
 public:
  // duplicates: may a GPU hold an expert twice? most_copies: of an expert.
  Exhaustive(std::vector<double> weights, int slots, int gpus, bool duplicates, int most_copies)
      : weights_(std::move(weights)),
        gpus_(gpus),
        per_gpu_(slots / gpus),
        most_copies_(duplicates ? most_copies : std::min(most_copies, gpus)),
        duplicates_(duplicates),
        count_(weights_.size(), 1) {
    choose_counts(0, slots - static_cast<int>(weights_.size()));
  }
  double largest_load() const { return best_; }  // infinite if there is no placement

 private:
  void choose_counts(size_t expert, int extras) {
    if (expert + 1 == weights_.size()) {
      count_[expert] = 1 + extras;
      if (count_[expert] <= most_copies_) place();
      return;
    }
    for (int x = 0; x <= extras && x < most_copies_; ++x) {
      count_[expert] = 1 + x;
      choose_counts(expert + 1, extras - x);
    }
  }
  void place() {
    replicas_.clear();
    for (size_t e = 0; e < weights_.size(); ++e)
      for (int c = 0; c < count_[e]; ++c)
        replicas_.push_back({weights_[e] / count_[e], static_cast<int>(e)});
    std::sort(replicas_.begin(), replicas_.end(), [](auto& a, auto& b) {
      return a.size > b.size || (a.size == b.size && a.expert < b.expert);
    });
    gpu_.assign(gpus_, {});
    put(0);
  }
  void put(size_t i) {
    if (i == replicas_.size()) {
      double largest = 0;
      for (const Gpu& gpu : gpu_) largest = std::max(largest, gpu.load);
      best_ = std::min(best_, largest);
      return;
    }
    bool tried_empty = false;
    for (Gpu& gpu : gpu_) {
      if (static_cast<int>(gpu.experts.size()) == per_gpu_ || gpu.load + replicas_[i].size >= best_)
        continue;
      // Empty GPUs are equivalent.
      if (gpu.experts.empty() && std::exchange(tried_empty, true)) continue;
      const bool holds = std::find(gpu.experts.begin(), gpu.experts.end(), replicas_[i].expert) !=
                         gpu.experts.end();
      if (holds && !duplicates_) continue;
      gpu.experts.push_back(replicas_[i].expert);
      gpu.load += replicas_[i].size;
      put(i + 1);
      gpu.load -= replicas_[i].size;
      gpu.experts.pop_back();
    }
  }

  struct Replica {
    double size;
    int expert;
  };
  struct Gpu {
    double load = 0;
    std::vector<int> experts;
  };
  std::vector<double> weights_;
  int gpus_, per_gpu_, most_copies_;
  bool duplicates_;
  std::vector<int> count_;
  std::vector<Replica> replicas_;
  std::vector<Gpu> gpu_;
  double best_ = std::numeric_limits<double>::infinity();
};

// The same with duplicates, of a layer whose groups are split evenly over two nodes, each on one.
inline double best_on_two_nodes(const std::vector<double>& weights, int groups, int slots, int gpus,
                                int most_copies) {
  const int each = static_cast<int>(weights.size()) / groups;
  double best = std::numeric_limits<double>::infinity();
  for (unsigned there = 0; there < 1U << groups; ++there) {
    std::vector<double> node[2];
    for (int g = 0; g < groups; ++g)
      for (int e = g * each; e < (g + 1) * each; ++e) node[there >> g & 1].push_back(weights[e]);
    if (node[0].size() != node[1].size()) continue;
    double largest = 0;
    for (const auto& of_node : node)
      largest = std::max(
          largest, Exhaustive(of_node, slots / 2, gpus / 2, true, most_copies).largest_load());
    best = std::min(best, largest);
  }
  return best;
}

}  // namespace eplb::tests
