// Figures of a placement: the same bits from every instruction set, from 32 lanes in a random
// order, and from the plain definition where there is one.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "core/weights.h"
#include "solver/evaluate/layer_evaluation.h"
#include "tests/solver/evaluate.h"
#include "tests/solver/plain_evaluation.h"
#include "tests/solver/problems.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

enum Kind {
  kFewIntegers,
  kLognormal,
  kWithZeros,
  kDenormals,
  kNearTheLargest,
  kNothing,
  kOneHot,
  kKinds
};

double any_weight(std::mt19937& random, int kind) {
  switch (kind) {
    case kFewIntegers: return static_cast<double>(random() % 5);
    case kLognormal: return std::lognormal_distribution<double>(3, 1.5)(random);
    case kWithZeros: return random() % 4 == 0 ? 0.0 : static_cast<double>(random() % 100);
    case kDenormals: return std::lognormal_distribution<double>(3, 1)(random) * 1e-311;
    case kNearTheLargest: return static_cast<double>(random() % 1000) * 1e303;
    case kNothing: return 0;
    default: return random() % 30 == 0 ? 1e6 : static_cast<double>(random() % 100);
  }
}

struct Case {
  Problem problem;
  Weights weights;  // one layer
  int kind;
  std::vector<int32_t> placement;
};

Problem any_problem(std::mt19937& random) {
  const int64_t nodes = 1 + random() % 3, groups = nodes * (1 + random() % 3),
                experts = groups * (1 + random() % 12);
  const int64_t gpus = nodes * (1 + random() % 12), needed = (experts + gpus - 1) / gpus;
  const int64_t spare = random() % 6 == 0 ? random() % 90 : random() % 3;
  const int64_t per_gpu = needed <= 2 && random() % 2 ? 2 : needed + spare;
  const bool threshold = per_gpu == 2 || random() % 2;
  eplb_solve_options options{};
  if (random() % 3 == 0)
    options.max_replicas = (per_gpu * gpus + experts - 1) / experts + random() % 3;
  return problem_of({experts, per_gpu * gpus, gpus, nodes, groups}, options, 1,
                    threshold ? EPLB_BOUND_THRESHOLD : EPLB_BOUND_SIMPLE);
}

// Every expert has a replica; the others are anyone's.
std::vector<int32_t> any_placement(std::mt19937& random, const Problem& problem) {
  std::vector<int32_t> placement(problem.cluster.slots);
  for (int64_t s = 0; s < problem.cluster.slots; ++s)
    placement[s] = static_cast<int32_t>(s < problem.experts ? s : random() % problem.experts);
  std::shuffle(placement.begin(), placement.end(), random);
  return placement;
}

Case any_case(std::mt19937& random) {
  Case c{any_problem(random), {}, static_cast<int>(random() % kKinds), {}};
  const bool whole = c.kind == kWithZeros;
  c.weights.resize(whole, 1, c.problem.experts);
  for (int64_t e = 0; e < c.problem.experts; ++e) {
    const double weight = any_weight(random, c.kind);
    if (whole)
      c.weights.whole[e] = static_cast<int64_t>(weight) << 40;
    else
      c.weights.real[e] = weight;
  }
  c.placement = any_placement(random, c.problem);
  return c;
}

