// Two slots per GPU: a bound from thresholds. With a largest load of T, give each replica r the share 1 if r > t, 1/2 if
// T - t < r <= t, and 0 else, for any t from T/2 to T: the two on a GPU have no more than 1 together. So if all counts give
// replicas more than G in all, T cannot be. The least over counts is bounded from below by the lower convex hull of every
// expert's sum of shares as a function of its copies: a fractional knapsack.
#include <algorithm>
#include <vector>

#include "core/bound.h"

namespace eplb {
namespace {

constexpr int kThresholds = 64, kBisections = 14;
constexpr double kSlack = 1e-9;  // quotients are rounded so that T looks easier, not harder, to reach

struct Gain {
  double slope;
  double copies;
  bool operator<(const Gain& other) const { return slope > other.slope; }
};

double round_up(double quotient) {
  const double lower = quotient - kSlack;
  const double whole = static_cast<double>(static_cast<int64_t>(lower));
  return std::max(1.0, whole < lower ? whole + 1 : whole);
}

class Thresholds {
 public:
  Thresholds(const std::vector<double>& weights, int64_t slots, int64_t gpus)
      : weights_(weights),
        extras_(static_cast<double>(slots) - static_cast<double>(weights.size())),
        gpus_(static_cast<double>(gpus)) {}

  bool refute(double load) {
    for (int i = 0; i < kThresholds; ++i)
      if (refute(load, load / 2 * (1 + static_cast<double>(i) / kThresholds))) return true;
    return false;
  }

 private:
  bool refute(double load, double t) {
    gains_.clear();
    double spare = extras_, shares = 0;
    for (const double w : weights_) {
      const double least = round_up(w / load);  // no replica is above the load
      const double half = std::max(least, round_up(w / t)), none = std::max(half, round_up(w / (load - t)));
      const double at_least = none == least   ? 0
                              : half == least ? least / 2
                                              : least,
                   at_half = half < none ? half / 2 : 0;
      spare -= least - 1;
      shares += at_least;
      add_hull(least, at_least, half, at_half, none);
    }
    if (spare < 0) return true;
    std::sort(gains_.begin(), gains_.end());
    for (const Gain& gain : gains_) {
      const double copies = std::min(spare, gain.copies);
      shares -= gain.slope * copies;
      spare -= copies;
      if (spare <= 0) break;
    }
    return shares > gpus_ * (1 + kSlack);
  }
  // From (least, at_least) over (half, at_half) to (none, 0), the lower hull.
  void add_hull(double least, double at_least, double half, double at_half, double none) {
    if (none == least) return;
    const double straight = at_least / (none - least);
    const double first = half > least ? (at_least - at_half) / (half - least) : 0;
    if (half > least && half < none && first > straight) {
      gains_.push_back({first, half - least});
      gains_.push_back({at_half / (none - half), none - half});
    } else {
      gains_.push_back({straight, none - least});
    }
  }

  const std::vector<double>& weights_;
  double extras_, gpus_;
  std::vector<Gain> gains_;
};

}  // namespace

double threshold_bound(const std::vector<double>& weights, int64_t slots, int64_t gpus) {
  double low = simple_bound(weights, slots, gpus), high = 1.5 * low;
  if (slots != 2 * gpus || !(low > 0)) return low;
  Thresholds thresholds(weights, slots, gpus);
  bool better = false;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = low + (high - low) / 2;
    const bool impossible = thresholds.refute(middle);
    (impossible ? low : high) = middle;
    better |= impossible;
  }
  return better ? low * (1 - 0x1p-40) : low;
}

}  // namespace eplb
