// Policy SOFT against its plain definition: weights, homes, where a fresh placement begins, every
// step that a search could be asked for, and whole answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/solver/plain_soft_search.h"
#include "tests/solver/searched.h"
#include "tests/solver/soft_layer.h"
#include "tests/solver/soft_state.h"
#include "tests/solver/trials.h"

namespace eplb::tests {
namespace {

// ------------------------------------------------------------------------------------ single steps

// What the steps of all states were.
struct Seen {
  std::vector<int> kinds = std::vector<int>(4);
  int without_excess = 0;  // at a head that has none
  int against_excess = 0;  // more excess, less cost
  int against_cost = 0;
  int less_oversize = 0;
  int over_most = 0;  // gained more than counts
};

// Every other head is one above its limit, if there is one; the others are any.
int head_of(const SoftState& any, int i) {
  const std::vector<int> heads = any.now.heads();
  if (heads.empty() || i % 2 == 1) return (7 * i + any.aim) % any.layer.gpus();
  return heads[static_cast<size_t>(i) / 4 % heads.size()];
}
void expect_same_steps(SoftState& any, int steps, Seen& seen) {
  Searched searched(any);
  const plain::Rows first = any.now.at;
  for (int i = 0; i < steps; ++i) {
    const int head = head_of(any, i);
    const std::vector<int> heads = any.now.heads();
    const plain::Arranged before = any.now;
    SCOPED_TRACE("step " + std::to_string(i) + ", head " + std::to_string(head));
    expect_same_step(any, searched, head, seen.kinds);
    if (testing::Test::HasFatalFailure()) return;
    seen.without_excess +=
        any.now.at != before.at && std::find(heads.begin(), heads.end(), head) == heads.end();
    seen.against_excess += any.now.excess() > before.excess();
    seen.against_cost += any.now.cost() > before.cost();
    seen.over_most +=
        before.excess() + before.oversize() - any.now.excess() - any.now.oversize() > 1 << 25;
    seen.less_oversize += any.now.oversize() < before.oversize();
  }
  searched.undo();
  ASSERT_EQ(first, searched.arranged());
}

TEST(Soft, EveryStepIsTheBestByTheDefinition) {
  Seen seen;
  for (uint32_t seed = 1; seed <= trials(4000); ++seed) {
    SCOPED_TRACE(seed);
    SoftState any(seed);
    expect_same_steps(any, 12, seen);
    if (HasFatalFailure()) return;
  }
  const int many = trials(1000);
  for (const int count : seen.kinds) EXPECT_GT(count, many);
  EXPECT_GT(seen.without_excess, many);
  EXPECT_GT(seen.against_excess, many / 2);
  EXPECT_GT(seen.against_cost, many);
  EXPECT_GT(seen.less_oversize, many);
  EXPECT_GT(seen.over_most, many / 40);
}

// Experts that are nowhere get their places.
struct LostExperts : plain::RebalanceStart {
  explicit LostExperts(const SoftState& any) : RebalanceStart(any.layer, {}) {
    now_ = any.now;
    create_lost();
  }
  const plain::Rows& at() const { return now_.at; }
};

TEST(Soft, LostExpertsGoWhereTheyCostLeast) {
  for (uint32_t seed = 1; seed <= trials(3000); ++seed) {
    SCOPED_TRACE(seed);
    SoftState any(seed);
    for (uint32_t i = 0; i <= seed % 3; ++i) {
      const int lost = static_cast<int>((7 * i + seed) % any.layer.experts());
      for (auto& row : any.now.at) std::replace(row.begin(), row.end(), lost, any.layer.none());
    }
    Searched searched(any);
    ShuffledTeam team(seed);
    solver::create_lost(team, searched.search);
    ASSERT_EQ(LostExperts(any).at(), searched.arranged());
  }
}

// Without looks, empty slots get the lightest experts, next to a copy only where that must be.
struct LeftEmpty {
  const SoftState& any;
  plain::Rows at = any.now.at;
  std::vector<int> copies = any.now.copies();
  int apart = 0, together = 0;

