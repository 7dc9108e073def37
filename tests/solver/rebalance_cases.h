// Random problems with a current placement, and what the library makes of them through its calls.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "eplb.h"
#include "tests/solver/problems.h"

namespace eplb::tests {

// Layers of one problem, and how they are to be rebalanced.
struct MoveCase {
  Sizes sizes;
  int64_t layers;
  int64_t windows = 1;           // balanced apart if there are several
  std::vector<double> weights;   // [T,L,E]
  std::vector<int64_t> current;  // [L,S]
  std::vector<int64_t> slots;    // by GPU; empty: all
  std::vector<double> speeds;    // empty: equal
  eplb_solve_options options;

  ClusterArrays cluster() const {
    if (slots.empty() && speeds.empty()) return {};
    return read_cluster(slots.empty() ? nullptr : slots.data(),
                        speeds.empty() ? nullptr : speeds.data(), nullptr, sizes.gpus);
  }
};

class MoveLibrary {
 public:
  MoveLibrary() { EXPECT_EQ(eplb_context_create(&context_, nullptr, &error), EPLB_OK); }
  ~MoveLibrary() { eplb_context_destroy(context_); }
  MoveLibrary(const MoveLibrary&) = delete;
  MoveLibrary& operator=(const MoveLibrary&) = delete;

  eplb_error error{};

  // By slot; nothing if it is refused.
  std::vector<int> solve(const MoveCase& c, eplb_strategy strategy) {
    upload(c);
    eplb_problem problem;
    eplb_problem_init(&problem, sizeof problem, nullptr);
    problem.num_slots = c.sizes.slots;
    problem.num_gpus = c.sizes.gpus;
    problem.num_nodes = c.sizes.nodes;
    problem.num_groups = c.sizes.groups;
    problem.objective = c.windows > 1 ? EPLB_OBJECTIVE_WINDOWS : EPLB_OBJECTIVE_SUM;
    problem.policy = c.sizes.groups > 1 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
    eplb_solve_options options = c.options;
    options.strategy = strategy;
    if (eplb_solve(context_, &problem, &options, &error) != EPLB_OK) return {};
    std::vector<int> placement(static_cast<size_t>(c.layers * c.sizes.slots));
    eplb_fetch_map(context_, EPLB_MAP_PHYSICAL_TO_LOGICAL, EPLB_INT32, placement.data(),
                   static_cast<int64_t>(placement.size()), &error);
    return placement;
  }
  // Of what was solved last.
  eplb_report report() {
    eplb_report report;
    eplb_report_init(&report, sizeof report, nullptr);
    EXPECT_EQ(EPLB_OK, eplb_fetch_report(context_, &report, &error)) << error.text;
    return report;
  }

 private:
  void upload(const MoveCase& c) {
    const auto length = static_cast<int64_t>(c.weights.size());
    ASSERT_EQ(EPLB_OK, eplb_upload_weights(context_, c.weights.data(), length, EPLB_FLOAT64,
                                           c.windows, c.layers, c.sizes.experts, &error));
    const int64_t gpus = c.slots.empty() && c.speeds.empty() ? 0 : c.sizes.gpus;
    ASSERT_EQ(EPLB_OK, eplb_upload_cluster(context_, c.slots.empty() ? nullptr : c.slots.data(),
                                           c.speeds.empty() ? nullptr : c.speeds.data(), nullptr,
                                           gpus, &error))
        << error.text;
    ASSERT_EQ(EPLB_OK, eplb_upload_placement(context_, c.current.data(),
                                             static_cast<int64_t>(c.current.size()), EPLB_INT64,
                                             c.layers, c.sizes.slots, &error));
  }

  eplb_context* context_ = nullptr;
};

// Random problems of few GPUs, layers that were good for other loads, with holes.
class AnyMoveCase {
 public:
  explicit AnyMoveCase(uint32_t seed, int most_windows = 1) : random_(seed) {
    if (most_windows > 1) c_.windows = 2 + below(most_windows - 1);
  }

  MoveCase make(MoveLibrary& library) {
    choose_sizes();
    choose_options();
    if (c_.sizes.groups == 1 && chance(40)) choose_slots();
    if (c_.sizes.groups == 1 && chance(30))
      for (int64_t g = 0; g < c_.sizes.gpus; ++g)
        c_.speeds.push_back(1.0 / static_cast<double>(1 + below(4)));
    for (int64_t i = 0; i < c_.windows * c_.layers * c_.sizes.experts; ++i)
      c_.weights.push_back(weight());
    if (chance(10)) std::fill_n(c_.weights.begin(), c_.sizes.experts, 0);
    choose_current(library);
    return c_;
  }

