#include "heap_greedy.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <tuple>
#include <utility>

namespace bench {
namespace {

using Keyed = std::pair<double, int>;

// Queues and lists are allocated for every layer, as inference engines do: a tuned baseline would
// not show what those engines gain.
std::vector<Keyed> replicas_of_layer(const float* weights, int experts, int slots) {
  std::vector<int> count(experts, 1);
  // Negated indices, so that among equal weights the lowest expert comes first.
  std::priority_queue<std::tuple<double, int>> hottest;
  for (int e = 0; e < experts; e++) hottest.push({weights[e], -e});
  for (int s = experts; s < slots; s++) {
    const int e = -std::get<1>(hottest.top());
    hottest.pop();
    count[e]++;
    hottest.push({double(weights[e]) / count[e], -e});
  }
  std::vector<Keyed> replicas;
  for (int e = 0; e < experts; e++) {
    for (int c = 0; c < count[e]; c++) replicas.push_back({double(weights[e]) / count[e], e});
  }
  std::sort(replicas.begin(), replicas.end(), [](const Keyed& a, const Keyed& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  return replicas;
}

double pack(const std::vector<Keyed>& replicas, int slots, int gpus, int32_t* placement) {
  const int room = slots / gpus;
  std::vector<int> used(gpus, 0);
  std::priority_queue<Keyed, std::vector<Keyed>, std::greater<>> lightest;
  for (int g = 0; g < gpus; g++) lightest.push({0.0, g});
  double largest = 0, sum = 0;
  for (const auto& [weight, expert] : replicas) {
    const auto [load, g] = lightest.top();
    lightest.pop();
    placement[g * room + used[g]++] = expert;
    largest = std::max(largest, load + weight);
    sum += weight;
    if (used[g] < room) lightest.push({load + weight, g});
  }
  return sum > 0 ? largest / (sum / gpus) : 1;
}

}  // namespace

double heap_greedy(const std::vector<float>& weights, int layers, int experts, int slots, int gpus,
                   std::vector<int32_t>& physical_to_logical) {
  double imbalance = 0;
  for (int l = 0; l < layers; l++) {
    const auto replicas = replicas_of_layer(weights.data() + int64_t(l) * experts, experts, slots);
    imbalance += pack(replicas, slots, gpus, physical_to_logical.data() + int64_t(l) * slots);
  }
  return imbalance / layers;
}

}  // namespace bench
