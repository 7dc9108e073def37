// BEST's shortcuts one by one, each against the whole scan that it stands for: candidates of a
// rule, windows of sizes, pairs that are not looked at, replicas that are shifted instead of
// sorted, moves that are taken back, prices.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "solver/strategies/best_search.h"
#include "tests/solver/plain_fold.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

using solver::TabuSearch;

// A search somewhere on its way: random weights and counts, a start, some swaps, some replicas
// tabu; and the same problem as a plain layer.
class OnItsWay {
 public:
  explicit OnItsWay(uint32_t number, int least_per_gpu = 3) : random_(number), team_(number) {
    const int per_gpu = least_per_gpu + below(6), gpus = 2 + below(number % 5 == 0 ? 90 : 20);
    const int slots = per_gpu * gpus, experts = slots - below(slots / 2);
    std::vector<double> weights(experts);
    for (double& weight : weights)
      weight = number % 3 == 0 ? 1 + below(6)
                               : std::lognormal_distribution<double>(8, number % 3)(random_);
    const int max_replicas = below(3) == 0 ? 2 + below(4) : 0;
    layer_ = std::make_unique<plain::Layer>(weights, slots, gpus, max_replicas, number);
    lay_out();
  }

  // Places the replicas of some rule and shakes them.
  void begin() {
    const auto counts = plain::count_by_rule(*layer_, layer_->q, plain::kRule[0]);
    std::copy(counts->begin(), counts->end(), sorted().copies.data);
    solver::sort_replicas(team_, sorted());
    solver::start<solver::Integer>(team_, state(), best_.start);
    solver::begin(team_, search(), {layer_->seed, 0, 0, 0}, limits(), 0, 16);
    for (int t = below(layer_->slots); t > 0; --t) {
      const solver::Swap swap{below(layer_->slots), below(layer_->slots)};
      if (state().gpu[swap.give] == state().gpu[swap.take]) continue;
      if (!solver::makes_duplicate(team_, state(), swap)) solver::apply(team_, state(), swap);
    }
    search().step = 5;
    for (int i = 0; i < layer_->slots; ++i)
      search().tabu_until[i] = below(4) == 0 ? 4 + below(4) : 0;
    // Tabu swaps count only below the best: an old best somewhat above or below the largest load.
    const int most = loads().most;
    search().best = most - most / 50 + below(most / 25);
  }

