#include "core/evaluation.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/maps.h"
#include "core/placement.h"
#include "machines/cpu/cpu_machine.h"

namespace eplb::tests {
namespace {

Problem problem_of(int64_t experts, int64_t slots, int64_t gpus, int64_t nodes = 1,
                   int64_t groups = 1) {
  return {experts,
          slots,
          gpus,
          nodes,
          groups,
          nodes > 1 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL,
          EPLB_POLICY_REASON_ASKED,
          EPLB_BOUND_SIMPLE};
}

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
  evaluated.figures.resize(weights.layers, problem.gpus);
  cpu::CpuMachine(1).evaluate(weights, problem, placement, {true, true, true}, evaluated.figures);
  fill_report(evaluated.figures, problem, evaluated.report);
  return evaluated;
}

TEST(Report, FiguresByHand) {
  const Problem problem = problem_of(3, 4, 2);
  const Weights weights = weights_of({6, 2, 4, 0, 0, 0}, 2);
  // Loads 5 and 7; a layer of zeros with a duplicate.
  const int32_t placement[] = {0, 1, 0, 2, 0, 0, 1, 2};
  const auto [figures, report] = evaluate(weights, problem, placement);
  EXPECT_DOUBLE_EQ(figures.layers[0].imbalance, 7.0 / 6.0);
  EXPECT_DOUBLE_EQ(figures.layers[1].imbalance, 1.0);
  EXPECT_DOUBLE_EQ(report.imbalance_mean, (7.0 / 6.0 + 1) / 2);
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
  EXPECT_EQ(evaluate(weights_of({least}, 1), problem_of(1, 2, 2), both).report.gap_mean, 0);
  EXPECT_DOUBLE_EQ(
      evaluate(weights_of({least, 0, 0, 0}, 1), problem_of(4, 4, 4), each).report.imbalance_mean,
      4);
  for (const int64_t nodes : {1, 2})
    for (const double unit : {1.0, 10.0, 1e6}) {
      const Weights weights = weights_of({unit * least, unit * least, 2 * unit * least, 0}, 1);
      const auto [figures, report] = evaluate(weights, problem_of(4, 4, 2, nodes, nodes), each);
      const double bound = figures.layers[0].bound;
      EXPECT_EQ(report.imbalance_mean, 1);
      EXPECT_LE(bound, 2 * unit * least);
      EXPECT_GE(bound, 2 * unit * least - 4 * least - 1e-9 * unit * least);
      EXPECT_GE(report.gap_mean, 0);
    }
}

TEST(Report, DuplicatesThatCannotBeAvoided) {
  // Four slots per GPU, two experts: two duplicates each.
  const Problem problem = problem_of(2, 8, 2);
  const int32_t placement[] = {0, 0, 0, 1, 0, 0, 1, 1};
  const eplb_report report = evaluate(weights_of({5, 3}, 1), problem, placement).report;
  EXPECT_EQ(report.duplicates, 4);
  EXPECT_EQ(report.duplicates_unavoidable, 4);
}

TEST(Placement, NamesTheRuleThatBreaks) {
  auto text = [](std::vector<int64_t> placement, const Problem& problem) {
    try {
      read_placement(placement.data(), static_cast<int64_t>(placement.size()), EPLB_INT64, 1,
                     problem);
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), EPLB_INVALID_PLACEMENT);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(text({0, 1, 2, 1}, problem_of(3, 4, 2)), "");
  EXPECT_EQ(text({0, 1, 2, 3}, problem_of(3, 4, 2)),
            "placement[layer 0, slot 3] is 3, must be an expert from 0 to 2");
  EXPECT_EQ(text({0, 1, -1, 2}, problem_of(3, 4, 2)),
            "placement[layer 0, slot 2] is -1, must be an expert from 0 to 2");
  EXPECT_EQ(text({0, 1, 1, 0}, problem_of(3, 4, 2)),
            "placement[layer 0] has no replica of expert 2");
  EXPECT_NE(text({0, 1, 2, 2, 3, 3}, problem_of(4, 6, 2, 2, 2))
                .find("expert 2 on node 1, but its group 1 is on node 0"),
            std::string::npos);
  EXPECT_EQ(text({0, 1, 2, 3, 4, 5, 6, 7}, problem_of(8, 8, 2, 2, 4)), "");
}

TEST(MapShape, NeverDependsOnData) {
  Request request{problem_of(256, 288, 32), {EPLB_STRATEGY_GREEDY, EPLB_EFFORT_NORMAL, 0, 0}, 58};
  const MapEntry& slots_of = map_entry(EPLB_MAP_LOGICAL_TO_PHYSICAL);
  EXPECT_EQ(slots_of.shape(request).dims, (std::array<int64_t, 4>{58, 256, 33, 1}));
  request.options.max_replicas = 4;
  EXPECT_EQ(slots_of.shape(request).dims, (std::array<int64_t, 4>{58, 256, 4, 1}));
  EXPECT_EQ(map_entry(EPLB_MAP_GPU_LOAD).shape(request).elements(), 58 * 32);
  EXPECT_THROW(map_entry(99), Error);
}

}  // namespace
}  // namespace eplb::tests
