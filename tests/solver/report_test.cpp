#include "core/evaluation.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/maps.h"
#include "core/placement.h"
#include "machines/cpu/cpu_machine.h"
#include "tests/solver/problems.h"

namespace eplb::tests {
namespace {

Weights weights_of(std::vector<double> values, int64_t layers) {
  Weights weights;
  weights.resize(false, layers, static_cast<int64_t>(values.size()) / layers);
  weights.real = std::move(values);
  return weights;
}

struct Evaluated {
  Evaluation figures;
  eplb_report report{};
};

Evaluated evaluate(const Weights& weights, const Problem& problem, const int32_t* placement) {
  Evaluated evaluated;
  evaluated.figures.resize(weights.layers, problem.cluster.gpus);
  cpu::CpuMachine(1).evaluate(weights, false, problem, placement, kAllParts, evaluated.figures);
  fill_report(evaluated.figures, problem, evaluated.report);
  return evaluated;
}

TEST(Report, FiguresByHand) {
  const Problem problem = problem_of({3, 4, 2});
  const Weights weights = weights_of({6, 2, 4, 0, 0, 0}, 2);
  // Loads 5 and 7; a layer of zeros with a duplicate.
  const int32_t placement[] = {0, 1, 0, 2, 0, 0, 1, 2};
  const auto [figures, report] = evaluate(weights, problem, placement);
  EXPECT_DOUBLE_EQ(figures.layers[0].imbalance, 7.0 / 6.0);
  EXPECT_DOUBLE_EQ(figures.layers[1].imbalance, 1.0);
  EXPECT_DOUBLE_EQ(report.imbalance_mean, 7.0 / 6.0);  // of the layer that has load
  EXPECT_EQ(report.num_empty_layers, 1);
  EXPECT_DOUBLE_EQ(report.imbalance_worst, 7.0 / 6.0);
  EXPECT_EQ(report.worst_layer, 0);
  EXPECT_NEAR(figures.layers[0].bound, 6, 1e-9);
  EXPECT_NEAR(report.gap_worst, 7.0 / 6.0 - 1, 1e-9);
  EXPECT_EQ(figures.layers[0].duplicates, 0);
  EXPECT_EQ(figures.layers[1].duplicates, 1);
  EXPECT_EQ(figures.gpu_load, (std::vector<double>{5, 7, 0, 0}));
  EXPECT_EQ(report.duplicates, 1);
  EXPECT_EQ(report.duplicates_unavoidable, 0);
}

// Quotients of denormals lose bits, or become 0: an infinite imbalance, a bound above the load, one
// that was looked for without end.
TEST(Report, DenormalWeights) {
  const double least = 0x1p-1074;
  const int32_t both[] = {0, 0}, each[] = {0, 1, 2, 3};
  EXPECT_EQ(evaluate(weights_of({least}, 1), problem_of({1, 2, 2}), both).report.gap_mean, 0);
  EXPECT_DOUBLE_EQ(
      evaluate(weights_of({least, 0, 0, 0}, 1), problem_of({4, 4, 4}), each).report.imbalance_mean,
      4);
  // Both replicas are rounded up: the load is above the sum of weights, the imbalance is not.
  const int32_t together[] = {0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
  std::vector<double> one(15);
  one[0] = 3 * least;
  const auto [rounded, its_report] =
      evaluate(weights_of(one, 1), problem_of({15, 16, 8}), together);
  EXPECT_EQ(rounded.layers[0].largest_load, 4 * least);
  EXPECT_EQ(its_report.imbalance_mean, 8);
  for (const int64_t nodes : {1, 2})
    for (const double unit : {1.0, 10.0, 1e6}) {
      const Weights weights = weights_of({unit * least, unit * least, 2 * unit * least, 0}, 1);
      const auto [figures, report] = evaluate(weights, problem_of({4, 4, 2, nodes, nodes}), each);
      const double bound = figures.layers[0].bound;
      EXPECT_EQ(report.imbalance_mean, 1);
      EXPECT_LE(bound, 2 * unit * least);
      EXPECT_GE(bound, 2 * unit * least - 4 * least - 1e-9 * unit * least);
      EXPECT_GE(report.gap_mean, 0);
    }
}

TEST(Report, WindowsByHand) {
  const Problem problem = problem_of({4, 4, 2}, {}, 2);
  // [3,2,4]: the first window is busy on one GPU of layer 0, the second has no load at all, and
  // layer 1 only the last.
  const float data[] = {3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 1, 5, 0};
  const int32_t placement[] = {0, 1, 2, 3, 0, 1, 2, 3};
  Weights weights;
  read_weights({data, 24, EPLB_FLOAT32, 3, 2, 4}, weights);
  WindowFigures figures;
  figures.resize(2, weights.windows);
  cpu::CpuMachine(1).evaluate_windows(weights, problem, placement, kLoads | kBounds, figures);
  EXPECT_EQ(figures.known, kLoads | kBounds);
  EXPECT_DOUBLE_EQ(figures.at(0, 0).imbalance, 2);
  EXPECT_NEAR(figures.at(0, 0).bound, 3, 1e-9);
  EXPECT_EQ(figures.at(1, 0).imbalance, 1);
  EXPECT_DOUBLE_EQ(figures.at(2, 0).imbalance, 1.5);
  EXPECT_EQ(figures.at(0, 1).imbalance, 1);
  EXPECT_DOUBLE_EQ(figures.at(2, 1).imbalance, 5.0 / 3);
  eplb_report report{};
  fill_report(figures, report);
  EXPECT_EQ(report.num_windows, 3);
  EXPECT_EQ(report.num_empty_windows, 1);
  EXPECT_DOUBLE_EQ(report.windows_mean, (2 + 1.5 + 5.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(report.windows_worst, 2);
  EXPECT_EQ(report.worst_window, 0);
  EXPECT_EQ(report.worst_window_layer, 0);
}

TEST(Report, DuplicatesThatCannotBeAvoided) {
  // Four slots per GPU, two experts: two duplicates each.
  const Problem problem = problem_of({2, 8, 2});
  const int32_t placement[] = {0, 0, 0, 1, 0, 0, 1, 1};
  const eplb_report report = evaluate(weights_of({5, 3}, 1), problem, placement).report;
  EXPECT_EQ(report.duplicates, 4);
  EXPECT_EQ(report.duplicates_unavoidable, 4);
}

TEST(Placement, NamesTheRuleThatBreaks) {
  auto text = [](std::vector<int64_t> placement, const Problem& problem) {
    try {
      read_placement(placement.data(), static_cast<int64_t>(placement.size()), EPLB_INT64, problem);
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), EPLB_INVALID_PLACEMENT);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(text({0, 1, 2, 1}, problem_of({3, 4, 2})), "");
  EXPECT_EQ(text({0, 1, 2, 3}, problem_of({3, 4, 2})),
            "placement[layer 0, slot 3] is 3, must be an expert from 0 to 2, or -1 for none");
  EXPECT_EQ(text({0, 1, -1, 2}, problem_of({3, 4, 2})), "");
  EXPECT_EQ(text({0, 1, -2, 2}, problem_of({3, 4, 2})),
            "placement[layer 0, slot 2] is -2, must be an expert from 0 to 2, or -1 for none");
  EXPECT_EQ(text({0, 1, 1, 0}, problem_of({3, 4, 2})),
            "placement[layer 0] has no replica of expert 2");
  EXPECT_NE(text({0, 1, 2, 2, 3, 3}, problem_of({4, 6, 2, 2, 2}))
                .find("expert 2 on node 1, but its group 1 is on node 0"),
            std::string::npos);
  EXPECT_EQ(text({0, 1, 2, 3, 4, 5, 6, 7}, problem_of({8, 8, 2, 2, 4})), "");
}

TEST(Weights, KeepWindowsAndTheirSum) {
  const float data[] = {1, 2, 3, 4, 10, 20, 30, 40};  // [2,2,2]
  Weights weights;
  read_weights({data, 8, EPLB_FLOAT32, 2, 2, 2}, weights);
  EXPECT_EQ(weights.real_windows, (std::vector<double>{1, 2, 3, 4, 10, 20, 30, 40}));
  EXPECT_EQ(weights.real, (std::vector<double>{11, 22, 33, 44}));
  EXPECT_EQ(weights.windows, 2);
  EXPECT_EQ(weights.of_window(1, 1).real[0], 30);
  read_weights({data, 8, EPLB_FLOAT32, 1, 2, 4}, weights);
  EXPECT_TRUE(weights.real_windows.empty());
  EXPECT_EQ(weights.windows, 1);
  EXPECT_EQ(weights.of_window(0, 1).real[3], 40);
  EXPECT_EQ(weights.real, (std::vector<double>{1, 2, 3, 4, 10, 20, 30, 40}));
  const std::vector<int32_t> many(kMostWindows + 1, 3);
  read_weights({many.data(), kMostWindows + 1, EPLB_INT32, kMostWindows + 1, 1, 1}, weights);
  EXPECT_TRUE(weights.whole_windows.empty());
  EXPECT_EQ(weights.windows, 0);
  EXPECT_EQ(weights.whole, (std::vector<int64_t>{3 * (kMostWindows + 1)}));
}

TEST(Problem, SizesThatOverflowAreRefused) {
  EXPECT_EQ(problem_of({4, 8, 2}, {}, int64_t{1} << 47).layers, int64_t{1} << 47);
  EXPECT_THROW(problem_of({4, 8, 2}, {}, (int64_t{1} << 47) + 1), Error);
}

TEST(MapShape, NeverDependsOnData) {
  Problem problem = problem_of({256, 288, 32}, options_of(EPLB_STRATEGY_GREEDY), 58);
  const MapEntry& slots_of = map_entry(EPLB_MAP_LOGICAL_TO_PHYSICAL);
  EXPECT_EQ(slots_of.shape(problem).dims, (std::array<int64_t, 4>{58, 256, 33, 1}));
  problem.limits.max_replicas = 4;
  EXPECT_EQ(slots_of.shape(problem).dims, (std::array<int64_t, 4>{58, 256, 4, 1}));
  EXPECT_EQ(map_entry(EPLB_MAP_GPU_LOAD).shape(problem).elements(), 58 * 32);
  EXPECT_THROW(map_entry(99), Error);
}

}  // namespace
}  // namespace eplb::tests
