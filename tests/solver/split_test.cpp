// Splits of tokens: that no other is better, from the placement alone, and that they are the same
// on every team.
#define EPLB_PLAIN_LANES
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "machines/cpu/host_team.h"
#include "solver/split/split.h"
#include "solver/split/tokens.h"
#include "tests/solver/laid_out.h"
#include "tests/solver/shuffled_team.h"
#include "tests/solver/trials.h"

namespace eplb::tests {
namespace {

struct SplitCase {
  Problem problem;
  std::vector<int> placement, tokens;
  std::vector<int32_t> pace;
  int tolerance = 0;

  int gpu(int slot) const { return slot / (problem.cluster.slots / problem.cluster.gpus); }
  int64_t pace_of(int g) const { return pace.empty() ? kFastest : pace[static_cast<size_t>(g)]; }
};

// Up to 9 GPUs, so that all sets of them can be looked at.
SplitCase any_case(uint32_t seed) {
  std::mt19937 random(seed);
  auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  SplitCase c;
  const int gpus = 1 + below(9), slots = gpus * (1 + below(5)), experts = 1 + below(slots);
  c.problem.experts = experts;
  c.problem.cluster.slots = slots;
  c.problem.cluster.gpus = gpus;
  const int lowest = below(3) == 0 ? -1 : 0;
  for (int s = 0; s < slots; ++s)
    c.placement.push_back(s < experts ? s : lowest + below(experts - lowest));
  std::shuffle(c.placement.begin(), c.placement.end(), random);
  constexpr int kTops[] = {1, 5, 100, 10'000'000};
  const int top = kTops[below(4)];
  for (int e = 0; e < experts; ++e) c.tokens.push_back(below(3) == 0 ? 0 : below(top + 1));
  if (below(5) < 2)
    for (int g = 0; g < gpus; ++g) c.pace.push_back(1 + below(kFastest));
  c.tolerance = below(4) == 0 ? below(kToleranceUnits) : 0;
  c.problem.cluster.gpu_pace = c.pace.empty() ? nullptr : c.pace.data();
  return c;
}

struct Answer {
  int waves;
  std::vector<int> quota, load, tight;  // by slot, by GPU, by GPU
  int64_t bound_tokens, bound_pace;
  bool operator==(const Answer&) const = default;
};

Answer split(const SplitCase& c, auto&& team) {
  const LaidOut<solver::SplitGraph> graph(c.problem);
  const LaidOut<solver::GraphWorkspace> making(c.problem);
  const LaidOut<solver::SplitWorkspace> at(c.problem);
  std::vector<int> tokens = c.tokens;
  tokens.resize(tokens.size() + 64);
  solver::make_graph(team, c.problem, c.placement.data(), *making, *graph);
  const solver::Splitter splitter(c.problem.cluster, *graph, {tokens.data()}, c.tolerance, *at);
  Answer answer{};
  answer.waves = splitter.split(team);
  for (int s = 0; s < c.problem.cluster.slots; ++s) {
    const int place = graph->place[s];
    answer.quota.push_back(place >= 0 ? at->quota[place]
                           : place == solver::SplitGraph::kNone
                               ? 0
                               : tokens[static_cast<size_t>(-1 - place)]);
  }
  answer.load.assign(at->load.data, at->load.data + c.problem.cluster.gpus);
  answer.tight.assign(at->tight.data, at->tight.data + c.problem.cluster.gpus);
  answer.bound_tokens = at->bound[0].tokens;
  answer.bound_pace = at->bound[0].pace;
  return answer;
}

Answer split_on_host(const SplitCase& c) {
  return split(c, solver::HostTeam(solver::View<int64_t>{nullptr}));
}

std::map<int, std::set<int>> gpus_of_experts(const SplitCase& c) {
  std::map<int, std::set<int>> gpus;
  for (int s = 0; s < c.problem.cluster.slots; ++s)
    if (c.placement[s] >= 0) gpus[c.placement[s]].insert(c.gpu(s));
  return gpus;
}

// Tokens that these GPUs cannot give to others, and their paces.
solver::SplitBound bound_of(const SplitCase& c, const std::set<int>& among) {
  solver::SplitBound bound{};
  for (const auto& [expert, gpus] : gpus_of_experts(c))
    if (std::includes(among.begin(), among.end(), gpus.begin(), gpus.end()))
      bound.tokens += c.tokens[expert];
  for (const int g : among) bound.pace += c.pace_of(g);
  return bound;
}

void expect_sums(const SplitCase& c, const Answer& answer) {
  std::vector<int> of_expert(c.tokens.size()), load(answer.load.size());
  std::set<std::pair<int, int>> seen;
  for (int s = 0; s < c.problem.cluster.slots; ++s) {
    const int e = c.placement[s], quota = answer.quota[s];
    const bool first = e >= 0 && seen.insert({e, c.gpu(s)}).second;
    EXPECT_GE(quota, 0);
    if (!first) {
      EXPECT_EQ(quota, 0) << "slot " << s;
    } else {
      of_expert[e] += quota;
      load[c.gpu(s)] += quota;
    }
  }
  EXPECT_EQ(of_expert, c.tokens);
  EXPECT_EQ(load, answer.load);
}

// The certificate, and what it says of the loads.
void expect_bound(const SplitCase& c, const Answer& answer) {
  std::set<int> tight;
  for (int g = 0; g < c.problem.cluster.gpus; ++g)
    if (answer.tight[g]) tight.insert(g);
  const solver::SplitBound bound = bound_of(c, tight);
  EXPECT_EQ(bound.tokens, answer.bound_tokens);
  EXPECT_EQ(bound.pace, answer.bound_pace);
  const int64_t goal = bound.tokens * (kToleranceUnits + c.tolerance);
  for (int g = 0; g < c.problem.cluster.gpus; ++g)
    EXPECT_LT((answer.load[g] - 1) * bound.pace * kToleranceUnits, goal * c.pace_of(g));
}

// The largest of all sets of GPUs.
solver::SplitBound largest_bound(const SplitCase& c) {
  solver::SplitBound largest{0, kFastest};
  for (uint32_t chosen = 1; chosen < 1u << c.problem.cluster.gpus; ++chosen) {
    std::set<int> among;
    for (int g = 0; g < c.problem.cluster.gpus; ++g)
      if (chosen >> g & 1) among.insert(g);
    const solver::SplitBound other = bound_of(c, among);
    if (solver::is_above(other, largest)) largest = other;
  }
  return largest;
}

struct Tokens {
  std::vector<int> of;  // by expert
  int shift;
  bool operator==(const Tokens&) const = default;
};

Tokens read(const auto& source, size_t experts, auto&& team) {
  Tokens tokens{std::vector<int>(experts), 0};
  tokens.shift = solver::read_tokens(team, source, static_cast<int>(experts), {tokens.of.data()});
  return tokens;
}
Tokens read_on_host(const auto& source, size_t experts) {
  return read(source, experts, solver::HostTeam(solver::View<int64_t>{nullptr}));
}

double sum_of_floors(const std::vector<double>& weights, int shift) {
  double sum = 0;
  for (const double weight : weights) sum += std::floor(std::ldexp(weight, shift));
  return sum;
}

// Section 17 of docs/algorithms.md. Floors that are added lose at most one each.
void expect_tokens(const std::vector<double>& weights, const Tokens& tokens) {
  for (size_t e = 0; e < weights.size(); ++e) {
    const double scaled = std::floor(std::ldexp(weights[e], tokens.shift));
    EXPECT_EQ(tokens.of[e], scaled < 1 && weights[e] > 0 ? 1 : scaled) << "expert " << e;
  }
  const bool whole = std::all_of(weights.begin(), weights.end(),
                                 [](double weight) { return weight == std::floor(weight); });
  if (whole && sum_of_floors(weights, 0) < 0x1p29) {
    EXPECT_EQ(tokens.shift, 0);
    return;
  }
  EXPECT_LT(sum_of_floors(weights, tokens.shift), 0x1p28);
  EXPECT_GE(sum_of_floors(weights, tokens.shift), 0x1p27 - static_cast<double>(weights.size()));
}

TEST(Tokens, AreWeightsWhereTheyCanBe) {
  constexpr double kLast = 0x1p29 - 1, kLeast = 0x1p-1074;
  const std::vector<double> cases[] = {
      {0, 0, 0},         {-0.0, 5, 7},        {kLast, 0, -0.0},       {kLast - 1, 1, 0},
      {kLast, 1, 0},     {0x1p29, 0, 3},      {0x1p28, 0x1p28, 1},    {0.5, 1, 2},
      {kLeast, 1, 2},    {kLeast, 0, 0},      {kLeast, kLeast, -0.0}, {0x1p1000, 1, 0},
      {0x1p27, 0.25, 3}, {0x1p31, 1, 0x1p32}, {0x1p63, 1, 2},         {0x1p-20, 0x1p-21, 0},
  };
  for (const std::vector<double>& weights : cases) {
    const solver::RealWeights source{weights.data()};
    const Tokens tokens = read_on_host(source, weights.size());
    expect_tokens(weights, tokens);
    EXPECT_EQ(tokens, read(source, weights.size(), ShuffledTeam(1)));
  }
}

// In either form, up to sums that are too large.
TEST(Tokens, OfWholeNumbersAreTheSameInBothForms) {
  std::mt19937 random(1);
  for (int bits = 1; bits < 50; ++bits) {
    std::vector<int64_t> whole(1 + random() % 40);
    for (int64_t& weight : whole)
      weight = static_cast<int64_t>(random()) * (int64_t{1} << 18) % (int64_t{1} << bits);
    const std::vector<double> real(whole.begin(), whole.end());
    const Tokens tokens = read_on_host(solver::WholeWeights{whole.data()}, whole.size());
    expect_tokens(real, tokens);
    EXPECT_EQ(tokens, read_on_host(solver::RealWeights{real.data()}, real.size()));
  }
}

TEST(Split, NoOtherIsBetter) {
  uint32_t in_waves = 0;
  for (uint32_t seed = 1; seed <= trials(2000); ++seed) {
    SCOPED_TRACE(seed);
    const SplitCase c = any_case(seed);
    const Answer answer = split_on_host(c);
    ASSERT_NE(answer.waves, solver::kNever);
    in_waves += answer.waves > 0;
    expect_sums(c, answer);
    expect_bound(c, answer);
    const solver::SplitBound largest = largest_bound(c);
    EXPECT_FALSE(solver::is_above({answer.bound_tokens, answer.bound_pace}, largest));
    if (c.pace.empty() && c.tolerance == 0) {
      const int64_t gpus = largest.pace / kFastest;
      EXPECT_EQ(*std::max_element(answer.load.begin(), answer.load.end()),
                (largest.tokens + gpus - 1) / gpus);
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(in_waves, trials(200));
}

TEST(Split, IsTheSameOnEveryTeam) {
  for (uint32_t seed = 1; seed <= trials(1000); ++seed)
    ASSERT_EQ(split_on_host(any_case(seed)), split(any_case(seed), ShuffledTeam(seed))) << seed;
}

}  // namespace
}  // namespace eplb::tests
