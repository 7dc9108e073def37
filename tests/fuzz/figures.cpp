#include "figures.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "failure.h"

namespace eplb::fuzz {
namespace {

int64_t nodes_of(const Judged& judged) {
  return is_hierarchical(judged.problem) ? judged.problem.num_nodes : 1;
}

// Pairs of a GPU and an expert that counts allow at most, on equal nodes: t GPUs hold an expert at
// most t times, and the others no more different ones than they have slots (Gale, Ryser).
int64_t most_pairs(const Judged& judged, const std::vector<int64_t>& count, int64_t nodes) {
  const int64_t gpus = judged.gpus.count() / nodes_of(judged);
  std::vector<int64_t> open(judged.gpus.open.begin(), judged.gpus.open.begin() + gpus);
  std::sort(open.begin(), open.end(), std::greater<>());
  int64_t others = std::accumulate(open.begin(), open.end(), int64_t{0});
  int64_t most = others * nodes;
  for (int64_t t = 1; t <= gpus; ++t) {
    others -= open[static_cast<size_t>(t - 1)];
    int64_t pairs = others * nodes;
    for (const int64_t own : count) pairs += std::min(own, t);
    most = std::min(most, pairs);
  }
  return most;
}

}  // namespace

// The mean of the least denormals may be 0.
double imbalance_of(double total, double largest, double gpus) {
  const double mean = total / gpus;
  if (largest <= mean) return 1;
  return mean > 0 ? largest / mean : largest / total * gpus;
}

std::vector<int64_t> counts_of(const Judged& judged, int64_t layer) {
  std::vector<int64_t> count(static_cast<size_t>(judged.weights().experts));
  for (int64_t slot = 0; slot < judged.slots(); ++slot)
    if (judged.row(layer)[slot] >= 0) ++count[static_cast<size_t>(judged.row(layer)[slot])];
  return count;
}

Loads loads_of(const Judged& judged, int64_t layer, const double* weight,
               const std::vector<int64_t>& count) {
  const Gpus& gpus = judged.gpus;
  std::vector<double> of_gpu(gpus.open.size());
  for (int64_t slot = 0; slot < judged.slots(); ++slot) {
    const int64_t expert = judged.row(layer)[slot];
    if (expert >= 0)
      of_gpu[static_cast<size_t>(gpus.of(slot))] +=
          weight[expert] / static_cast<double>(count[static_cast<size_t>(expert)]);
  }
  double largest = 0;
  for (size_t gpu = 0; gpu < of_gpu.size(); ++gpu)
    largest = std::max(largest, of_gpu[gpu] / (gpus.speed.empty() ? 1 : gpus.speed[gpu]));
  const double total = std::accumulate(weight, weight + judged.weights().experts, 0.0);
  const auto open = static_cast<double>(gpus.open_gpus);
  return {std::move(of_gpu), total / open, largest, imbalance_of(total, largest, open)};
}

Places places_of(const Judged& judged, int64_t layer, const std::vector<int64_t>& count) {
  Places found{0, 0, 0};
  for (int64_t gpu = 0; gpu < judged.gpus.count(); ++gpu) {
    const int64_t* const first = judged.row(layer) + gpu * judged.gpus.places;
    const int64_t* const end = first + judged.gpus.places;
    int64_t lost = 0;
    for (const int64_t* slot = first; slot < end; ++slot) {
      if (*slot < 0) continue;
      const bool again = std::find(first, slot, *slot) != slot;
      found.duplicates += again;
      lost += !again && std::count(slot, end, *slot) == count[static_cast<size_t>(*slot)];
    }
    found.lost = std::max(found.lost, lost);
  }
  const int64_t nodes = nodes_of(judged);
  const int64_t replicas = std::accumulate(count.begin(), count.end(), int64_t{0});
  found.unavoidable = replicas - most_pairs(judged, count, nodes);
  return found;
}

int64_t fewest_duplicates(const Judged& judged, int64_t layer) {
  const int64_t nodes = nodes_of(judged), slots = judged.slots() / nodes;
  int64_t fewest = 0;
  for (int64_t node = 0; node < nodes; ++node) {
    std::vector<int64_t> count(static_cast<size_t>(judged.weights().experts));
    for (int64_t slot = node * slots; slot < (node + 1) * slots; ++slot)
      if (const int64_t expert = judged.row(layer)[slot]; expert >= 0)
        ++count[static_cast<size_t>(expert)];
    fewest +=
        std::accumulate(count.begin(), count.end(), int64_t{0}) - most_pairs(judged, count, 1);
  }
  return fewest;
}

AllLayers figures_of(const Judged& judged) {
  AllLayers all;
  for (int64_t layer = 0; layer < judged.weights().layers; ++layer) {
    const std::vector<int64_t> count = counts_of(judged, layer);
    all.loads.push_back(loads_of(judged, layer, judged.weights().row(layer), count));
    all.places.push_back(places_of(judged, layer, count));
  }
  return all;
}

}  // namespace eplb::fuzz
