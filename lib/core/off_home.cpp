#include "core/off_home.h"

#include <algorithm>
#include <vector>

#include "core/cluster.h"

namespace eplb {
namespace {

// The first of the experts of a group; of the group after the last one, the number of experts.
int64_t first_expert(const Problem& problem, int64_t group) {
  return (group * problem.experts + problem.limits.groups - 1) / problem.limits.groups;
}

// By node: what its GPUs should carry of a load of 1, all in all, at an imbalance of 1.
std::vector<double> shares_of_nodes(const Cluster& cluster) {
  std::vector<double> share(static_cast<size_t>(cluster.nodes));
  const int open = cluster.gpus - cluster.closed_gpus;
  for (int gpu = 0; gpu < cluster.gpus; ++gpu) {
    if (cluster.gpu_slots && cluster.gpu_slots[gpu] == 0) continue;
    share[node_of_gpu(cluster, gpu)] += (cluster.gpu_speed ? cluster.gpu_speed[gpu] : 1) / open;
  }
  return share;
}

// Goes through a layer group by group, so that the memory does not grow with groups times nodes.
class LayerHomes {
 public:
  explicit LayerHomes(const Problem& problem)
      : problem_(problem),
        share_(shares_of_nodes(problem.cluster)),
        first_(static_cast<size_t>(problem.experts) + 1),
        node_(static_cast<size_t>(problem.cluster.slots)),
        served_(share_.size()),
        home_load_(share_.size()) {}

  void find(const Weights& weights, int64_t layer, const int32_t* placement,
            LayerFigures& figures) {
    list_nodes(placement);
    if (problem_.prices.shares) return add_prices(weights, layer, figures);
    std::fill(home_load_.begin(), home_load_.end(), 0);
    double total = 0, away = 0;
    for (int64_t group = 0; group < problem_.limits.groups; ++group) {
      const int64_t from = first_expert(problem_, group), to = first_expert(problem_, group + 1);
      const double load = serve(weights, layer, from, to);
      const int home = home_of(from, to);
      away += served_away(from, to, home);
      home_load_[home] += load;
      total += load;
    }
    figures.off_home = total > 0 ? away / total : 0;
    figures.off_home_bound = total > 0 ? least_away(total) / total : 0;
  }

 private:
  static constexpr double kRounding = 1.0 / (int64_t{1} << 40);

  // The nodes of the replicas of expert e are node_[first_[e] .. first_[e + 1]).
  void list_nodes(const int32_t* placement) {
    const Cluster& cluster = problem_.cluster;
    std::fill(first_.begin(), first_.end(), 0);
    for (int slot = 0; slot < cluster.slots; ++slot)
      if (placement[slot] >= 0) ++first_[placement[slot]];
    for (int e = 0, end = 0; e <= problem_.experts; ++e) first_[e] = end += first_[e];
    const int per_gpu = cluster.slots / cluster.gpus;
    for (int slot = cluster.slots - 1; slot >= 0; --slot)
      if (placement[slot] >= 0)
        node_[--first_[placement[slot]]] = node_of_gpu(cluster, slot / per_gpu);
  }
  // What is paid for the load where it is, and where it is cheapest.
  void add_prices(const Weights& weights, int64_t layer, LayerFigures& figures) const {
    double total = 0, paid = 0, least = 0;
    for (int e = 0; e < problem_.experts; ++e) {
      const double weight = weights.at(layer, e);
      double sum = 0;
      for (int i = first_[e]; i < first_[e + 1]; ++i) sum += price(node_[i], e);
      paid += weight * (sum / (first_[e + 1] - first_[e]));
      least += weight * cheapest(e);
      total += weight;
    }
    figures.off_home = total > 0 ? paid / total : 0;
    figures.off_home_bound = total > 0 ? least / total * (1 - kRounding) : 0;
  }
  double price(int node, int64_t e) const {
    const PriceList& list = problem_.prices;
    return list.shares[node * int64_t{list.columns} + e * list.columns / problem_.experts];
  }
  // Of the nodes that have slots.
  double cheapest(int64_t e) const {
    double least = 1;
    for (int node = 0; node < problem_.cluster.nodes; ++node)
      if (share_[node] > 0) least = std::min(least, price(node, e));
    return least;
  }
  // What nodes serve of some experts; returns their weight.
  double serve(const Weights& weights, int64_t layer, int64_t from, int64_t to) {
    double load = 0;
    for (int64_t e = from; e < to; ++e) {
      const double weight = weights.at(layer, e);
      const int copies = first_[e + 1] - first_[e];
      for (int i = first_[e]; i < first_[e + 1]; ++i) served_[node_[i]] += weight / copies;
      load += weight;
    }
    return load;
  }
  int home_of(int64_t from, int64_t to) const {
    int home = from < to ? node_[first_[from]] : 0;
    for (int i = first_[from]; i < first_[to]; ++i) {
      const int node = node_[i];
      if (served_[node] > served_[home] || (served_[node] == served_[home] && node < home))
        home = node;
    }
    return home;
  }
  // Leaves nothing in `served_`.
  double served_away(int64_t from, int64_t to, int home) {
    double away = 0;
    for (int i = first_[from]; i < first_[to]; ++i) {
      if (node_[i] != home) away += served_[node_[i]];
      served_[node_[i]] = 0;
    }
    return away;
  }
  // What is more than a node can take at home has to go. Made smaller by what rounding may add.
  double least_away(double total) const {
    double away = 0;
    for (size_t node = 0; node < share_.size(); ++node) {
      const double most = problem_.limits.off_home_target * share_[node] * total;
      away += std::max(0.0, home_load_[node] * (1 - kRounding) - most);
    }
    return away;
  }

  const Problem& problem_;
  std::vector<double> share_;
  std::vector<int32_t> first_, node_;
  std::vector<double> served_, home_load_;  // by node
};

}  // namespace

void find_off_home(const Weights& weights, const Problem& problem, const int32_t* placement,
                   Evaluation& evaluation) {
  LayerHomes homes(problem);
  for (int64_t layer = 0; layer < weights.layers; ++layer)
    homes.find(weights, layer, placement + layer * problem.cluster.slots, evaluation.layers[layer]);
  evaluation.known |= kHomes;
}

}  // namespace eplb
