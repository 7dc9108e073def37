#include "core/moves_bound.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "core/move_limits.h"

namespace eplb {
namespace {

// Sums of the largest values: at(n) of n of them.
class LargestFirst {
 public:
  void add(double value) { sums_.push_back(value); }
  void finish() {
    std::sort(sums_.begin(), sums_.end(), std::greater<>());
    for (size_t i = 1; i < sums_.size(); ++i) sums_[i] += sums_[i - 1];
  }
  double at(int64_t n) const {
    if (n <= 0 || sums_.empty()) return 0;
    return sums_[std::min(static_cast<size_t>(n), sums_.size()) - 1];
  }

 private:
  std::vector<double> sums_;
};

// The first n in [from, to) for which `holds`, which then holds for all that follow; else `to`.
int64_t first_of(int64_t from, int64_t to, auto holds) {
  while (from < to) {
    const int64_t middle = from + (to - from) / 2;
    if (holds(middle))
      to = middle;
    else
      from = middle + 1;
  }
  return from;
}

// The layer as it is: what is above the target has to leave GPUs, and has to find others.
class LayerNow {
 public:
  LayerNow(const Problem& problem, const Weights& weights, int64_t layer)
      : row_(problem.current.expert + layer * problem.cluster.slots),
        gpus_(problem.cluster.gpus),
        per_gpu_(problem.cluster.slots / problem.cluster.gpus),
        weight_(static_cast<size_t>(problem.experts)),
        copies_(weight_.size()),
        load_(static_cast<size_t>(gpus_)) {
    for (size_t e = 0; e < weight_.size(); ++e)
      weight_[e] = weights.at(layer, static_cast<int64_t>(e));
    for (int s = 0; s < problem.cluster.slots; ++s) ++copies_[static_cast<size_t>(row_[s])];
    const double total = std::accumulate(weight_.begin(), weight_.end(), 0.0);
    target_ = total / gpus_ * (problem.moves.target + 1) / kImbalanceUnits;
    add_loads();
  }

  int64_t bound() {
    if (!(excess_ > room_ * 1e-9)) return 0;
    add_gpus();
    if (!add_counts()) return 0;
    for (LargestFirst* list : {&drops_, &relief_, &rises_, &growth_}) list->finish();
    const double needed = excess_ * (1 - 1e-4);  // reliefs too small to be listed
    // No list falls: what n moves can do, more can.
    const auto is_enough = [&](int64_t n) {
      const auto frees = [&](int64_t away) { return drops_.at(away) + relief_.at(n) >= needed; };
      const int64_t away = first_of(0, n, frees);
      return frees(away) && rises_.at(n - away) + growth_.at(n) >= needed;
    };
    return first_of(1, int64_t{gpus_} * per_gpu_, is_enough);
  }

 private:
  // Beyond these, no bound is worked out: only what is far larger than models needs more.
  static constexpr int64_t kMostLooks = int64_t{1} << 28, kLooksOfCopy = 16;

