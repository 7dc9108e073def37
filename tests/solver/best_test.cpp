// BEST through the C API: against exhaustive search, against its own invariants, and a few answers
// that must not change.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "eplb.h"
#include "tests/solver/exhaustive.h"

namespace eplb::tests {
namespace {

class Solver {
 public:
  Solver() { EXPECT_EQ(eplb_context_create(&context_, nullptr, &error_), EPLB_OK); }
  ~Solver() { eplb_context_destroy(context_); }

  // One layer; throws nothing, fails the test.
  void solve(const std::vector<double>& weights, eplb_problem problem, eplb_effort effort,
             uint64_t seed = 0, int64_t max_replicas = 0) {
    eplb_solve_options options;
    eplb_solve_options_init(&options, sizeof options, nullptr);
    options.strategy = EPLB_STRATEGY_BEST;
    options.effort = effort;
    options.seed = seed;
    options.max_replicas = max_replicas;
    const int64_t experts = static_cast<int64_t>(weights.size());
    ASSERT_EQ(eplb_upload_weights(context_, weights.data(), experts, EPLB_FLOAT64, 1, 1, experts,
                                  &error_),
              EPLB_OK);
    ASSERT_EQ(eplb_solve(context_, &problem, &options, &error_), EPLB_OK) << error_.text;
    placement.resize(problem.num_slots);
    eplb_fetch_map(context_, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement.data(),
                   problem.num_slots, &error_);
    loads.resize(problem.num_gpus);
    eplb_fetch_map(context_, EPLB_MAP_GPU_LOAD, EPLB_FLOAT64, loads.data(), problem.num_gpus,
                   &error_);
    eplb_report_init(&report, sizeof report, nullptr);
    ASSERT_EQ(eplb_fetch_report(context_, &report, &error_), EPLB_OK);
    largest = *std::max_element(loads.begin(), loads.end());
  }

  std::vector<int32_t> placement;
  std::vector<double> loads;
  double largest = 0;
  eplb_report report{};

