// Section 4 of docs/algorithms.md as it is written, for a layer without redundancy: the packings
// that BEST takes as chains. Slow on purpose.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "tests/solver/plain_counts.h"

namespace eplb::tests::plain {

// Each item to the lightest pack with room, in an order of its chain; then swaps.
class Packed {
 public:
  Packed(const Layer& layer, std::vector<int> order)
      : layer_(layer), order_(std::move(order)), pack_(order_.size()) {
    std::vector<int> held(layer.gpus, 0);
    std::vector<int64_t> load(layer.gpus, 0);
    for (size_t i = 0; i < order_.size(); ++i) {
      int lightest = -1;
      for (int g = 0; g < layer.gpus; ++g)
        if (held[g] < layer.places() && (lightest < 0 || load[g] < load[lightest])) lightest = g;
      pack_[i] = lightest;
      load[lightest] += size(i);
      ++held[lightest];
    }
  }

  void swap_of_heaviest(int most) {
    while (most-- > 0) {
      const auto load = loads();
      const int heaviest = lowest_of(load, std::max_element(load.begin(), load.end()));
      auto score = [&](size_t i, size_t j) {
        const int64_t d = size(i) - size(j);
        if (pack_[i] != heaviest || pack_[j] == heaviest) return int64_t{0};
        return std::min(d, load[heaviest] - load[pack_[j]] - d);
      };
      if (!swap_best(score)) return;
    }
  }
  void swap_any(int most) {
    while (most-- > 0) {
      const auto load = loads();
      auto gain = [&](size_t i, size_t j) {
        const int64_t d = size(i) - size(j);
        return i < j ? d * (load[pack_[i]] - load[pack_[j]] - d) : 0;
      };
      if (!swap_best(gain)) return;
    }
  }
  // By slot: items exchange their slots.
  void swap_extremes(int most) {
    contents_ = by_pack();
    while (most-- > 0) {
      const auto load = loads_of(contents_);
      auto& above = contents_[lowest_of(load, std::max_element(load.begin(), load.end()))];
      auto& below = contents_[lowest_of(load, std::min_element(load.begin(), load.end()))];
      const int64_t difference =
          *std::max_element(load.begin(), load.end()) - *std::min_element(load.begin(), load.end());
      int64_t best = 0;
      std::pair<size_t, size_t> slots;
      for (size_t a = 0; a < above.size(); ++a)
        for (size_t b = 0; b < below.size(); ++b) {
          const int64_t d = layer_.q[above[a]] - layer_.q[below[b]];
          const int64_t gain = difference - std::abs(difference - 2 * d);
          if (gain > best) best = gain, slots = {a, b};
        }
      if (best == 0) return;
      std::swap(above[slots.first], below[slots.second]);
    }
  }

  std::vector<int> experts() const {
    std::vector<int> experts;
    for (const auto& content : contents_.empty() ? by_pack() : contents_)
      experts.insert(experts.end(), content.begin(), content.end());
    return experts;
  }
  int64_t largest() const {
    const auto load = loads_of(contents_.empty() ? by_pack() : contents_);
    return *std::max_element(load.begin(), load.end());
  }

 private:
  using Contents = std::vector<std::vector<int>>;

  int64_t size(size_t i) const { return layer_.q[order_[i]]; }
  static int lowest_of(const std::vector<int64_t>& load, std::vector<int64_t>::const_iterator at) {
    return static_cast<int>(at - load.begin());
  }
  Contents by_pack() const {
    Contents contents(layer_.gpus);
    for (size_t i = 0; i < order_.size(); ++i) contents[pack_[i]].push_back(order_[i]);
    return contents;
  }
  std::vector<int64_t> loads_of(const Contents& contents) const {
    std::vector<int64_t> load;
    for (const auto& content : contents) {
      load.push_back(0);
      for (const int item : content) load.back() += layer_.q[item];
    }
    return load;
  }
  std::vector<int64_t> loads() const { return loads_of(by_pack()); }
  bool swap_best(auto score) {
    int64_t best = 0;
    std::pair<size_t, size_t> pair;
    for (size_t i = 0; i < order_.size(); ++i)
      for (size_t j = 0; j < order_.size(); ++j)
        if (score(i, j) > best) best = score(i, j), pair = {i, j};
    if (best > 0) std::swap(pack_[pair.first], pack_[pair.second]);
    return best > 0;
  }

  const Layer& layer_;
  std::vector<int> order_, pack_;  // items by position, and the pack of each position
  Contents contents_;              // of packs by slot, once items have exchanged slots
};

class Presets {
 public:
  explicit Presets(const Layer& layer) : layer_(layer) {}

  // All of them, in order, until `use` has had enough.
  void each(auto use) const {
    bool wanted = true;
    auto give = [&](const std::vector<int>& order, auto refine) {
      if (!wanted) return;
      Packed packed(layer_, order);
      refine(packed);
      wanted = use(packed);
    };
    give(by_size(), [](Packed& p) { p.swap_of_heaviest(50); });
    give(by_size(), [](Packed& p) { p.swap_any(50); });
    for (int c = 0; c < 4; ++c) give(noisy(c, c > 0, 20), [](Packed& p) { p.swap_extremes(20); });
    for (int c = 0; c < 64; ++c) give(noisy(c, c, 126), [](Packed& p) { p.swap_of_heaviest(20); });
    for (int c = 0; c < 97; ++c)
      give(c < 64   ? noisy(c, c > 0, 5)
           : c < 96 ? shuffled(c)
                    : folded(),
           [](Packed& p) { p.swap_of_heaviest(20); });
  }

 private:
  std::vector<int> descending(auto key) const {
    std::vector<int> order(layer_.q.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return key(a) > key(b); });
    return order;
  }
  std::vector<int> by_size() const {
    return descending([&](int e) { return layer_.q[e]; });
  }
  std::vector<int> noisy(int chain, int64_t part, int64_t parts) const {
    return descending(
        [&](int e) { return layer_.q[e] * ((parts << 24) + part * (layer_.u(2, chain, e) >> 8)); });
  }
  std::vector<int> shuffled(int chain) const {
    return descending([&](int e) { return layer_.u(2, chain, e); });
  }
  std::vector<int> folded() const {
    const std::vector<int> order = by_size();
    std::vector<int> folded;
    for (size_t i = 0; i < order.size(); ++i)
      folded.push_back(i % 2 == 0 ? order[i / 2] : order[order.size() - 1 - i / 2]);
    return folded;
  }

  const Layer& layer_;
};

}  // namespace eplb::tests::plain
