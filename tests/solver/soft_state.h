// Any state of a search where load has a price.
#pragma once

#include "tests/solver/any_state.h"
#include "tests/solver/plain_soft.h"

namespace eplb::tests {

// Up to four nodes with any GPUs, no expert bound to one of them.
struct SoftState : AnyState {
  explicit SoftState(uint32_t seed) : AnyState(seed) {
    choose_nodes();
    if (chance(15)) make_extreme();
    layer.q = plain::scaled(layer.q);
    layer.prices = plain::Prices{any_prices(), plain::price_weights(layer.q), any_most_size()};
    choose_limits();
    ask.lambda = chance(50) ? 2 : 20;
  }

 private:
  void choose_nodes() {
    cluster.nodes = 1 + below(std::min(cluster.gpus, 4));
    for (int& node : gpu_node) node = below(cluster.nodes);
    layer.node = gpu_node;
    layer.home.assign(layer.experts(), -1);
  }
  // Gains that are larger than what counts.
  void make_extreme() {
    layer.q.resize(8, layer.q[0]);
    for (plain::Weights& window : layer.q) window[below(2) % layer.experts()] = 1 << 27;
  }
  // Those of groups, or of experts: any, few different ones, or few that are not 0.
  std::vector<std::vector<int>> any_prices() {
    const int kind = below(4), experts = layer.experts();
    if (kind == 0) {
      std::vector<int> home(1 + below(2 * cluster.nodes));
      for (int& node : home) node = below(cluster.nodes);
      return plain::prices_of(home, cluster.nodes, experts);
    }
    std::vector<std::vector<int>> price(cluster.nodes, std::vector<int>(experts));
    for (auto& of_node : price)
      for (int& one : of_node)
        one = kind == 1 ? below(65) : kind == 2 ? 32 * below(3) : chance(20) ? below(65) : 0;
    return price;
  }
  // None, what the definition says, or any.
  int64_t any_most_size() {
    if (chance(40)) return plain::kAny;
    if (chance(60)) return plain::most_size_of(plain::mean_time_of(layer));
    const plain::Weights& window = layer.q[below(static_cast<int>(layer.q.size()))];
    return below(static_cast<int>(window[below(layer.experts())]) + 1);
  }
};

}  // namespace eplb::tests
