// Two slots per GPU: a bound from thresholds. With a largest load of T, give each replica r the
// share 1 if r > t, 1/2 if T - t < r <= t, and 0 else, for any t from T/2 to T: the two on a GPU
// have no more than 1 together. So if all counts give replicas more than G in all, T cannot be. The
// least over counts is bounded from below by the lower convex hull of every expert's sum of shares
// as a function of its copies: a fractional knapsack. From Hall's condition on which replicas may
// share a GPU, relaxed.
#pragma once

#include "solver/evaluate/simple_bound.h"

EPLB_STAGE_BEGIN

class Thresholds {
 public:
  EPLB_FN Thresholds(const Problem& problem, const BoundWorkspace& workspace)
      : problem_(problem), workspace_(workspace) {}

  EPLB_FN bool refute(Team auto& team, double load) const {
    const int most = thresholds();
    for (int i = 0; i < most; ++i)
      if (refute(team, load, load / 2 * (1 + static_cast<double>(i) / most))) return true;
    return false;
  }

 private:
  // Fewer where there are more experts than models have, so that a report takes no longer than with
  // kManyExperts.
  EPLB_FN int thresholds() const {
    constexpr int kThresholds = 64, kManyExperts = 1 << 12;
    const int rounds = (problem_.experts + kManyExperts - 1) / kManyExperts;
    return larger(1, kThresholds / rounds);
  }
  static constexpr double kSlack =
      1e-9;  // quotients are rounded so that T looks easier, not harder, to reach

  EPLB_FN static int round_up(double quotient) {
    const double lower = quotient - kSlack;
    const int whole = static_cast<int>(lower);
    return larger(1, whole < lower ? whole + 1 : whole);
  }

  EPLB_FN bool refute(Team auto& team, double load, double threshold) const {
    // Whole numbers in 64 bits, so the order of adding does not matter: needed extras above, twice
    // the shares below.
    const int64_t sums =
        team.sum_of(problem_.experts, [&](int e) { return add_expert(e, load, threshold); });
    const double spare =
        open_slots(problem_.cluster) - problem_.experts - static_cast<double>(sums >> 32);
    const double shares = 0.5 * static_cast<double>(sums & 0xffffffff);
    return spare < 0 ||
           least_shares(team, shares, spare) > open_gpus(problem_.cluster) * (1 + kSlack);
  }
  // What is left of the shares when `spare` copies have gained most, by the steepest slopes.
  EPLB_FN double least_shares(Team auto& team, double shares, double spare) const {
    const View<double> slope = workspace_.slope;
    const View<int> steps = workspace_.steps, picked = workspace_.picked,
                    sorted = workspace_.sorted;
    const int gains = team.pick(2 * problem_.experts, picked, [&](int i) { return steps[i] > 0; });
    team.order(gains, sorted, [&](int i) { return largest_first(slope[picked[i]]); });
    for (int i = 0; i < gains && spare > 0; ++i) {
      const int gain = picked[sorted[i]];
      const double copies = smaller(spare, static_cast<double>(steps[gain]));
      shares -= slope[gain] * copies;
      spare -= copies;
    }
    team.barrier();  // the next threshold writes what has been read here
    return shares;
  }
  // Writes the gains of an expert; its extras that the load forces, above, and twice its shares
  // with those, below.
  EPLB_FN int64_t add_expert(int e, double load, double threshold) const {
    const double weight = workspace_.weight[e];
    const int least = round_up(weight / load);  // no replica is above the load
    const int half = larger(least, round_up(weight / threshold));
    const int none = larger(half, round_up(weight / (load - threshold)));
    const int at_least = none == least   ? 0
                         : half == least ? least
                                         : 2 * least,
              at_half = half < none ? half : 0;
    add_hull(e, least, 0.5 * at_least, half, 0.5 * at_half, none);
    return (int64_t{least - 1} << 32) + at_least;
  }
  // From (least, at_least) over (half, at_half) to (none, 0), the lower hull.
  EPLB_FN void add_hull(int e, int least, double at_least, int half, double at_half,
                        int none) const {
    const double straight = none > least ? at_least / (none - least) : 0;
    const double first = half > least ? (at_least - at_half) / (half - least) : 0;
    const bool bent = half < none && first > straight;
    set(2 * e, bent ? first : straight, bent ? half - least : none - least);
    set(2 * e + 1, bent ? at_half / (none - half) : 0, bent ? none - half : 0);
  }
  EPLB_FN void set(int i, double slope, int steps) const {
    workspace_.slope[i] = slope;
    workspace_.steps[i] = steps;
  }

  const Problem& problem_;
  const BoundWorkspace& workspace_;
};

// As simple_bound. With more or fewer than two slots on a GPU, or other speeds, it is that one.
EPLB_FN double threshold_bound(Team auto& team, const Problem& problem, double total,
                               const BoundWorkspace& workspace, bool filled) {
  constexpr int kBisections = 14;
  constexpr double kLargest = 0x1.fffffffffffffp1023;
  double low = simple_bound(team, problem, total, workspace, filled),
         high = smaller(1.5 * low, kLargest);
  const Cluster& cluster = problem.cluster;
  if (cluster.slots != 2 * cluster.gpus || cluster.gpu_speed || !(low > 0)) return low;
  const Thresholds thresholds(problem, workspace);
  bool better = false;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = low + (high - low) / 2;
    const bool impossible = thresholds.refute(team, middle);
    (impossible ? low : high) = middle;
    better |= impossible;
  }
  return better ? low * (1 - 0x1p-40) : low;
}

EPLB_STAGE_END
