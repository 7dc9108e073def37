// Work has limits that only problems far larger than models reach.
#include <gtest/gtest.h>

#include "core/problem.h"
#include "solver/layer/group_assignment.h"
#include "solver/packing/preset.h"
#include "solver/strategies/best_effort.h"
#include "solver/strategies/excess_modes.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

constexpr int kSlots = static_cast<int>(kMaxSlots);

TEST(Work, PresetsOfModelsHaveNoLimit) {
  for (eplb_strategy s = EPLB_STRATEGY_GREEDY; s <= EPLB_STRATEGY_HYBRID_INIT; ++s)
    for (const int per_gpu : {1, 2, 8, 64})
      for (int slots = per_gpu; slots <= 4096; slots *= 2) {
        const solver::Preset preset = solver::preset_of(s);
        const solver::Preset within = solver::within_seconds(preset, slots, slots / per_gpu, 1);
        EXPECT_EQ(within.chains, preset.chains);
        EXPECT_EQ(within.most_exchanges, preset.most_exchanges);
      }
}

TEST(Work, PresetsAreLimited) {
  for (eplb_strategy s = EPLB_STRATEGY_GREEDY; s <= EPLB_STRATEGY_HYBRID_INIT; ++s)
    for (int gpus = 1; gpus < kSlots; gpus *= 2) {
      const solver::Preset preset = solver::within_seconds(solver::preset_of(s), kSlots, gpus, 1);
      const int64_t looks = solver::looks_of(preset.exchange, kSlots, gpus);
      EXPECT_GE(preset.chains, 1);
      EXPECT_LE(preset.chains, 64);
      EXPECT_LE(preset.chains * preset.most_exchanges * (looks >> 10), int64_t{1} << 22);
    }
}

// Each replica is tried on every GPU where speeds differ.
TEST(Work, PresetsOfManySpeedsHaveFewChains) {
  for (eplb_strategy s = EPLB_STRATEGY_LPT_SWAP; s <= EPLB_STRATEGY_HYBRID_INIT; ++s)
    for (int gpus = 512; gpus < kSlots; gpus *= 2) {
      const solver::Preset preset =
          solver::within_seconds(solver::preset_of(s), kSlots, gpus, 8, gpus);
      EXPECT_LE((preset.chains - 1) * int64_t{kSlots} * gpus, int64_t{1} << 29);
    }
}

TEST(Work, ChainsOfBestAreLimited) {
  for (const eplb_effort level : {EPLB_EFFORT_FAST, EPLB_EFFORT_NORMAL, EPLB_EFFORT_MAX}) {
    const solver::Effort effort = solver::effort_of(level, 8192);
    EXPECT_EQ(solver::steps_of(effort, 8192, 1024),
              (effort.steps_per_slot * 8192 + effort.steps_per_gpu * 1024) / 16);
    EXPECT_EQ(solver::proposals_of(effort, 4096), effort.proposals * 1024);
    const solver::Effort large = solver::effort_of(level, kSlots);
    EXPECT_EQ(solver::steps_of(large, kSlots, kSlots / 4), 8192);
    EXPECT_EQ(solver::proposals_of(large, kSlots), 2048);
  }
}

solver::ExcessSearch search_of(int windows, int rows, int gpus, int experts) {
  solver::ExcessSearch search;
  search.state.windows = windows;
  search.state.rows = rows;
  search.state.gpus = gpus;
  search.state.experts = experts;
  search.state.places = rows * gpus;
  search.state.priced = false;
  return search;
}

TEST(Work, StepsByExcessOfModelsCountCandidates) {
  for (const int windows : {1, 2, 4})
    for (const int gpus : {1, 16, 128}) EXPECT_EQ(search_of(windows, 16, gpus, 256).slow(), 2);
  EXPECT_EQ(search_of(64, 8, 32, 256).slow(), 2);
  EXPECT_EQ(search_of(64, 8, 128, 256).slow(), 8);
}

// What a step looks at one by one, whatever the shape, is counted as long as it takes.
TEST(Work, StepsByExcessAreLimited) {
  const int64_t most = solver::excess_effort(EPLB_EFFORT_FAST).looks;
  for (const int windows : {1, 2, 64})
    for (int gpus = 1; gpus <= kSlots; gpus *= 8) {
      solver::ExcessSearch search = search_of(windows, kSlots / gpus, gpus, 3);
      EXPECT_EQ(search.slow(), 256);
      search.looks = most;
      int64_t steps = 0;
      while (search.affords(search.looks_to_weigh())) ++steps;
      EXPECT_LE(steps * windows * kSlots, int64_t{1} << 26);
      EXPECT_EQ(search.looks, 0);
      EXPECT_FALSE(search.affords(0));
    }
}

// A head with many copies of its experts, and one with few.
TEST(Work, HeadsCountTheCopiesOfTheirExperts) {
  constexpr int kRows = 4, kGpus = 16, kExperts = 8;
  solver::ExcessSearch search = search_of(1, kRows, kGpus, kExperts);
  search.state.stride = kGpus;
  std::vector<int> expert(kRows * kGpus), copies(kExperts + 2, 1);
  for (int place = 0; place < kRows * kGpus; ++place) expert[place] = place % kGpus == 0 ? 0 : 1;
  copies[0] = 16;
  search.state.expert = {expert.data()};
  search.state.copies = {copies.data()};
  EXPECT_EQ(search.looks_at_head(0) - search.looks_at_head(1),
            2 * search.slow() * kRows * (16 - 1) * kRows);
}

// Candidates in memory count twice, as do those with prices.
TEST(Work, HeadsCountWhatTheirCandidatesTake) {
  constexpr int kInCaches = 1 << 16;
  std::vector<int> expert(2 * kInCaches, 4);  // no expert
  auto times = [&](int gpus, bool priced) {
    solver::ExcessSearch search = search_of(1, 1, gpus, 3);
    search.state.stride = gpus;
    search.state.priced = priced;
    search.state.expert = {expert.data()};
    return search.looks_at_head(0) / (2 * gpus + search.state.kinds());
  };
  EXPECT_EQ(times(kInCaches, false), 1);
  EXPECT_EQ(times(kInCaches, true), 2);
  EXPECT_EQ(times(2 * kInCaches, false), 2);
  EXPECT_EQ(times(2 * kInCaches, true), 4);
}

// Groups whose sizes differ so little that every step of the walk passes many that were taken.
TEST(Work, WalksOverGroupsAreLimited) {
  constexpr int kGroups = 1 << 14, kNodes = 1 << 7;
  std::vector<int> size(kGroups), slot_of(kGroups);
  for (int g = 0; g < kGroups; ++g) {
    size[g] = 1000 + g % 7;
    slot_of[g] = g;
  }
  solver::Arena count(nullptr);
  solver::GroupWorkspace workspace;
  workspace.lay_out(count, kGroups, kNodes);
  std::vector<std::max_align_t> memory(count.used() / sizeof(std::max_align_t) + 1);
  solver::Arena arena(memory.data());
  workspace.lay_out(arena, kGroups, kNodes);
  ShuffledTeam team(1);
  solver::search_groups(team, workspace, {size.data()}, {slot_of.data()}, kGroups, kNodes,
                        solver::kGroupSteps);
  std::vector<int> groups_on(kNodes);
  for (const int slot : slot_of) ++groups_on[slot / (kGroups / kNodes)];
  for (const int groups : groups_on) EXPECT_EQ(groups, kGroups / kNodes);
}

}  // namespace
}  // namespace eplb::tests