 private:
  eplb_context* context_ = nullptr;
  eplb_error error_;
};

eplb_problem problem_of(int64_t slots, int64_t gpus) {
  eplb_problem problem;
  eplb_problem_init(&problem, sizeof problem, nullptr);
  problem.num_slots = slots;
  problem.num_gpus = gpus;
  return problem;
}

std::vector<double> tiny_weights(std::mt19937& random, int experts) {
  std::vector<double> weights(experts);
  const int kind = static_cast<int>(random() % 4);
  for (double& w : weights) {
    if (kind == 0)
      w = static_cast<double>(random() % 6);
    else if (kind == 1)
      w = std::lognormal_distribution<double>(5, 1)(random);
    else if (kind == 2)
      w = 1 + static_cast<double>(random() % 1000);
    else
      w = random() % 3 == 0 ? 500 + random() % 200 : 1 + random() % 60;
  }
  return weights;
}

// The optimum where the rounds suffice to try all counts: nearly always with one or two slots per
// GPU, mostly with more.
TEST(Best, SolvesTinyProblems) {
  std::mt19937 random(11);
  Solver solver;
  int problems = 0, optimal_of_few = 0, of_many = 0, optimal_of_many = 0;
  double excess = 0;
  while (problems < 840) {
    const int gpus = 2 + static_cast<int>(random() % 5),
              slots = gpus * (1 + static_cast<int>(random() % 4));
    if (slots < 4 || slots > 12) continue;
    const int experts = 2 + static_cast<int>(random() % (slots - 1));
    if (experts < 4 && slots > 6) continue;  // nothing to choose, but long to try out
    const std::vector<double> weights = tiny_weights(random, experts);
    if (std::accumulate(weights.begin(), weights.end(), 0.0) == 0) continue;
    const double optimum = Exhaustive(weights, slots, gpus, false, slots).largest_load();
    if (!std::isfinite(optimum)) continue;  // duplicates are forced
    solver.solve(weights, problem_of(slots, gpus), EPLB_EFFORT_MAX);
    EXPECT_EQ(solver.report.duplicates, 0);
    EXPECT_LE(solver.report.bound_mean, solver.report.imbalance_mean);
    ASSERT_GE(solver.largest, optimum * (1 - 1e-9));
    const bool optimal = solver.largest <= optimum * (1 + 1e-6);
    ++problems;
    if (slots <= 2 * gpus) {
      optimal_of_few += optimal;
      continue;
    }
    ++of_many;
    optimal_of_many += optimal;
    excess += solver.largest / optimum - 1;
  }
  EXPECT_GE(optimal_of_few, (problems - of_many) * 99 / 100);
  EXPECT_GE(optimal_of_many, of_many * 70 / 100);
  EXPECT_LE(excess / of_many, 0.012);
}

// The most that keeping replicas of an expert on different GPUs costs, of all layers of up to 10
// slots that a search went through: expert 1 alone on a GPU would leave the others the other one.
TEST(Best, AvoidsDuplicatesThatWouldBalanceBetter) {
  const std::vector<double> weights = {1, 3, 2};
  EXPECT_EQ(Exhaustive(weights, 4, 2, true, 4).largest_load(), 3);
  Solver solver;
  for (const eplb_effort effort : {EPLB_EFFORT_FAST, EPLB_EFFORT_NORMAL, EPLB_EFFORT_MAX}) {
    solver.solve(weights, problem_of(4, 2), effort);
    EXPECT_EQ(solver.report.duplicates, 0);
    EXPECT_NEAR(solver.largest, 3.5, 1e-9);
  }
}

TEST(Best, FlashExampleAtEveryEffort) {
  Solver solver;
  for (const eplb_effort effort : {EPLB_EFFORT_FAST, EPLB_EFFORT_NORMAL, EPLB_EFFORT_MAX}) {
    solver.solve({600, 560, 120, 120, 20, 10, 10, 10}, problem_of(16, 8), effort);
    EXPECT_NEAR(solver.largest, effort == EPLB_EFFORT_MAX ? 590.0 / 3 : 200, 1e-9);
  }
}

TEST(Best, NoDuplicatesThatCouldBeAvoided) {
  std::mt19937 random(5);
  Solver solver;
  for (int t = 0; t < 150; ++t) {
    const int gpus = 2 + static_cast<int>(random() % 40),
              per_gpu = 1 + static_cast<int>(random() % 9);
    const int slots = gpus * per_gpu,
              experts = std::max<int>(per_gpu, slots - static_cast<int>(random() % slots));
    std::vector<double> weights(experts);
    for (double& w : weights)
      w = std::lognormal_distribution<double>(8, t % 3 == 0 ? 2.5 : 0.8)(random);
    solver.solve(weights, problem_of(slots, gpus), t % 2 ? EPLB_EFFORT_FAST : EPLB_EFFORT_NORMAL,
                 t);
    EXPECT_EQ(solver.report.duplicates, 0)
        << experts << " experts, " << slots << " slots, " << gpus << " GPUs";
  }
}

// A cap leaves steep sizes, of which one exchange does not always take a duplicate away; and GPUs
// of more than 64 slots.
TEST(Best, NoDuplicatesThatCouldBeAvoidedUnderACap) {
  Solver solver;
  solver.solve({30, 179, 5, 9, 22, 37, 375, 5, 2}, problem_of(16, 4), EPLB_EFFORT_NORMAL, 0, 3);
  EXPECT_EQ(solver.report.duplicates, 0);
  std::mt19937 random(6);
  for (int t = 0; t < 300; ++t) {
    const int gpus = 3 + static_cast<int>(random() % 12),
              per_gpu = t % 5 == 0 ? 65 + random() % 60 : 3 + random() % 8;
    const int slots = gpus * per_gpu,
              experts = std::max<int>(per_gpu, slots / 4 + static_cast<int>(random() % slots) / 2);
    const int cap =
        std::min<int>(gpus, (slots + experts - 1) / experts + static_cast<int>(random() % 3));
    std::vector<double> weights(experts);
    for (double& w : weights) w = std::exp(static_cast<double>(random() % 10000) / 1000);
    solver.solve(weights, problem_of(slots, gpus), EPLB_EFFORT_FAST, t, cap);
    EXPECT_EQ(solver.report.duplicates, 0)
        << experts << " experts, " << slots << " slots, " << gpus << " GPUs";
  }
}

// With groups as wishes, empty slots are filled last, where a cap may leave copies of what is there.
TEST(Best, NoDuplicatesThatCouldBeAvoidedUnderSoftPolicy) {
  std::mt19937 random(7);
  Solver solver;
  for (int t = 0; t < 200; ++t) {
    const int gpus = 2 + static_cast<int>(random() % 6), per_gpu = 2 + random() % 4;
    const int slots = gpus * per_gpu,
              experts = std::min<int>(slots, 2 + static_cast<int>(random() % (per_gpu + 3)));
    std::vector<double> weights(experts);
    for (double& w : weights) w = std::exp(static_cast<double>(random() % 10000) / 1000);
    eplb_problem problem = problem_of(slots, gpus);
    problem.policy = EPLB_POLICY_SOFT;
    problem.num_groups = 1 + static_cast<int>(random() % experts);
    problem.num_nodes = 1 + static_cast<int>(random() % 2);
    solver.solve(weights, problem, EPLB_EFFORT_FAST, t, (slots + experts - 1) / experts);
    EXPECT_EQ(solver.report.duplicates, solver.report.duplicates_unavoidable)
        << experts << " experts, " << slots << " slots, " << gpus << " GPUs";
  }
}

TEST(Best, LargeShapesAtEveryEffort) {
  std::mt19937 random(9);
  std::vector<double> weights(4096);
  for (double& w : weights) w = std::floor(std::lognormal_distribution<double>(9, 0.7)(random));
  Solver solver;
  for (const eplb_effort effort : {EPLB_EFFORT_FAST, EPLB_EFFORT_NORMAL, EPLB_EFFORT_MAX}) {
    solver.solve(weights, problem_of(8192, 1024), effort);
    EXPECT_EQ(solver.report.duplicates, 0);
    EXPECT_LT(solver.report.gap_worst, 0.0005);
  }
}

TEST(Best, MoreEffortIsNotWorseOnTheWhole) {
  std::mt19937 random(3);
  Solver solver;
  double gap[3] = {};
  for (int t = 0; t < 20; ++t) {
    std::vector<double> weights(256);
    for (double& w : weights) w = std::floor(std::lognormal_distribution<double>(9, 0.7)(random));
    for (int effort = 0; effort < 3; ++effort) {
      solver.solve(weights, problem_of(288, 72), effort);
      gap[effort] += solver.report.gap_mean / 20;
    }
  }
  EXPECT_LT(gap[1], gap[0]);
  EXPECT_LT(gap[2], gap[1]);
  EXPECT_LT(gap[0], 0.002);
}

// FNV-1a over the slots: if these change, answers of released versions would too.
TEST(Best, FrozenAnswers) {
  std::vector<double> weights(64);
  for (size_t e = 0; e < weights.size(); ++e)
    weights[e] = static_cast<double>((e * 2654435761u >> 7) % 10007 + 1);
  Solver solver;
  auto hash = [&](int64_t slots, int64_t gpus, eplb_effort effort) {
    solver.solve(weights, problem_of(slots, gpus), effort, 42);
    uint64_t h = 14695981039346656037u;
    for (const int32_t e : solver.placement) h = (h ^ static_cast<uint64_t>(e)) * 1099511628211u;
    return h;
  };
  EXPECT_EQ(hash(80, 16, EPLB_EFFORT_FAST), 6214213502398188377u);
  EXPECT_EQ(hash(80, 16, EPLB_EFFORT_NORMAL), 6182684269124999667u);
  EXPECT_EQ(hash(72, 24, EPLB_EFFORT_NORMAL), 16926865073488135080u);
  EXPECT_EQ(hash(96, 48, EPLB_EFFORT_MAX), 3845353952964043095u);
}

}  // namespace
}  // namespace eplb::tests