  explicit LeftEmpty(const SoftState& of) : any(of) {
    for (int g = 0; g < any.layer.gpus(); ++g)
      for (int& expert : at[g]) apart += put(expert, [&](int e) { return may_be(g, e); });
    for (int row = 0; row < any.layer.rows; ++row)
      for (int g = 0; g < any.layer.gpus(); ++g)
        if (row < any.layer.open[g]) together += put(at[g][row], [](int) { return true; });
  }

 private:
  bool may_be(int g, int e) const {
    return std::ranges::count(at[g], e) == 0 && copies[e] < any.layer.most_copies;
  }
  int64_t weight(int e) const {
    int64_t sum = 0;
    for (const plain::Weights& window : any.layer.q) sum += window[e];
    return sum;
  }
  bool put(int& slot, auto may) {
    if (slot != any.layer.none()) return false;
    int best = -1;
    for (int e = 0; e < any.layer.experts(); ++e)
      if (may(e) && (best < 0 || weight(e) < weight(best))) best = e;
    if (best < 0) return false;
    slot = best;
    ++copies[best];
    return true;
  }
};

TEST(Soft, WhatNoLooksAreLeftForIsFilledApart) {
  int apart = 0, together = 0;
  for (uint32_t seed = 1; seed <= trials(3000); ++seed) {
    SCOPED_TRACE(seed);
    const SoftState any(seed);
    Searched searched(any);
    ShuffledTeam team(seed);
    searched.search.looks = 0;
    solver::fill_what_is_left(team, searched.search, solver::kNever);
    const LeftEmpty want(any);
    ASSERT_EQ(want.at, searched.arranged());
    apart += want.apart;
    together += want.together;
  }
  EXPECT_GT(apart, trials(1000));
  EXPECT_GT(together, trials(1000));
}

// ---------------------------------------------------------------------- weights, homes, the start

TEST(Soft, WeightsAreThoseOfTheDefinition) {
  int apart = 0;
  for (uint32_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(seed);
    const SoftLayer soft(seed);
    const SoftBest method(soft);
    const solver::Arrangement& state = method.search.state;
    ASSERT_EQ(soft.layer.q.size(), static_cast<size_t>(state.windows));
    for (int t = 0; t < state.windows; ++t)
      for (int e = 0; e < state.experts; ++e)
        ASSERT_EQ(soft.layer.q[t][e], state.weight[t * state.kinds() + e]) << t << ", " << e;
    for (int e = 0; e < state.experts; ++e)
      ASSERT_EQ(soft.layer.prices->weight[e], state.prices.weight[e]) << e;
    ASSERT_EQ(soft.layer.prices->most_size, state.largest_share);
    apart += state.windows > 1;
  }
  EXPECT_GT(apart, 100);
}

TEST(Soft, NoHomesAreBetter) {
  int above = 0;
  for (uint32_t seed = 1; seed <= trials(20000); ++seed) {
    SCOPED_TRACE(seed);
    const SoftLayer soft(seed);
    SoftBest method(soft);
    const std::vector<int> home = method.choose_homes();
    const plain::Homes homes(soft.layer, soft.nodes, soft.groups, soft.target);
    for (int g = 0; g < soft.layer.gpus(); ++g)
      ASSERT_EQ(homes.cap(soft.layer.node[g]),
                method.search.homes.room[method.search.homes.node[g]])
          << g;
    ASSERT_TRUE(homes.is_allowed(home));
    ASSERT_EQ(homes.least(), homes.above(home));
    above += homes.above(home).first > 0;
  }
  EXPECT_GT(above, static_cast<int>(trials(200)));
}

TEST(Soft, StartIsThatOfTheDefinition) {
  int lost = 0;
  for (uint32_t seed = 1; seed <= 1000; ++seed) {
    SCOPED_TRACE(seed);
    SoftLayer soft(seed);
    SoftBest method(soft);
    const std::vector<int> home = method.choose_homes();
    soft.layer.prices->of = plain::prices_of(home, soft.nodes, soft.layer.experts());
    solver::aim(method.team, method.search.state, soft.cluster, method.time());
    solver::start_at_home(method.team, method.search, method.search.nodes_and_groups());
    plain::SoftStart search(soft.layer, {.target = soft.target}, home, soft.nodes);
    const plain::Arranged& start = search.start_at_home();
    ASSERT_EQ(start.at, method.arranged(soft.layer));
    for (int g = 0; g < soft.layer.gpus(); ++g)
      ASSERT_EQ(start.limit[g], method.search.state.limit[g]);
    ASSERT_EQ(start.most_empty, method.search.state.most_empty);
    ASSERT_EQ(start.cost(), method.search.state.totals[0].cost);
    lost += start.cost() > 0;
  }
  EXPECT_GT(lost, 100);
}

// ----------------------------------------------------------------------------------- whole answers

// The same layer by its definition, with the homes of the library.
plain::SoftSearch search_of(SoftLayer& soft, const std::vector<int>& home) {
  const plain::Homes homes(soft.layer, soft.nodes, soft.groups, soft.target);
  soft.layer.prices->of = plain::prices_of(home, soft.nodes, soft.layer.experts());
  const plain::RebalanceAsk ask{.budget = soft.budget,
                                .target = soft.target,
                                .price = soft.price,
                                .allow_empty = soft.allow_empty,
                                .effort = soft.effort - EPLB_EFFORT_FAST,
                                .seed = soft.seed};
  return {soft.layer, ask, home, soft.nodes, 64 * homes.above(home).first};
}
// Returns what the answer costs.
int64_t expect_same_answer(SoftLayer& soft) {
  SoftBest method(soft);
  plain::SoftSearch search = search_of(soft, method.choose_homes());
  EXPECT_EQ(search.solve(), method.solve());
  return search.arranged().cost();
}

TEST(Soft, AnswersAreThoseOfTheDefinition) {
  uint32_t away = 0;
  for (uint32_t seed = 1; seed <= trials(200); ++seed) {
    SCOPED_TRACE(seed);
    SoftLayer soft(seed);
    away += expect_same_answer(soft) > 0;
  }
  EXPECT_GT(away, trials(50));
}

// What further moves gain at most.
void expect_same_path(SoftLayer& soft, const std::vector<int>& home) {
  const int most = soft.cluster.slots / 2;
  const plain::Path path = search_of(soft, home).path(most, soft.has_load());
  std::vector<int> want;
  for (const int64_t time : path.time)
    want.push_back(static_cast<int>(std::min<int64_t>(time, solver::kNever)));
  ASSERT_EQ(want, SoftRebalance(soft).path(most));
}
void expect_same_rebalance(SoftLayer& soft) {
  soft.remember(SoftBest(soft).solve());
  SoftRebalance method(soft);
  const std::vector<int> home = method.choose_homes();
  const plain::Homes homes(soft.layer, soft.nodes, soft.groups, soft.target);
  ASSERT_TRUE(homes.is_allowed(home));
  const std::vector<int> kept = homes.kept();
  if (homes.above(kept).first - homes.least().first <= homes.total() / 100)
    ASSERT_EQ(kept, home);
  else
    ASSERT_EQ(homes.least(), homes.above(home));
  ASSERT_EQ(search_of(soft, home).rebalance(soft.has_load()), method.solve());
  if (soft.has_load()) expect_same_path(soft, home);
}

TEST(Soft, RebalancesAreThoseOfTheDefinition) {
  for (uint32_t seed = 1; seed <= trials(200); ++seed) {
    SCOPED_TRACE(seed);
    SoftLayer soft(seed);
    expect_same_rebalance(soft);
  }
}

}  // namespace
}  // namespace eplb::tests
