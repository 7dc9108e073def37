// BEST's shortcuts one by one, each against the whole scan that it stands for: candidates of a rule, windows of sizes, pairs
// that are not looked at, positions that are shifted instead of sorted, prices.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "solver/strategies/best_search.h"
#include "tests/solver/shuffled_team.h"
#include "tests/solver/plain_fold.h"

namespace eplb::tests {
namespace {

using solver::Search;

// A search somewhere on its way: random weights and counts, a start, some exchanges, some positions tabu. The same problem
// as a plain layer beside it.
class OnItsWay {
 public:
  explicit OnItsWay(uint32_t number, int least_places = 3) : random_(number), team_(number) {
    const int places = least_places + below(6), gpus = 2 + below(number % 5 == 0 ? 90 : 20);
    const int slots = places * gpus, experts = slots - below(slots / 2);
    std::vector<double> weights(experts);
    for (double& w : weights)
      w = number % 3 == 0 ? 1 + below(6) : std::lognormal_distribution<double>(8, number % 3)(random_);
    layer_ = std::make_unique<plain::Layer>(weights, slots, gpus, below(3) == 0 ? 2 + below(4) : 0, number);
    lay_out();
  }

  // Places the positions of some rule and shakes them.
  void begin() {
    const auto counts = plain::count_by_rule(*layer_, layer_->q, plain::kRule[0]);
    std::copy(counts->begin(), counts->end(), positions().count.data);
    solver::set_positions(team_, positions());
    solver::start<solver::Integer>(team_, now(), room_.packing);
    solver::begin(team_, room_.search, {layer_->seed, 0, 0, 0}, static_cast<int>(layer_->mean()), layer_->most, 0, 16);
    for (int t = below(layer_->slots); t > 0; --t) {
      const int p = below(layer_->slots), q = below(layer_->slots);
      if (now().gpu[p] != now().gpu[q] && !solver::clash(team_, now(), p, q)) solver::exchange(team_, now(), p, q);
    }
    room_.search.step = 5;
    for (int p = 0; p < layer_->slots; ++p) room_.search.until[p] = below(4) == 0 ? 4 + below(4) : 0;
    // Tabu swaps count only below the best: an old best somewhat above or below today's heaviest load.
    const int most = ends().most;
    room_.search.best = most - most / 50 + below(most / 25);
  }

