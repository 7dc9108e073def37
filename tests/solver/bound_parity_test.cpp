// Bounds of a report: the same bits from one lane and from 32 in a random order.
#include "core/bound.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

double any_weight(std::mt19937& random, int kind) {
  switch (kind) {
    case 0: return static_cast<double>(random() % 5);
    case 1: return std::lognormal_distribution<double>(3, 1.5)(random);
    case 2: return random() % 4 == 0 ? -0.0 : static_cast<double>(random() % 100);
    case 3: return std::lognormal_distribution<double>(3, 1)(random) * 1e-311;
    default: return static_cast<double>(random() % 1000) * 1e303;  // near the largest double
  }
}

Weights any_layer(std::mt19937& random, int64_t experts) {
  Weights weights;
  weights.layers = 1;
  weights.experts = experts;
  const int kind = static_cast<int>(random() % 5);
  for (int64_t e = 0; e < experts; ++e) weights.real.push_back(any_weight(random, kind));
  return weights;
}

Problem any_problem(std::mt19937& random) {
  const int64_t nodes = 1 + random() % 3, groups = nodes * (1 + random() % 3), experts = groups * (1 + random() % 12);
  const int64_t gpus = nodes * (1 + random() % 12), needed = (experts + gpus - 1) / gpus;
  const int64_t per_gpu = needed <= 2 && random() % 2 ? 2 : needed + random() % 3;
  const bool threshold = per_gpu == 2 || random() % 2;
  return {experts,
          per_gpu * gpus,
          gpus,
          nodes,
          groups,
          EPLB_POLICY_HIERARCHICAL,
          EPLB_POLICY_REASON_ASKED,
          threshold ? EPLB_BOUND_THRESHOLD : EPLB_BOUND_SIMPLE};
}

TEST(Bound, IsTheSameOnAWarp) {
  std::mt19937 random(3);
  int pairs = 0;
  for (int i = 0; i < 300; ++i) {
    const Problem problem = any_problem(random);
    const Weights weights = any_layer(random, problem.experts);
    const solver::LayerBound want = LayerBounds(problem).of(weights, 0);
    const solver::Shape shape = layer_sizes<solver::Shape>(problem, {});
    const bool threshold = problem.bound_kind == EPLB_BOUND_THRESHOLD;
    solver::BoundRoom room;
    solver::Arena counted(nullptr);
    room.lay_out(counted, shape, threshold);
    std::vector<int64_t> memory(static_cast<size_t>(counted.used()) / 8, 0x5555555555555555);
    solver::Arena arena(memory.data());
    room.lay_out(arena, shape, threshold);
    ShuffledTeam team(static_cast<uint32_t>(i));
    const solver::LayerBound got =
        solver::bound_of_layer(team, shape, threshold, room, [&](int e) { return weights.at(0, e); });
    ASSERT_TRUE(std::isfinite(want.load)) << i;
    ASSERT_EQ(want.load, got.load) << i;
    ASSERT_EQ(want.nodes_proven, got.nodes_proven) << i;
    pairs += threshold && problem.slots == 2 * problem.gpus && want.load > 0;
  }
  EXPECT_GT(pairs, 50);
}

}  // namespace
}  // namespace eplb::tests