 private:
  int64_t below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  bool chance(int percent) { return below(100) < percent; }
  double weight() {
    if (kind_ == 0) return static_cast<double>(below(5));
    return std::floor(std::lognormal_distribution<double>(kind_ == 1 ? 3 : 9, 1)(random_));
  }

  void choose_sizes() {
    kind_ = static_cast<int>(below(3));
    c_.layers = 1 + below(3) / 2 + below(3) / 2;
    const int64_t rows = 1 + below(5), gpus = 2 + below(chance(10) ? 16 : 8);
    c_.sizes = {1 + below(rows * gpus), rows * gpus, gpus};
    if (chance(50)) c_.sizes.experts = std::max<int64_t>(1, rows * gpus * (60 + below(41)) / 100);
    if (!chance(25)) return;
    const int64_t nodes = 2 + below(2), each = 1 + below(4), groups = nodes * (1 + below(2));
    const int64_t slots_of_group = nodes * each * rows / groups;
    if (slots_of_group == 0) return;
    c_.sizes = {groups * (1 + below(slots_of_group)), nodes * each * rows, nodes * each, nodes,
                groups};
  }
  void choose_options() {
    eplb_solve_options_init(&c_.options, sizeof c_.options, nullptr);
    c_.options.effort = chance(70)   ? EPLB_EFFORT_FAST
                        : chance(80) ? EPLB_EFFORT_NORMAL
                                     : EPLB_EFFORT_MAX;
    c_.options.seed = random_() << below(20);
    if (chance(40)) c_.options.max_moves = below(c_.sizes.slots);
    if (chance(25)) c_.options.max_moves_total = below(c_.layers * c_.sizes.slots / 2 + 1);
    if (chance(30)) c_.options.max_arrivals = 1 + below(4);
    constexpr double kTargets[] = {0, 1, 1.02, 1.1, 1.5, 40};
    if (chance(60)) c_.options.target = kTargets[below(6)];
    constexpr double kPrices[] = {1e-4, 1e-2, 0.2};
    if (chance(25)) c_.options.move_price = kPrices[below(3)];
    c_.options.allow_empty = chance(30);
  }
  void choose_slots() {
    int64_t open = 0;
    for (int64_t g = 0; g < c_.sizes.gpus; ++g) {
      const int64_t rows = c_.sizes.slots / c_.sizes.gpus;
      c_.slots.push_back(chance(70) ? rows : chance(50) ? 0 : below(rows + 1));
      open += c_.slots.back();
    }
    if (open == 0) open = c_.slots[0] = 1;
    c_.sizes.experts = std::min(c_.sizes.experts, open);
  }
  void choose_current(MoveLibrary& library) {
    const auto length = static_cast<size_t>(c_.layers * c_.sizes.slots);
    c_.current.assign(length, -1);
    MoveCase before = c_;
    before.slots.clear();
    before.speeds.clear();
    if (chance(50))
      for (double& w : before.weights) w = weight();
    const std::vector<int> good = library.solve(before, EPLB_STRATEGY_BEST);
    ASSERT_EQ(length, good.size()) << library.error.text;
    const int stays = chance(25) ? 0 : 50 + static_cast<int>(below(51));
    for (size_t i = 0; i < length; ++i)
      c_.current[i] = chance(stays) ? good[i] : chance(50) ? below(c_.sizes.experts) : -1;
    if (c_.sizes.experts >= 2 && chance(30)) c_.options.max_replicas = cap();
  }
  // As small as it may be, or a little more.
  int64_t cap() {
    const int64_t open = c_.slots.empty()
                             ? c_.sizes.slots
                             : std::accumulate(c_.slots.begin(), c_.slots.end(), int64_t{0});
    return (open + c_.sizes.experts - 1) / c_.sizes.experts + below(3);
  }

  std::mt19937 random_;
  MoveCase c_{};
  int kind_ = 0;
};

inline std::string text_of(const MoveCase& c) {
  std::ostringstream text;
  const eplb_solve_options& o = c.options;
  text << c.windows << " windows, " << c.layers << " layers, " << c.sizes.experts << " experts, "
       << c.sizes.slots << " slots, " << c.sizes.gpus << " GPUs, " << c.sizes.nodes << " nodes, "
       << c.sizes.groups << " groups, effort " << o.effort << ", max_moves " << o.max_moves
       << ", total " << o.max_moves_total << ", arrivals " << o.max_arrivals << ", target "
       << o.target << ", price " << o.move_price << ", empty " << o.allow_empty << ", cap "
       << o.max_replicas << (c.slots.empty() ? "" : ", closed slots")
       << (c.speeds.empty() ? "" : ", speeds");
  return text.str();
}

}  // namespace eplb::tests