  const plain::Layer& layer() const { return *layer_; }
  solver::BestRoom& room() { return room_; }
  Search& search() { return room_.search; }
  solver::Placement& now() { return room_.search.now; }
  solver::Positions& positions() { return room_.search.now.p; }
  solver::Ends ends() { return solver::ends(team_, now()); }
  ShuffledTeam& team() { return team_; }
  int below(int n) { return n <= 1 ? 0 : static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  std::vector<int> slots() {  // by position
    std::vector<int> slots;
    for (int p = 0; p < layer_->slots; ++p) slots.push_back(now().gpu[p] * layer_->places() + now().slot[p]);
    return slots;
  }

 private:
  void lay_out() {
    const int e = layer_->experts(), s = layer_->slots, g = layer_->gpus;
    solver::Arena count(nullptr);
    room_.lay_out(count, e, s, g);
    memory_.assign(count.used() + 64, 0x7f);
    void* start = memory_.data();
    size_t space = memory_.size();
    solver::Arena arena(std::align(64, static_cast<size_t>(count.used()), start, space));
    room_.lay_out(arena, e, s, g);
    positions().experts = e;
    positions().slots = s;
    positions().gpus = g;
    positions().places = layer_->places();
    std::copy(layer_->q.begin(), layer_->q.end(), positions().weight.data);
  }

  std::mt19937 random_;
  ShuffledTeam team_;
  std::unique_ptr<plain::Layer> layer_;
  std::vector<char> memory_;
  solver::BestRoom room_{};
};

// Does any expert of GPU g come twice among these positions?
bool holds_any_twice(const solver::Placement& s, int g) {
  std::vector<int> experts;
  for (int k = 0; k < s.p.places; ++k) experts.push_back(s.p.expert[s.item[g * s.p.places + k]]);
  std::sort(experts.begin(), experts.end());
  return std::adjacent_find(experts.begin(), experts.end()) != experts.end();
}

TEST(Shortcuts, CountsByThresholdAreThoseOneAtATime) {
  int failed = 0;
  for (uint32_t t = 0; t < 400; ++t) {
    OnItsWay problem(t);
    const plain::Layer& layer = problem.layer();
    const int i = static_cast<int>(t % plain::kRules), mean = static_cast<int>(layer.mean());
    const bool noisy = t % 2 == 1;
    const auto counts = noisy ? plain::count_by_noisy_rule(layer, plain::kRule[i], 3, 9)
                              : plain::count_by_rule(layer, layer.q, plain::kRule[i]);
    const solver::Rule rule = solver::rule_of(i);
    solver::Positions& p = problem.positions();
    const solver::RuleScratch& rules = problem.room().rules;
    const solver::Chance chance{layer.seed, solver::kNoisyCounts, 0, 9};
    const bool counted = noisy
                             ? solver::count_by_noisy_rule(problem.team(), p, rules, rule, 3, mean, layer.most, chance)
                             : solver::count_by_rule(problem.team(), p, p.weight, rules, rule, mean, layer.most);
    ASSERT_EQ(counted, counts.has_value()) << t;
    failed += !counted;
    if (!counted) continue;
    ASSERT_EQ(plain::Counts(p.count.data, p.count.data + layer.experts()), *counts) << t;
    solver::set_positions(problem.team(), p);
    ASSERT_EQ(solver::counts_bound(problem.team(), p), plain::bound(layer, plain::Positions(layer, *counts))) << t;
  }
  EXPECT_GT(failed, 0);
  EXPECT_LT(failed, 100);
}

struct Move {
  int64_t value;
  int p, q;
};
Move least_swap_of_all(OnItsWay& problem) {
  const Search& search = problem.search();
  const solver::Placement& s = problem.now();
  const solver::Ends e = problem.ends();
  Move least{int64_t{e.most} + (e.most - e.least), -1, -1};
  for (int k = 0; k < s.p.places; ++k)
    for (int p = s.item[e.heaviest * s.p.places + k], q = 0; q < s.p.slots; ++q) {
      if (s.p.size[q] >= s.p.size[p] || s.gpu[q] == e.heaviest) continue;
      const int64_t d = s.p.size[p] - s.p.size[q], value = std::max(e.most - d, s.load[s.gpu[q]] + d);
      const bool tabu = search.until[p] > search.step || search.until[q] > search.step;
      if (value >= least.value || (tabu && value >= search.best)) continue;
      if (solver::clash(problem.team(), s, p, q)) continue;
      least = {value, p, q};
    }
  return least;
}

TEST(Shortcuts, WindowsFindTheLeastOfAllSwaps) {
  int found = 0;
  for (uint32_t t = 0; t < 600; ++t) {
    OnItsWay problem(t);
    problem.begin();
    const Move least = least_swap_of_all(problem);
    Search& search = problem.search();
    ASSERT_EQ(solver::relieve(problem.team(), search, problem.ends()), least.p >= 0) << t;
    if (least.p < 0) continue;
    ++found;
    ASSERT_EQ(search.log[0], least.p) << t;
    ASSERT_EQ(search.log[1], least.q) << t;
  }
  EXPECT_GT(found, 300);
}

// The slots by position after the best exchange of pairs; empty if there is none. GPUs from `first` on, 64 at most.
std::vector<int> best_pairs_of_all(OnItsWay& problem, int first) {
  const solver::Placement& s = problem.now();
  const solver::Ends e = problem.ends();
  const int k = s.p.places, rounded = (s.p.gpus + 15) / 16 * 16, count = std::min(rounded, 64);
  int64_t least = 2 * int64_t{e.most};
  std::vector<int> best;
  for (int block = first; block < first + count; block += 16)
    for (int i = 0; i < k * k; ++i)
      for (int g = block % rounded; g < std::min(block % rounded + 16, s.p.gpus); ++g)
        for (int j = 0; j < k * k; ++j) {
          const int q1 = s.item[g * k + i / k], q2 = s.item[g * k + i % k];
          const int p1 = s.item[e.heaviest * k + j / k], p2 = s.item[e.heaviest * k + j % k];
          if (i / k >= i % k || j / k >= j % k || g == e.heaviest) continue;
          const int64_t d = int64_t{s.p.size[p1]} + s.p.size[p2] - s.p.size[q1] - s.p.size[q2];
          const int64_t value = 2 * std::max(e.most - d, s.load[g] + d);
          if (value >= least) continue;
          solver::exchange(problem.team(), s, p1, q1);
          solver::exchange(problem.team(), s, p2, q2);
          if (!holds_any_twice(s, g) && !holds_any_twice(s, e.heaviest)) {
            least = value;
            best = problem.slots();
          }
          solver::exchange(problem.team(), s, p2, q2);
          solver::exchange(problem.team(), s, p1, q1);
        }
  return best;
}

TEST(Shortcuts, PairsThatAreNotLookedAtAreNotTheLeast) {
  int found = 0, clean = 0;
  for (uint32_t t = 0; t < 200; ++t) {
    OnItsWay problem(t, 4);
    problem.begin();
    bool duplicates = false;
    for (int g = 0; g < problem.layer().gpus; ++g) duplicates |= holds_any_twice(problem.now(), g);
    if (duplicates) continue;
    ++clean;
    const int blocks = (problem.layer().gpus + 15) / 16;
    const int first = blocks <= 4 ? 0 : 16 * plain::below(problem.layer().u(7, 0, 0), blocks);
    const std::vector<int> best = best_pairs_of_all(problem, first);
    ASSERT_EQ(solver::exchange_pairs(problem.team(), problem.search(), problem.ends()), !best.empty()) << t;
    if (best.empty()) continue;
    ++found;
    ASSERT_EQ(problem.slots(), best) << t;
  }
  EXPECT_GT(clean, 150);
  EXPECT_GT(found, 100);
}

TEST(Shortcuts, ShiftedPositionsAreThoseLaidOutAnew) {
  int changed = 0;
  for (uint32_t t = 0; t < 400; ++t) {
    OnItsWay problem(t);
    problem.begin();
    const int slots = problem.layer().slots, experts = problem.layer().experts();
    const solver::Positions& p = problem.positions();
    const std::vector<int> before = problem.slots(), expert_before(p.expert.data, p.expert.data + slots);
    const int from = problem.below(slots), b = p.expert[problem.below(slots)], a = p.expert[from];
    if (p.count[a] < 2 || a == b) continue;
    ++changed;
    solver::save(problem.team(), problem.search());
    solver::change_expert(problem.team(), problem.search(), from, b);
    plain::Counts counts(p.count.data, p.count.data + experts);
    const plain::Positions anew(problem.layer(), counts);
    ASSERT_TRUE(std::equal(anew.size.begin(), anew.size.end(), p.size.data)) << t;
    ASSERT_TRUE(std::equal(anew.expert.begin(), anew.expert.end(), p.expert.data)) << t;
    ASSERT_TRUE(std::equal(anew.first.begin(), anew.first.end(), p.first.data)) << t;
    for (int e = 0; e < experts; ++e) {  // copies keep their order; what has changed is the last
      std::vector<int> own;
      for (int i = 0; i < slots; ++i)
        if (expert_before[i] == e && i != from) own.push_back(before[i]);
      if (e == b) own.push_back(before[from]);
      const std::vector<int> after = problem.slots();
      ASSERT_TRUE(std::equal(own.begin(), own.end(), after.begin() + p.first[e])) << t;
    }
  }
  EXPECT_GT(changed, 100);
}

// What a price rejects would be rejected anyway.
TEST(Shortcuts, PricesDoNotChangeAFold) {
  std::mt19937 random(4);
  for (uint32_t t = 0; t < 60; ++t) {
    const int gpus = 13 + static_cast<int>(random() % 40), slots = 2 * gpus;
    std::vector<double> weights(slots - 1 - random() % gpus);
    for (double& w : weights) w = t % 3 == 0 ? 1 + random() % 7 : std::lognormal_distribution<double>(8, t % 3)(random);
    const plain::Layer layer(weights, slots, gpus, 0, t);
    const plain::Counts dhondt = *plain::count_by_rule(layer, layer.q, plain::kRule[0]);
    plain::Fold priced(layer, 0, dhondt), unpriced(layer, 0, dhondt, false);
    priced.run(10 * slots);
    unpriced.run(10 * slots);
    EXPECT_EQ(priced.kept().count, unpriced.kept().count) << t;
    EXPECT_EQ(priced.kept().expert, unpriced.kept().expert) << t;
  }
}

}  // namespace
}  // namespace eplb::tests