  const plain::Layer& layer() const { return *layer_; }
  solver::CountLimits limits() const { return {static_cast<int>(layer_->mean()), layer_->most}; }
  solver::BestWorkspace& best() { return best_; }
  TabuSearch& search() { return best_.search; }
  solver::State& state() { return best_.search.state; }
  solver::SortedReplicas& sorted() { return best_.search.state.sorted; }
  solver::LoadRange loads() { return solver::load_range(team_, state()); }
  ShuffledTeam& team() { return team_; }
  int below(int n) { return n <= 1 ? 0 : static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  std::vector<int> slots() {  // by replica
    std::vector<int> slots;
    for (int i = 0; i < layer_->slots; ++i)
      slots.push_back(state().gpu[i] * layer_->places() + state().row[i]);
    return slots;
  }

 private:
  void lay_out() {
    const int experts = layer_->experts(), slots = layer_->slots, gpus = layer_->gpus;
    solver::Arena count(nullptr);
    best_.lay_out(count, experts, slots, gpus);
    memory_.assign(count.used() + 64, 0x7f);
    void* start = memory_.data();
    size_t space = memory_.size();
    solver::Arena arena(std::align(64, static_cast<size_t>(count.used()), start, space));
    best_.lay_out(arena, experts, slots, gpus);
    sorted().shape(experts, slots, gpus);
    std::copy(layer_->q.begin(), layer_->q.end(), sorted().weight.data);
  }

  std::mt19937 random_;
  ShuffledTeam team_;
  std::unique_ptr<plain::Layer> layer_;
  std::vector<char> memory_;
  solver::BestWorkspace best_{};
};

bool holds_any_twice(const solver::State& state, int gpu) {
  const int* const on_gpu = state.experts_on(gpu).data;
  std::vector<int> experts(on_gpu, on_gpu + state.slots_per_gpu());
  std::sort(experts.begin(), experts.end());
  return std::adjacent_find(experts.begin(), experts.end()) != experts.end();
}

TEST(Shortcuts, CountsByThresholdAreThoseOneAtATime) {
  int failed = 0;
  for (uint32_t t = 0; t < 400; ++t) {
    OnItsWay problem(t);
    const plain::Layer& layer = problem.layer();
    const int i = static_cast<int>(t % plain::kRules);
    const bool noisy = t % 2 == 1;
    const auto counts = noisy ? plain::count_by_noisy_rule(layer, plain::kRule[i], 3, 9)
                              : plain::count_by_rule(layer, layer.q, plain::kRule[i]);
    const solver::CountRule rule = solver::count_rule(i);
    solver::SortedReplicas& sorted = problem.sorted();
    const solver::CountScratch& scratch = problem.best().counting;
    const solver::Chance chance{layer.seed, solver::kNoisyCounts, 0, 9};
    const bool counted = noisy ? solver::count_by_noisy_rule(problem.team(), sorted, scratch, rule,
                                                             problem.limits(), 3, chance)
                               : solver::count_by_rule(problem.team(), sorted, sorted.weight,
                                                       scratch, rule, problem.limits());
    ASSERT_EQ(counted, counts.has_value()) << t;
    failed += !counted;
    if (!counted) continue;
    const int* const copies = sorted.copies.data;
    ASSERT_EQ(plain::Counts(copies, copies + layer.experts()), *counts) << t;
    solver::sort_replicas(problem.team(), sorted);
    ASSERT_EQ(solver::bound_of_counts(problem.team(), sorted),
              plain::bound(layer, plain::SortedReplicas(layer, *counts)))
        << t;
  }
  EXPECT_GT(failed, 0);
  EXPECT_LT(failed, 100);
}

struct LeastSwap {
  int64_t cost;
  solver::Swap swap;
};
LeastSwap least_swap_of_all(OnItsWay& problem) {
  const TabuSearch& search = problem.search();
  const solver::State& state = problem.state();
  const solver::LoadRange loads = problem.loads();
  const View<int> size = state.sorted.size, tabu_until = search.tabu_until;
  LeastSwap least{int64_t{loads.most} + (loads.most - loads.least), {-1, -1}};
  for (int row = 0; row < state.slots_per_gpu(); ++row)
    for (int take = 0; take < state.sorted.slots; ++take) {
      const int give = state.replicas_on(loads.heaviest)[row], taker = state.gpu[take];
      if (size[take] >= size[give] || taker == loads.heaviest) continue;
      const int64_t less = size[give] - size[take];
      const int64_t cost = std::max(loads.most - less, state.load[taker] + less);
      const bool tabu = tabu_until[give] > search.step || tabu_until[take] > search.step;
      if (cost >= least.cost || (tabu && cost >= search.best)) continue;
      if (solver::makes_duplicate(problem.team(), state, solver::Swap{give, take})) continue;
      least = {cost, {give, take}};
    }
  return least;
}

TEST(Shortcuts, WindowsFindTheLeastOfAllSwaps) {
  int found = 0;
  for (uint32_t t = 0; t < 600; ++t) {
    OnItsWay problem(t);
    problem.begin();
    const LeastSwap least = least_swap_of_all(problem);
    TabuSearch& search = problem.search();
    const bool any = least.swap.give >= 0;
    ASSERT_EQ(solver::relieve(problem.team(), search, problem.loads()), any) << t;
    if (!any) continue;
    ++found;
    ASSERT_EQ(search.log.entry[0].one, least.swap.give) << t;
    ASSERT_EQ(search.log.entry[0].other, least.swap.take) << t;
  }
  EXPECT_GT(found, 300);
}

// The slots by replica after the best swap of pairs; empty if there is none. GPUs from `first` on,
// 64 at most.
std::vector<int> best_pairs_of_all(OnItsWay& problem, int first) {
  const solver::State& state = problem.state();
  const solver::LoadRange loads = problem.loads();
  const View<int> size = state.sorted.size;
  const int gpus = state.sorted.gpus, rounded = (gpus + 15) / 16 * 16;
  const int per_gpu = state.slots_per_gpu(), pairs = per_gpu * per_gpu;
  int64_t least = 2 * int64_t{loads.most};
  std::vector<int> best;
  auto try_pair = [&](int taker, int theirs, int mine) {
    const auto given = state.replicas_on(loads.heaviest), taken = state.replicas_on(taker);
    const solver::Swap one{given[mine / per_gpu], taken[theirs / per_gpu]};
    const solver::Swap two{given[mine % per_gpu], taken[theirs % per_gpu]};
    const int64_t less = int64_t{size[one.give]} + size[two.give] - size[one.take] - size[two.take];
    const int64_t cost = 2 * std::max(loads.most - less, state.load[taker] + less);
    if (cost >= least) return;
    solver::apply(problem.team(), state, solver::SwapPair{one, two});
    if (!holds_any_twice(state, taker) && !holds_any_twice(state, loads.heaviest)) {
      least = cost;
      best = problem.slots();
    }
    solver::apply(problem.team(), state, solver::SwapPair{two, one});
  };
  for (int block = first; block < first + std::min(rounded, 64); block += 16)
    for (int i = 0; i < pairs; ++i) {
      const int from = block % rounded, to = std::min(from + 16, gpus);
      for (int taker = from; taker < to; ++taker)
        for (int j = 0; j < pairs; ++j) {
          if (i / per_gpu >= i % per_gpu || j / per_gpu >= j % per_gpu) continue;
          if (taker != loads.heaviest) try_pair(taker, i, j);
        }
    }
  return best;
}

TEST(Shortcuts, PairsThatAreNotLookedAtAreNotTheLeast) {
  int found = 0, clean = 0;
  for (uint32_t t = 0; t < 200; ++t) {
    OnItsWay problem(t, 4);
    problem.begin();
    bool duplicates = false;
    for (int g = 0; g < problem.layer().gpus; ++g)
      duplicates |= holds_any_twice(problem.state(), g);
    if (duplicates) continue;
    ++clean;
    const int blocks = (problem.layer().gpus + 15) / 16;
    const int first = blocks <= 4 ? 0 : 16 * plain::below(problem.layer().u(7, 0, 0), blocks);
    const std::vector<int> best = best_pairs_of_all(problem, first);
    const bool any = solver::swap_pairs(problem.team(), problem.search(), problem.loads());
    ASSERT_EQ(any, !best.empty()) << t;
    if (!any) continue;
    ++found;
    ASSERT_EQ(problem.slots(), best) << t;
  }
  EXPECT_GT(clean, 150);
  EXPECT_GT(found, 100);
}

// A re-target, unless the two random experts do not allow one.
bool random_retarget(OnItsWay& problem, solver::Retarget& move) {
  const solver::SortedReplicas& sorted = problem.sorted();
  const int slots = problem.layer().slots, replica = problem.below(slots);
  const int loser = sorted.expert[replica], expert = sorted.expert[problem.below(slots)];
  move = {replica, expert, sorted.copies[expert]};
  return sorted.copies[loser] > 1 && loser != expert;
}

TEST(Shortcuts, ShiftedReplicasAreThoseSortedAgain) {
  int changed = 0;
  for (uint32_t t = 0; t < 400; ++t) {
    OnItsWay problem(t);
    problem.begin();
    const int slots = problem.layer().slots, experts = problem.layer().experts();
    const solver::SortedReplicas& sorted = problem.sorted();
    const std::vector<int> before = problem.slots();
    const std::vector<int> expert_before(sorted.expert.data, sorted.expert.data + slots);
    solver::Retarget move;
    if (!random_retarget(problem, move)) continue;
    ++changed;
    solver::apply(problem.team(), problem.state(), problem.search().retarget_scratch, move);
    const plain::Counts counts(sorted.copies.data, sorted.copies.data + experts);
    const plain::SortedReplicas again(problem.layer(), counts);
    ASSERT_TRUE(std::equal(again.size.begin(), again.size.end(), sorted.size.data)) << t;
    ASSERT_TRUE(std::equal(again.expert.begin(), again.expert.end(), sorted.expert.data)) << t;
    ASSERT_TRUE(std::equal(again.first.begin(), again.first.end(), sorted.first.data)) << t;
    const std::vector<int> after = problem.slots();
    for (int e = 0; e < experts;
         ++e) {  // copies keep their order; the one that changed is the last
      std::vector<int> own;
      for (int i = 0; i < slots; ++i)
        if (expert_before[i] == e && i != move.replica) own.push_back(before[i]);
      if (e == move.expert) own.push_back(before[move.replica]);
      ASSERT_TRUE(std::equal(own.begin(), own.end(), after.begin() + sorted.first[e])) << t;
    }
  }
  EXPECT_GT(changed, 100);
}

// All that a state is, in one list.
std::vector<int> contents(const solver::State& state) {
  std::vector<int> all;
  auto add = [&](View<int> view, int n) { all.insert(all.end(), view.data, view.data + n); };
  const solver::SortedReplicas& sorted = state.sorted;
  for (const auto& by_expert : {sorted.copies, sorted.first}) add(by_expert, sorted.experts);
  for (const auto& by_replica : {sorted.size, sorted.expert, state.gpu, state.row, state.rest})
    add(by_replica, sorted.slots);
  for (const auto& by_slot : {state.expert, state.replica}) add(by_slot, sorted.slots);
  add(state.load, sorted.gpus);
  for (int row = 0; row < state.slots_per_gpu(); ++row)
    add(state.size_rows.from(row * state.stride), sorted.gpus);
  return all;
}

TEST(Shortcuts, UndoTakesEveryKindOfMoveBack) {
  int retargets = 0;
  for (uint32_t t = 0; t < 200; ++t) {
    OnItsWay problem(t);
    problem.begin();
    const solver::State& state = problem.state();
    TabuSearch& search = problem.search();
    const std::vector<int> before = contents(state);
    for (int i = 0; i < 12; ++i) {
      solver::Retarget move;
      const solver::Swap swap{problem.below(state.sorted.slots), problem.below(state.sorted.slots)};
      if (i % 4 == 3 && random_retarget(problem, move)) {
        ++retargets;
        solver::apply_logged(problem.team(), state, search.log, search.retarget_scratch, move);
      } else if (state.gpu[swap.give] != state.gpu[swap.take]) {
        solver::apply_logged(problem.team(), state, search.log, swap, [] {});
      }
    }
    solver::undo(problem.team(), state, search.log, search.retarget_scratch);
    ASSERT_EQ(contents(state), before) << t;
    ASSERT_EQ(search.log.length, 0);
  }
  EXPECT_GT(retargets, 100);
}

// What a price rejects would be rejected anyway.
TEST(Shortcuts, PricesDoNotChangeAFold) {
  std::mt19937 random(4);
  for (uint32_t t = 0; t < 60; ++t) {
    const int gpus = 13 + static_cast<int>(random() % 40), slots = 2 * gpus;
    std::vector<double> weights(slots - 1 - random() % gpus);
    for (double& w : weights)
      w = t % 3 == 0 ? 1 + random() % 7 : std::lognormal_distribution<double>(8, t % 3)(random);
    const plain::Layer layer(weights, slots, gpus, 0, t);
    const plain::Counts dhondt = *plain::count_by_rule(layer, layer.q, plain::kRule[0]);
    plain::Fold priced(layer, 0, dhondt), unpriced(layer, 0, dhondt, false);
    priced.run(10 * slots);
    unpriced.run(10 * slots);
    EXPECT_EQ(priced.kept().count, unpriced.kept().count) << t;
    EXPECT_EQ(priced.kept().expert, unpriced.kept().expert) << t;
  }
}

TEST(Shortcuts, LargerOnesAreCountedTogether) {
  std::mt19937 random(1);
  ShuffledTeam team(7);
  for (const int slots : {1, 300, 32767, 32768, 40000}) {
    std::vector<int> size(slots);
    for (int& own : size) own = static_cast<int>(random() % 1000);
    for (const int one : {-1, 0, 500, 999})
      for (const int other : {-1, 300, 1000}) {
        auto larger_than = [&](int limit) {
          return std::count_if(size.begin(), size.end(), [=](int own) { return own > limit; });
        };
        const auto ones = solver::count_larger(team, {size.data()}, slots, one, other);
        EXPECT_EQ(ones.one, larger_than(one)) << slots;
        EXPECT_EQ(ones.other, larger_than(other)) << slots;
      }
  }
}

}  // namespace
}  // namespace eplb::tests
