// GPUs that differ in slots or speed: figures of placements are the same from every instruction set
// and from shuffled lanes, bounds are proven, and what is unavoidable is.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "core/weights.h"
#include "solver/evaluate/layer_evaluation.h"
#include "tests/solver/evaluate.h"
#include "tests/solver/problems.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

struct Case {
  Sizes sizes;
  std::vector<int64_t> slots;
  std::vector<double> speed;
  ClusterArrays cluster;
  Weights weights;  // one layer
  std::vector<int32_t> placement;

  Problem problem(eplb_bound_kind kind = EPLB_BOUND_THRESHOLD) const {
    return problem_of(sizes, options_of(EPLB_STRATEGY_LPT_SWAP), 1, kind, cluster);
  }
};

// tiny: few enough replicas to try everything.
Case any_case(std::mt19937& random, bool tiny) {
  Case c;
  const int64_t gpus = 2 + random() % (tiny ? 3 : 11), places = 1 + random() % (tiny ? 3 : 20);
  int64_t open = 0;
  do {
    c.slots.clear();
    for (int64_t g = 0; g < gpus; ++g)
      c.slots.push_back(random() % 2 ? places : static_cast<int64_t>(random() % (places + 1)));
    open = std::accumulate(c.slots.begin(), c.slots.end(), int64_t{0});
  } while (open == 0 || (tiny && open > 8));
  const bool speeds = random() % 2;
  for (int64_t g = 0; g < gpus; ++g)
    c.speed.push_back(speeds ? 0.25 * static_cast<double>(1 + random() % 6) : 1);
  c.sizes = {1 + static_cast<int64_t>(random() % static_cast<uint32_t>(open)), gpus * places, gpus};
  c.cluster = read_cluster(c.slots.data(), c.speed.data(), nullptr, gpus);
  c.weights.resize(false, 1, c.sizes.experts);
  std::lognormal_distribution<double> lognormal(2, 1.5);
  const bool coarse = random() % 2;
  for (double& weight : c.weights.real)
    weight = coarse ? static_cast<double>(random() % 7) : lognormal(random);
  return c;
}

// Any replicas on open slots, of which so many percent may stay empty.
void place(std::mt19937& random, Case& c, uint32_t empty = 20) {
  const int64_t places = c.sizes.slots / c.sizes.gpus;
  std::vector<int64_t> open;
  for (int64_t s = 0; s < c.sizes.slots; ++s)
    if (s % places < c.slots[static_cast<size_t>(s / places)]) open.push_back(s);
  std::shuffle(open.begin(), open.end(), random);
  c.placement.assign(static_cast<size_t>(c.sizes.slots), -1);
  for (size_t i = 0; i < open.size(); ++i) {
    const auto e = static_cast<int64_t>(i) < c.sizes.experts ? static_cast<int64_t>(i)
                                                             : random() % c.sizes.experts;
    const bool left_out = static_cast<int64_t>(i) >= c.sizes.experts && random() % 100 < empty;
    if (!left_out) c.placement[static_cast<size_t>(open[i])] = static_cast<int32_t>(e);
  }
}

bool has_empty_slots(const Case& c) {
  return std::count(c.placement.begin(), c.placement.end(), -1) >
         c.sizes.slots - std::accumulate(c.slots.begin(), c.slots.end(), int64_t{0});
}