// Bits, not values: that is what is promised.
bool same(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

void expect_same(const Evaluation& want, const Evaluation& got) {
  const LayerFigures &a = want.layers[0], &b = got.layers[0];
  EXPECT_TRUE(same(a.mean_load, b.mean_load));
  EXPECT_TRUE(same(a.largest_load, b.largest_load));
  EXPECT_TRUE(same(a.imbalance, b.imbalance));
  EXPECT_TRUE(same(a.bound, b.bound)) << a.bound << " and " << b.bound;
  EXPECT_EQ(a.nodes_proven, b.nodes_proven);
  EXPECT_EQ(a.duplicates, b.duplicates);
  EXPECT_EQ(a.unavoidable_duplicates, b.unavoidable_duplicates);
  for (size_t g = 0; g < want.gpu_load.size(); ++g)
    EXPECT_TRUE(same(want.gpu_load[g], got.gpu_load[g])) << "GPU " << g;
}

enum class Counts { kGiven, kNotGiven };

Evaluation shuffled(const Case& c, uint32_t seed, Counts counts, bool gpu_loads) {
  const Problem& problem = c.problem;
  const bool counted = counts == Counts::kGiven;
  solver::EvaluationWorkspace workspace;
  solver::Arena sizes(nullptr);
  workspace.lay_out(sizes, problem, kAllParts, counted);
  std::vector<int64_t> memory(static_cast<size_t>(sizes.used()) / 8, 0x5555555555555555);
  solver::Arena arena(memory.data());
  workspace.lay_out(arena, problem, kAllParts, counted);
  std::vector<int> count(problem.experts);
  for (const int32_t e : c.placement) ++count[e];
  Evaluation evaluation;
  evaluation.resize(1, c.problem.cluster.gpus);
  ShuffledTeam team(seed);
  const solver::PlacedLayer layer{c.placement.data(), counted ? count.data() : nullptr,
                                  gpu_loads ? evaluation.gpu_load.data() : nullptr};
  solver::evaluate_layer(
      team, problem, kAllParts, workspace, [&](int e) { return c.weights.at(0, e); }, layer,
      evaluation.layers[0]);
  return evaluation;
}

// Of an expert, on its node.
int most_copies(const Problem& problem) {
  const int most = (problem.cluster.slots - problem.experts) / problem.partition.nodes + 1;
  return problem.limits.max_replicas > 0 ? std::min(most, problem.limits.max_replicas) : most;
}

void expect_plain(const Case& c, const Evaluation& got) {
  std::vector<double> weight(c.problem.experts);
  for (int64_t e = 0; e < c.problem.experts; ++e) weight[e] = c.weights.at(0, e);
  const int gpus = static_cast<int>(c.problem.cluster.gpus),
            slots = static_cast<int>(c.problem.cluster.slots);
  const plain::Figures want = plain::evaluate(weight, c.placement, gpus,
                                              gpus / static_cast<int>(c.problem.partition.nodes));
  const LayerFigures& layer = got.layers[0];
  EXPECT_EQ(want.duplicates, layer.duplicates);
  EXPECT_EQ(want.unavoidable_duplicates, layer.unavoidable_duplicates);
  EXPECT_TRUE(same(want.mean_load, layer.mean_load));
  EXPECT_TRUE(same(want.largest_load, layer.largest_load));
  EXPECT_EQ(want.gpu_load, got.gpu_load);
  if (c.kind == kDenormals) return;
  EXPECT_TRUE(same(want.imbalance, layer.imbalance));
  const double simple = plain::SimpleBound(weight, slots, gpus, most_copies(c.problem))();
  if (c.problem.partition.nodes == 1 &&
      (slots != 2 * gpus || c.problem.options.bound_kind == EPLB_BOUND_SIMPLE))
    EXPECT_TRUE(same(simple, layer.bound)) << simple << " and " << layer.bound;
  else
    EXPECT_LE(simple, layer.bound);
}

TEST(Evaluation, IsTheSameOnEveryTeam) {
  std::mt19937 random(3);
  int pairs = 0, proven = 0, duplicates = 0, wide = 0;
  for (uint32_t i = 0; i < 600; ++i) {
    SCOPED_TRACE(i);
    const Case c = any_case(random);
    const Evaluation want = evaluate(c.weights, c.problem, c.placement.data());
    ASSERT_TRUE(std::isfinite(want.layers[0].bound));
    for (const cpu::InstructionSet* instruction_set : cpu::instruction_sets())
      if (instruction_set->supported())
        expect_same(
            want, evaluate(c.weights, c.problem, c.placement.data(), kAllParts, *instruction_set));
    expect_same(want, shuffled(c, i, Counts::kNotGiven, true));
    expect_same(want, shuffled(c, i, Counts::kGiven, true));
    Evaluation without_loads = shuffled(c, i, Counts::kGiven, false);
    without_loads.gpu_load = want.gpu_load;
    expect_same(want, without_loads);
    expect_plain(c, want);
    pairs += c.problem.options.bound_kind == EPLB_BOUND_THRESHOLD &&
             c.problem.cluster.slots == 2 * c.problem.cluster.gpus;
    proven += want.layers[0].nodes_proven;
    duplicates += want.layers[0].duplicates > 0;
    wide += solver::slots_per_gpu(c.problem.cluster) > 64;
  }
  EXPECT_GT(pairs, 50);
  EXPECT_GT(proven, 50);
  EXPECT_GT(duplicates, 50);
  EXPECT_GT(wide, 10);
}

// A part is worked out alone, and what else is known stays.
TEST(Evaluation, PartByPart) {
  std::mt19937 random(4);
  for (int i = 0; i < 50; ++i) {
    SCOPED_TRACE(i);
    const Case c = any_case(random);
    Evaluation evaluation;
    evaluation.resize(1, c.problem.cluster.gpus);
    cpu::CpuMachine machine(1);
    for (const EvaluationParts part : {kLoads, kDuplicates, kBounds})
      machine.evaluate(c.weights, false, c.problem, c.placement.data(), part, evaluation);
    EXPECT_EQ(evaluation.known, kAllParts);
    expect_same(evaluate(c.weights, c.problem, c.placement.data()), evaluation);
  }
}

// Of the size of models, where the list of candidates and the shortcuts of the pigeonhole argument
// matter.
TEST(Evaluation, IsThePlainOneOnLargeLayers) {
  std::mt19937 random(5);
  for (const auto& [experts, slots, gpus] : {std::array{256, 288, 32},
                                             {256, 320, 64},
                                             {256, 288, 144},
                                             {256, 256, 64},
                                             {64, 640, 8},
                                             {128, 160, 32},
                                             {256, 512, 256},
                                             {300, 300, 2}})
    for (const int kind : {kLognormal, kFewIntegers, kOneHot, kNearTheLargest}) {
      SCOPED_TRACE(std::to_string(slots) + "/" + std::to_string(gpus) + ", kind " +
                   std::to_string(kind));
      Case c{problem_of({experts, slots, gpus}), {}, kind, {}};
      c.weights.resize(false, 1, experts);
      for (double& w : c.weights.real) w = any_weight(random, kind);
      c.placement = any_placement(random, c.problem);
      expect_plain(c, evaluate(c.weights, c.problem, c.placement.data()));
    }
}

}  // namespace
}  // namespace eplb::tests
