// A bound is only worth its proof: never above the optimum of a problem that can be tried out.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>
#include <utility>
#include <vector>

#include "tests/solver/evaluate.h"
#include "tests/solver/exhaustive.h"
#include "tests/solver/problems.h"

namespace eplb::tests {
namespace {

std::vector<double> tiny_weights(std::mt19937& random, int experts) {
  std::vector<double> weights(experts);
  const int kind = static_cast<int>(random() % 4);
  for (double& w : weights) {
    if (kind == 0)
      w = static_cast<double>(random() % 5);
    else if (kind == 1)
      w = std::lognormal_distribution<double>(3, 1)(random);
    else if (kind == 2)
      w = 1 + static_cast<double>(random() % 100);
    else
      w = random() % 3 == 0 ? 500 + random() % 200 : 1 + random() % 30;
  }
  return weights;
}

struct Demands {
  int nodes = 1, groups = 1, max_replicas = 0;
};

double bound_of(const std::vector<double>& weights, int slots, int gpus, eplb_bound_kind kind,
                const Demands& demands = {}) {
  Weights layer;
  layer.layers = 1;
  layer.experts = static_cast<int64_t>(weights.size());
  layer.real = weights;
  const Problem problem = problem_of(
      {layer.experts, slots, gpus, demands.nodes, demands.groups},
      options_of(EPLB_STRATEGY_BEST, EPLB_EFFORT_FAST, 0, demands.max_replicas), 1, kind);
  std::vector<int32_t> placement(slots);  // a bound does not depend on it
  for (int s = 0; s < slots; ++s) placement[s] = s % static_cast<int>(layer.experts);
  return evaluate(layer, problem, placement.data(), kBounds).layers[0].bound;
}
double simple_bound(const std::vector<double>& weights, int slots, int gpus) {
  return bound_of(weights, slots, gpus, EPLB_BOUND_SIMPLE);
}
double threshold_bound(const std::vector<double>& weights, int slots, int gpus) {
  return bound_of(weights, slots, gpus, EPLB_BOUND_THRESHOLD);
}

TEST(Bound, IsNeverAboveTheOptimum) {
  std::mt19937 random(7);
  int tight = 0, problems = 0;
  while (problems < 900) {
    const int gpus = 2 + static_cast<int>(random() % 4),
              per_gpu = 1 + static_cast<int>(random() % 3);
    const int slots = gpus * per_gpu;
    if (slots > 10) continue;
    const int experts = 2 + static_cast<int>(random() % (slots - 1));
    const std::vector<double> weights = tiny_weights(random, experts);
    const double bound = simple_bound(weights, slots, gpus);
    const double optimum = Exhaustive(weights, slots, gpus, true, slots).largest_load();
    ASSERT_LE(threshold_bound(weights, slots, gpus), optimum) << "threshold";
    ASSERT_LE(bound, optimum) << experts << " experts, " << slots << " slots, " << gpus << " GPUs";
    tight += bound >= optimum * (1 - 1e-9);
    ++problems;
  }
  EXPECT_GT(tight, problems / 3);  // and not so low as to say nothing
}

// Counts that a cap, or the slots of a node, forbid make loads larger.
TEST(Bound, KnowsCaps) {
  std::mt19937 random(8);
  int tight = 0, closer = 0, problems = 0;
  while (problems < 600) {
    const int gpus = 2 + static_cast<int>(random() % 4),
              per_gpu = 1 + static_cast<int>(random() % 3);
    const int slots = gpus * per_gpu;
    if (slots > 10) continue;
    const int experts = 2 + static_cast<int>(random() % (slots - 1));
    const int cap = (slots + experts - 1) / experts + static_cast<int>(random() % 2);
    const std::vector<double> weights = tiny_weights(random, experts);
    const double optimum = Exhaustive(weights, slots, gpus, true, cap).largest_load();
    for (const eplb_bound_kind kind : {EPLB_BOUND_SIMPLE, EPLB_BOUND_THRESHOLD}) {
      const double bound = bound_of(weights, slots, gpus, kind, {.max_replicas = cap});
      ASSERT_LE(bound, optimum) << experts << " experts, " << slots << " slots, cap " << cap;
      ASSERT_GE(bound, bound_of(weights, slots, gpus, kind));
      closer += bound > bound_of(weights, slots, gpus, kind);
      tight += bound >= optimum * (1 - 1e-9);
    }
    ++problems;
  }
  EXPECT_GT(tight, problems);
  EXPECT_GT(closer, problems / 10);
}

TEST(Bound, KnowsNodes) {
  std::mt19937 random(9);
  int tight = 0, problems = 0;
  while (problems < 300) {
    const int groups = 2 * (1 + static_cast<int>(random() % 2)),
              experts = groups * (1 + static_cast<int>(random() % 2)),
              gpus = 2 * (1 + static_cast<int>(random() % 2)),
              slots = gpus * (1 + static_cast<int>(random() % 4));
    if (slots > 12 || slots < experts) continue;
    const int least = (slots + experts - 1) / experts, cap = random() % 2 ? least : slots;
    const std::vector<double> weights = tiny_weights(random, experts);
    const double optimum = best_on_two_nodes(weights, groups, slots, gpus, cap);
    const double bound = bound_of(weights, slots, gpus, EPLB_BOUND_SIMPLE,
                                  {.nodes = 2, .groups = groups, .max_replicas = cap});
    ASSERT_LE(bound, optimum) << experts << " experts, " << slots << " slots, cap " << cap;
    tight += bound >= optimum * (1 - 1e-9);
    ++problems;
  }
  EXPECT_GT(tight, problems / 2);
}

// Too many groups to go through all ways to put them on nodes, for the library.
TEST(Bound, KnowsManyGroups) {
  constexpr int kGroups = 20;
  std::mt19937 random(10);
  int close = 0;
  for (int problem = 0; problem < 12; ++problem) {
    std::vector<double> weights = tiny_weights(random, kGroups);
    if (problem % 2) weights[random() % kGroups] += 10000;
    double best = 1e9;
    for (unsigned there = 0; there < 1U << kGroups; ++there) {
      if (std::popcount(there) != kGroups / 2) continue;
      double node[2] = {};
      for (int g = 0; g < kGroups; ++g) node[there >> g & 1] += weights[g];
      best = std::min(best, std::max(node[0], node[1]));
    }
    // The extra slots do not matter: there is one GPU on each node.
    const double bound =
        bound_of(weights, 2 * kGroups, 2, EPLB_BOUND_SIMPLE, {.nodes = 2, .groups = kGroups});
    ASSERT_LE(bound, best);
    close += bound >= best * (1 - 1e-6);
  }
  EXPECT_GE(close, 6);
}

TEST(Bound, ThresholdsSeeWhatTheSimpleOneDoesNot) {
  std::mt19937 random(1);
  double simple = 0, closer = 0;
  for (int t = 0; t < 10; ++t) {
    std::vector<double> weights(64);
    for (double& w : weights) w = std::lognormal_distribution<double>(5, 0.8)(random);
    simple += simple_bound(weights, 72, 36);
    closer += threshold_bound(weights, 72, 36);
    EXPECT_GE(threshold_bound(weights, 72, 36), simple_bound(weights, 72, 36));
    EXPECT_EQ(threshold_bound(weights, 72, 24), simple_bound(weights, 72, 24));
  }
  EXPECT_GT(closer, simple * 1.005);
}

TEST(Bound, KnownValues) {
  EXPECT_EQ(simple_bound({0, 0, 0}, 4, 2), 0);
  EXPECT_NEAR(simple_bound({8, 4}, 2, 2), 8, 1e-9);        // one replica each: the largest
  EXPECT_NEAR(simple_bound({9, 1}, 4, 4), 3, 1e-9);        // K = 1: D'Hondt is the optimum
  EXPECT_NEAR(simple_bound({5, 5, 1, 1}, 4, 2), 6, 1e-9);  // the mean
  // The heaviest and the lightest share a GPU.
  EXPECT_NEAR(simple_bound({10, 3, 2, 1}, 4, 2), 11, 1e-9);
  // All have two replicas, so the largest shares a GPU with one of the smallest.
  EXPECT_NEAR(
      bound_of({300, 280, 60, 50, 40, 30, 20, 20}, 16, 8, EPLB_BOUND_SIMPLE, {.max_replicas = 2}),
      160, 1e-9);
  // The heaviest has one replica more than there are spare slots on its node.
  EXPECT_NEAR(bound_of({8, 0, 0, 0}, 8, 8, EPLB_BOUND_SIMPLE, {.nodes = 2, .groups = 2}), 8.0 / 3,
              1e-9);
  const double largest_double = 1.7e308;
  EXPECT_LE(simple_bound({largest_double}, 1, 1), largest_double);
}

}  // namespace
}  // namespace eplb::tests
