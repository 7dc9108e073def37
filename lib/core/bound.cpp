#include "core/bound.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "solver/group_search.h"

namespace eplb {
namespace {

// Largest replica of the counts that make it least.
double largest_replica(const std::vector<double>& weights, int64_t extras) {
  struct Share {
    double size, weight;
    int64_t copies;
    bool operator<(const Share& other) const { return size < other.size; }
  };
  std::vector<Share> heap;
  heap.reserve(weights.size());
  for (const double w : weights) heap.push_back({w, w, 1});
  std::make_heap(heap.begin(), heap.end());
  for (; extras > 0; --extras) {
    std::pop_heap(heap.begin(), heap.end());
    Share& s = heap.back();
    s.size = s.weight / static_cast<double>(++s.copies);
    std::push_heap(heap.begin(), heap.end());
  }
  return heap.front().size;
}

// Could every GPU stay at or below a load? For each j < K: if more than j * G replicas exceed x, some GPU holds j + 1 of
// them beside K - 1 - j others. Of the experts above x all but j * G must be cut into pieces of at most x. Extras that this
// does not use may cut the others smaller: with `spare` of them no expert of at most x has more than 1 + spare copies.
class Pigeonhole {
 public:
  Pigeonhole(const std::vector<double>& descending, int64_t slots, int64_t gpus)
      : weights_(descending),
        experts_(static_cast<int64_t>(descending.size())),
        extras_(slots - experts_),
        gpus_(gpus),
        per_gpu_(slots / gpus) {}

  bool reachable(double load, int64_t j) const {
    const int64_t others = per_gpu_ - 1 - j;
    for (int64_t spare = 0; spare <= extras_; ++spare) {
      const double x = largest_allowed(load, j, others, spare);
      if (x > 0 && cuts(x, j * gpus_, extras_ - spare)) return true;
      if (others == 0) return false;
    }
    return false;
  }

 private:
  // The least that `others` replicas on a GPU can weigh if pieces of larger experts weigh at least x / 2.
  double filling(double x, int64_t others, int64_t spare) const {
    double sum = 0;
    for (int64_t i = 0; i < others; ++i) {
      const int64_t expert = std::min(i / (1 + spare), experts_ - 1);
      sum += std::min(weights_[experts_ - 1 - expert], x / 2) / static_cast<double>(1 + spare);
    }
    return sum;
  }
  // An x with (j + 1) x + filling(x) >= load, close to equality; larger ones only make the test weaker. filling grows with x:
  // from an x below the solution one step leads above it, and from there below again.
  double largest_allowed(double load, int64_t j, int64_t others, int64_t spare) const {
    auto step = [&](double x) {
      return (load - filling(std::max(x, 0.0), others, spare)) / static_cast<double>(j + 1);
    };
    const double above = step(step(load));  // step(load) is below: no filling is larger than that of x = load
    return std::min(above, step(step(above)));
  }
  // Do `cuts` extras suffice to cut all experts above x, but the `whole` that need most, into pieces of at most x?
  bool cuts(double x, int64_t whole, int64_t most) const {
    int64_t needed = 0;
    for (int64_t i = whole; i < experts_ && weights_[i] > x; ++i) {
      const double pieces = weights_[i] / x - 1e-12;  // rounded up below; the last place is given away
      if (pieces > 1e9) return false;
      const int64_t whole_pieces = static_cast<int64_t>(pieces);
      needed += whole_pieces - (static_cast<double>(whole_pieces) == pieces);
      if (needed > most) return false;
    }
    return true;
  }

  const std::vector<double>& weights_;
  int64_t experts_, extras_, gpus_, per_gpu_;
};

// No redundancy: the m heaviest experts are on m GPUs, which hold (K-1) m others too, or two of them share one.
double heaviest_together(const std::vector<double>& descending, int64_t gpus, int64_t per_gpu) {
  const int64_t n = static_cast<int64_t>(descending.size());
  double smallest = 0;  // the K - 2 smallest
  for (int64_t k = 0; k + 2 < per_gpu; ++k) smallest += descending[n - 1 - k];
  double top = descending[0], rest = 0, best = 0;
  int64_t next = n - 1;
  for (int64_t k = 0; k < per_gpu - 1; ++k) rest += descending[next--];
  for (int64_t m = 2; m <= gpus; ++m) {
    top += descending[m - 1];
    for (int64_t k = 0; k < per_gpu - 1; ++k) rest += descending[next--];
    best = std::max(best,
                    std::min((top + rest) / static_cast<double>(m), descending[m - 1] + descending[m - 2] + smallest));
  }
  return best;
}

}  // namespace

double simple_bound(const std::vector<double>& weights, int64_t slots, int64_t gpus) {
  const int64_t per_gpu = slots / gpus, extras = slots - static_cast<int64_t>(weights.size());
  double total = 0;
  for (const double w : weights) total += w;
  if (!(total > 0)) return 0;
  double bound = std::max(total / static_cast<double>(gpus), largest_replica(weights, extras));
  std::vector<double> descending = weights;
  std::sort(descending.begin(), descending.end(), std::greater<>());
  const Pigeonhole pigeonhole(descending, slots, gpus);
  constexpr int64_t kDepth = 64;  // beyond, so many replicas on a GPU even out, and looking costs K for each j
  for (int64_t j = 0; j < std::min(per_gpu, kDepth); ++j) {
    if (pigeonhole.reachable(bound * (1 - 1e-12), j)) continue;
    double low = bound, high = 1.5 * bound;
    while (!pigeonhole.reachable(high, j)) std::swap(low, high), high = 1.5 * low;
    for (int i = 0; i < 50; ++i) {
      const double middle = low + (high - low) / 2;
      (pigeonhole.reachable(middle, j) ? high : low) = middle;
    }
    bound = std::max(bound, low);
  }
  if (extras == 0 && per_gpu > 1) bound = std::max(bound, heaviest_together(descending, gpus, per_gpu));
  return bound * (1 - 0x1p-40);
}

double node_bound(const std::vector<double>& weights, int64_t gpus, int64_t nodes, int64_t groups) {
  const size_t each = weights.size() / static_cast<size_t>(groups);
  std::vector<double> sums(groups);
  double total = 0;
  for (size_t e = 0; e < weights.size(); ++e) sums[e / each] += weights[e];
  for (const double sum : sums) total += sum;
  if (!(total > 0)) return 0;
  // In units that are rounded down: the heaviest node of the best way can only get lighter by that.
  const double unit = total / static_cast<double>(1 << 30);
  std::vector<int> size(groups), memory(4 * groups + 2 * nodes);
  for (int64_t g = 0; g < groups; ++g) size[g] = static_cast<int>(sums[g] / unit * (1 - 0x1p-40));
  int* const of_groups = memory.data();
  int* const of_nodes = of_groups + 4 * groups;
  const solver::GroupSearch room{{of_groups}, {of_groups + groups}, {of_groups + 2 * groups}, {of_groups + 3 * groups},
                                 {of_nodes},  {of_nodes + nodes}};
  const solver::View<int> sizes{size.data()};
  const int q = static_cast<int>(groups), n = static_cast<int>(nodes);
  solver::GroupWalk walk(room, sizes, q, n, solver::spread_groups(room, sizes, q, n));
  walk.run();
  if (!walk.proven()) return 0;
  return walk.best() * unit * (1 - 0x1p-40) * static_cast<double>(nodes) / static_cast<double>(gpus);
}

}  // namespace eplb