  void add_loads() {
    for (int g = 0; g < gpus_; ++g)
      for (const double size : sizes_on(g)) load_[static_cast<size_t>(g)] += size;
    for (const double load : load_) {
      excess_ += std::max(0.0, load - target_);
      room_ += std::max(0.0, target_ - load);
    }
  }
  double size(int64_t e) const {
    return weight_[static_cast<size_t>(e)] / copies_[static_cast<size_t>(e)];
  }
  // In ascending order.
  std::vector<double> sizes_on(int g) const {
    const int32_t* const experts = row_ + g * per_gpu_;
    std::vector<double> sizes(static_cast<size_t>(per_gpu_));
    std::transform(experts, experts + per_gpu_, sizes.begin(), [&](int32_t e) { return size(e); });
    std::sort(sizes.begin(), sizes.end());
    return sizes;
  }
  std::vector<int64_t> largest_first() const {
    std::vector<int64_t> experts(weight_.size());
    std::iota(experts.begin(), experts.end(), int64_t{0});
    std::sort(experts.begin(), experts.end(),
              [&](int64_t a, int64_t b) { return size(a) > size(b); });
    return experts;
  }
  // What moves to a GPU can take from it, or bring to it.
  void add_gpus() {
    const std::vector<int64_t> experts = largest_first();
    std::vector<int> held_on(weight_.size(), -1);  // by expert: the last GPU seen with it
    for (int g = 0; g < gpus_; ++g) {
      const double above = load_[static_cast<size_t>(g)] - target_;
      const int32_t* const row = row_ + g * per_gpu_;
      for (int k = 0; k < per_gpu_; ++k) held_on[static_cast<size_t>(row[k])] = g;
      above > 0 ? add_drops(g, above) : add_rises(g, -above, experts, held_on);
    }
  }
  void add_drops(int g, double left) {
    const std::vector<double> sizes = sizes_on(g);
    for (auto own = sizes.rbegin(); own != sizes.rend() && left > 0; left -= *own++)
      drops_.add(std::min(left, *own));
  }
  void add_rises(int g, double left, const std::vector<int64_t>& experts,
                 const std::vector<int>& held_on) {
    const std::vector<double> sizes = sizes_on(g);
    auto own = sizes.begin();
    for (const int64_t e : experts) {
      if (own == sizes.end() || left <= 0 || size(e) <= *own) return;
      if (held_on[static_cast<size_t>(e)] == g) continue;
      rises_.add(std::min(left, size(e) - *own));
      left -= size(e) - *own++;
    }
  }
  // By expert: what its hosts are above the target, those that are.
  std::vector<std::vector<double>> list_above() const {
    std::vector<std::vector<double>> above(weight_.size());
    for (int g = 0; g < gpus_; ++g) {
      const double more = load_[static_cast<size_t>(g)] - target_;
      const int32_t* const row = row_ + g * per_gpu_;
      for (int k = 0; k < per_gpu_ && more > 0; ++k)
        above[static_cast<size_t>(row[k])].push_back(more);
    }
    return above;
  }
  // What one copy more can take from the hosts of an expert that are above the target, and one less
  // bring to the others. False if that takes too many looks.
  bool add_counts() {
    const std::vector<std::vector<double>> above = list_above();
    int64_t looks = 0;
    for (size_t e = 0; e < weight_.size() && looks < kMostLooks; ++e) {
      const auto looks_of_copy = kLooksOfCopy + static_cast<int64_t>(above[e].size());
      for (int c = copies_[e]; c < gpus_ && looks < kMostLooks; ++c, looks += looks_of_copy) {
        const double less = weight_[e] / c - weight_[e] / (c + 1);
        double sum = 0;
        for (const double more : above[e]) sum += std::min(less, more);
        if (sum <= excess_ * 1e-7) break;
        relief_.add(sum);
      }
      for (int c = 1; c < copies_[e]; ++c) growth_.add(std::min(room_, weight_[e] / (c + 1)));
    }
    return looks < kMostLooks;
  }

  const int32_t* row_;
  int gpus_, per_gpu_;
  std::vector<double> weight_;
  std::vector<int> copies_;
  std::vector<double> load_;
  double target_ = 0, excess_ = 0, room_ = 0;
  LargestFirst drops_, relief_, rises_, growth_;
};

// May all replicas stay where they are? Under a hierarchical policy those that may not leave empty
// slots, which relieves GPUs without a move.
bool keeps_nodes(const Problem& problem, const int32_t* row) {
  const int nodes = problem.partition.nodes, groups = problem.partition.groups;
  std::vector<int> node_of_group(static_cast<size_t>(groups), -1), groups_on(node_of_group.size());
  for (int s = 0; s < problem.cluster.slots; ++s) {
    const int node = s / (problem.cluster.slots / nodes);
    int& known = node_of_group[static_cast<size_t>(row[s] / (problem.experts / groups))];
    if (known < 0) ++groups_on[static_cast<size_t>(node)];
    if (known >= 0 && known != node) return false;
    known = node;
  }
  return std::all_of(groups_on.begin(), groups_on.begin() + nodes,
                     [&](int on) { return on == groups / nodes; });
}

// Does the proof hold for the layer?
bool is_plain(const Problem& problem, int64_t layer) {
  const Cluster& cluster = problem.cluster;
  if (cluster.gpu_slots || cluster.gpu_pace || problem.moves.allow_empty) return false;
  const int per_gpu = cluster.slots / cluster.gpus;
  std::vector<int> last_gpu(static_cast<size_t>(problem.experts), -1);
  const int32_t* const row = problem.current.expert + layer * cluster.slots;
  for (int s = 0; s < cluster.slots; ++s) {
    if (row[s] < 0 || last_gpu[static_cast<size_t>(row[s])] == s / per_gpu) return false;
    last_gpu[static_cast<size_t>(row[s])] = s / per_gpu;
  }
  return std::count(last_gpu.begin(), last_gpu.end(), -1) == 0 && keeps_nodes(problem, row);
}

}  // namespace

int64_t moves_bound(const Problem& problem, const Weights& weights, int64_t layer) {
  const int64_t forced = forced_moves(problem, layer);
  if (problem.moves.target == 0 || !is_plain(problem, layer)) return forced;
  return std::max(forced, LayerNow(problem, weights, layer).bound());
}

}  // namespace eplb