bool same(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

void expect_same(const LayerFigures& a, const LayerFigures& b) {
  EXPECT_TRUE(same(a.mean_load, b.mean_load) && same(a.largest_load, b.largest_load));
  EXPECT_TRUE(same(a.imbalance, b.imbalance));
  EXPECT_TRUE(same(a.bound, b.bound)) << a.bound << " and " << b.bound;
  EXPECT_EQ(a.duplicates, b.duplicates);
  EXPECT_EQ(a.unavoidable_duplicates, b.unavoidable_duplicates);
  EXPECT_EQ(a.most_lost, b.most_lost);
}

LayerFigures shuffled(const Case& c, uint32_t seed, bool counted) {
  const Problem problem = c.problem();
  solver::EvaluationWorkspace workspace;
  solver::Arena sizes(nullptr);
  workspace.lay_out(sizes, problem, kAllParts, counted);
  std::vector<int64_t> memory(static_cast<size_t>(sizes.used()) / 8 + 1, 0x5555555555555555);
  solver::Arena arena(memory.data());
  workspace.lay_out(arena, problem, kAllParts, counted);
  std::vector<int> count(static_cast<size_t>(c.sizes.experts));
  for (const int32_t e : c.placement)
    if (e >= 0) ++count[static_cast<size_t>(e)];
  LayerFigures figures;
  ShuffledTeam team(seed);
  solver::evaluate_layer(
      team, problem, kAllParts, workspace, [&](int e) { return c.weights.at(0, e); },
      {c.placement.data(), counted ? count.data() : nullptr, nullptr}, figures);
  return figures;
}

TEST(Unequal, FiguresAreTheSameOnEveryTeam) {
  std::mt19937 random(1);
  for (uint32_t i = 0; i < 400; ++i) {
    SCOPED_TRACE(i);
    Case c = any_case(random, i % 2);
    place(random, c);
    const LayerFigures want = evaluate(c.weights, c.problem(), c.placement.data()).layers[0];
    for (const cpu::InstructionSet* instruction_set : cpu::instruction_sets())
      if (instruction_set->supported())
        expect_same(
            want, evaluate(c.weights, c.problem(), c.placement.data(), kAllParts, *instruction_set)
                      .layers[0]);
    expect_same(want, shuffled(c, i, false));
    LayerFigures counted = shuffled(c, i, true);
    if (c.sizes.slots / c.sizes.gpus > solver::kFewPlaces && counted.most_lost == 0)
      counted.most_lost = want.most_lost;  // not worked out there
    expect_same(want, counted);
  }
}

// Goes through all multisets of experts on every GPU.
class EveryPlacement {
 public:
  EveryPlacement(const Case& c, bool may_be_empty, std::function<void(const std::vector<int>&)> use)
      : c_(c), may_be_empty_(may_be_empty), use_(std::move(use)) {
    for (size_t g = 0; g < c.slots.size(); ++g)
      for (int64_t k = 0; k < c.slots[g]; ++k) gpu_of_.push_back(static_cast<int>(g));
    expert_.resize(gpu_of_.size());
    put(0);
  }

 private:
  void put(size_t i) {
    if (i == expert_.size()) return use_(expert_);
    const bool goes_on = i > 0 && gpu_of_[i] == gpu_of_[i - 1];
    for (int e = goes_on ? expert_[i - 1] : may_be_empty_ ? -1 : 0; e < c_.sizes.experts; ++e) {
      expert_[i] = e;
      put(i + 1);
    }
  }

  const Case& c_;
  bool may_be_empty_;
  std::function<void(const std::vector<int>&)> use_;
  std::vector<int> gpu_of_, expert_;
};

std::vector<int> gpus_of_slots(const Case& c) {
  std::vector<int> gpus;
  for (size_t g = 0; g < c.slots.size(); ++g)
    gpus.insert(gpus.end(), static_cast<size_t>(c.slots[g]), static_cast<int>(g));
  return gpus;
}

// The least largest time; infinite if no placement has all experts.
double optimum(const Case& c, bool may_be_empty) {
  const std::vector<int> gpu_of = gpus_of_slots(c);
  double open = 0, total = 0, best = std::numeric_limits<double>::infinity();
  for (size_t g = 0; g < c.slots.size(); ++g)
    if (c.slots[g] > 0) {
      ++open;
      total += c.speed[g];
    }
  EveryPlacement(c, may_be_empty, [&](const std::vector<int>& expert) {
    std::vector<int> count(static_cast<size_t>(c.sizes.experts));
    for (const int e : expert)
      if (e >= 0) ++count[static_cast<size_t>(e)];
    if (std::find(count.begin(), count.end(), 0) != count.end()) return;
    std::vector<double> load(c.slots.size());
    for (size_t i = 0; i < expert.size(); ++i)
      if (expert[i] >= 0)
        load[static_cast<size_t>(gpu_of[i])] +=
            c.weights.real[static_cast<size_t>(expert[i])] / count[static_cast<size_t>(expert[i])];
    double largest = 0;
    for (size_t g = 0; g < load.size(); ++g)
      largest = std::max(largest, load[g] / (c.speed[g] / total * open));
    best = std::min(best, largest);
  });
  return best;
}

// Of equal GPUs, too: a bound for placements with empty slots is another one.
TEST(Unequal, BoundsAreNeverAboveTheOptimum) {
  std::mt19937 random(2);
  int tight = 0, tried = 0, some_empty = 0;
  for (int i = 0; i < 600; ++i) {
    SCOPED_TRACE(i);
    Case c = any_case(random, true);
    if (c.sizes.experts > 4) continue;
    if (i % 4 == 0) {
      std::fill(c.slots.begin(), c.slots.end(), c.sizes.slots / c.sizes.gpus);
      if (std::accumulate(c.slots.begin(), c.slots.end(), int64_t{0}) > 8) continue;
      c.cluster = read_cluster(c.slots.data(), c.speed.data(), nullptr, c.sizes.gpus);
    }
    for (const uint32_t empty : {0, 60}) {
      place(random, c, empty);
      const bool may_be_empty = has_empty_slots(c);
      some_empty += may_be_empty;
      const double best = optimum(c, may_be_empty);
      for (const eplb_bound_kind kind : {EPLB_BOUND_SIMPLE, EPLB_BOUND_THRESHOLD}) {
        const double bound =
            evaluate(c.weights, c.problem(kind), c.placement.data(), kBounds).layers[0].bound;
        ASSERT_LE(bound, best * (1 + 1e-12));
        tight += bound >= best * (1 - 1e-9);
        ++tried;
      }
    }
  }
  EXPECT_GT(tried, 400);
  EXPECT_GT(some_empty, 100);
  EXPECT_GT(tight, tried / 4);
}

// Of all placements with the same counts, the fewest duplicates are those that the report says.
TEST(Unequal, UnavoidableDuplicatesAreTheFewest) {
  std::mt19937 random(3);
  int some = 0, tried = 0;
  for (int i = 0; i < 400; ++i) {
    SCOPED_TRACE(i);
    Case c = any_case(random, true);
    if (c.sizes.experts > 4) continue;
    place(random, c);
    const LayerFigures figures = evaluate(c.weights, c.problem(), c.placement.data()).layers[0];
    auto counts_of = [&](auto first, auto last) {
      std::vector<int> count(static_cast<size_t>(c.sizes.experts));
      for (; first != last; ++first)
        if (*first >= 0) ++count[static_cast<size_t>(*first)];
      return count;
    };
    const std::vector<int> want = counts_of(c.placement.begin(), c.placement.end()),
                           gpu_of = gpus_of_slots(c);
    int64_t fewest = std::numeric_limits<int64_t>::max();
    EveryPlacement(c, true, [&](const std::vector<int>& expert) {
      if (counts_of(expert.begin(), expert.end()) != want) return;
      int64_t duplicates = 0;
      for (size_t s = 1; s < expert.size(); ++s)
        duplicates += expert[s] >= 0 && expert[s] == expert[s - 1] && gpu_of[s] == gpu_of[s - 1];
      fewest = std::min(fewest, duplicates);
    });
    ASSERT_EQ(fewest, figures.unavoidable_duplicates);
    EXPECT_LE(fewest, figures.duplicates);
    some += fewest > 0;
    ++tried;
  }
  EXPECT_GT(tried, 100);
  EXPECT_GT(some, 20);
}

TEST(Unequal, WhatIsLostWithAGpu) {
  auto lost = [](std::vector<int32_t> placement, int64_t experts, int64_t gpus) {
    Weights weights;
    weights.resize(false, 1, experts);
    std::fill(weights.real.begin(), weights.real.end(), 1);
    Problem problem = problem_of({experts, static_cast<int64_t>(placement.size()), gpus});
    return evaluate(weights, problem, placement.data()).layers[0].most_lost;
  };
  EXPECT_EQ(1, lost({0, 1, 2, 0, 2, 3}, 4, 3));   // 1 on GPU 0, 3 on GPU 2
  EXPECT_EQ(2, lost({0, 1, 2, 0, 3, -1}, 4, 2));  // 1 and 2 on GPU 0
  EXPECT_EQ(1, lost({0, 0, 1, -1, 2, 1}, 3, 2));  // both copies of 0
  std::vector<int32_t> wide(80, -1);
  for (int32_t s = 0; s < 40; ++s) wide[static_cast<size_t>(s)] = s / 2;
  for (int32_t s = 40; s < 70; ++s) wide[static_cast<size_t>(s)] = s - 30;
  EXPECT_EQ(20, lost(wide, 40, 2));
}

TEST(Unequal, PacesAreSharesOfTheFastestOpenGpu) {
  const int64_t slots[] = {2, 2, 0, 2, 2};
  const double speeds[] = {1, 2, 100, 2e-9, 0.5};
  const ClusterArrays cluster = read_cluster(slots, speeds, nullptr, 5);
  EXPECT_EQ((std::vector<int32_t>{kFastest / 2, kFastest, kFastest, 1, kFastest / 4}),
            cluster.pace);
  EXPECT_DOUBLE_EQ(4, cluster.speed[0] + cluster.speed[1] + cluster.speed[3] + cluster.speed[4]);
  const double same[] = {1, 1, 100, 1, 1};
  const ClusterArrays alike = read_cluster(slots, same, nullptr, 5);
  EXPECT_EQ(nullptr, problem_of({4, 10, 5}, {}, 1, EPLB_BOUND_SIMPLE, alike).cluster.gpu_pace);
}

}  // namespace
}  // namespace eplb::tests
