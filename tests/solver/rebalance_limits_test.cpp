// EPLB_STRATEGY_REBALANCE from its maps alone: limits, what stays where it is, and the fewest moves
// that any placement takes to a target.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "tests/solver/rebalance_cases.h"
#include "tests/solver/trials.h"

namespace eplb::tests {
namespace {

// A layer of a case and of its answer.
struct LayerThen {
  const MoveCase& c;
  int64_t rows, experts;
  std::vector<double> weight;
  std::vector<int64_t> was, is;

  LayerThen(const MoveCase& of, const std::vector<int>& answer, int64_t l)
      : c(of), rows(of.sizes.slots / of.sizes.gpus), experts(of.sizes.experts) {
    const auto first = of.weights.begin() + l * experts;
    weight.assign(first, first + experts);
    const auto slot = of.current.begin() + l * of.sizes.slots;
    was.assign(slot, slot + of.sizes.slots);
    is.assign(answer.begin() + l * of.sizes.slots, answer.begin() + (l + 1) * of.sizes.slots);
  }
  int64_t open(int64_t g) const { return c.slots.empty() ? rows : c.slots[g]; }
  double speed(int64_t g) const { return c.speeds.empty() ? 1 : c.speeds[g]; }
  std::set<int64_t> on(const std::vector<int64_t>& placement, int64_t g) const {
    std::set<int64_t> experts_there(placement.begin() + g * rows,
                                    placement.begin() + (g + 1) * rows);
    experts_there.erase(-1);
    return experts_there;
  }
  int64_t arrivals(int64_t g) const {
    const std::set<int64_t> before = on(was, g), after = on(is, g);
    return std::count_if(after.begin(), after.end(), [&](int64_t e) { return !before.count(e); });
  }
  int64_t moves() const {
    int64_t sum = 0;
    for (int64_t g = 0; g < c.sizes.gpus; ++g) sum += arrivals(g);
    return sum;
  }
  std::vector<int> counts(const std::vector<int64_t>& placement) const {
    std::vector<int> count(static_cast<size_t>(experts));
    for (const int64_t e : placement)
      if (e >= 0) ++count[static_cast<size_t>(e)];
    return count;
  }
  bool has_all(const std::vector<int64_t>& placement) const {
    const std::vector<int> count = counts(placement);
    return *std::min_element(count.begin(), count.end()) > 0;
  }
  double imbalance(const std::vector<int64_t>& placement) const {
    const std::vector<int> count = counts(placement);
    double largest = 0, speeds = 0;
    for (int64_t g = 0; g < c.sizes.gpus; ++g) {
      double load = 0;
      for (int64_t s = g * rows; s < (g + 1) * rows; ++s)
        if (const int64_t e = placement[s]; e >= 0) load += weight[e] / count[e];
      largest = std::max(largest, load / speed(g));
      if (open(g) > 0) speeds += speed(g);
    }
    const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
    return sum > 0 ? largest / (sum / speeds) : 1;
  }
  bool is_open(int64_t slot) const { return slot % rows < open(slot / rows); }
  int64_t duplicates(const std::vector<int64_t>& placement) const {
    int64_t all =
        std::count_if(placement.begin(), placement.end(), [](int64_t e) { return e >= 0; });
    for (int64_t g = 0; g < c.sizes.gpus; ++g) all -= std::ssize(on(placement, g));
    return all;
  }
};

// 0: none.
double target_of(const eplb_solve_options& options) {
  if (options.target >= 0) return options.target;
  const bool limited =
      options.max_moves >= 0 || options.max_moves_total >= 0 || options.move_price > 0;
  return limited ? 0 : 1.02;
}

void expect_limits(const LayerThen& layer) {
  const eplb_solve_options& options = layer.c.options;
  EXPECT_TRUE(layer.has_all(layer.is));
  if (options.max_moves >= 0) {
    EXPECT_LE(layer.moves(), options.max_moves);
  }
  for (int64_t g = 0; g < layer.c.sizes.gpus && options.max_arrivals > 0; ++g)
    EXPECT_LE(layer.arrivals(g), options.max_arrivals);
  const std::vector<int> count = layer.counts(layer.is);
  if (options.max_replicas > 0) {
    EXPECT_LE(*std::max_element(count.begin(), count.end()), options.max_replicas);
  }
}

// Experts that a GPU still has are in a slot in which it had them, unless that is closed.
void expect_what_stays(const LayerThen& layer) {
  for (int64_t slot = 0; slot < layer.c.sizes.slots; ++slot) {
    const int64_t g = slot / layer.rows, e = layer.is[slot];
    if (!layer.is_open(slot)) {
      EXPECT_EQ(-1, e) << "closed slot " << slot;
      continue;
    }
    if (e < 0 || !layer.on(layer.was, g).count(e) || layer.was[slot] == e) continue;
    for (int64_t s = g * layer.rows; s < (g + 1) * layer.rows; ++s)
      EXPECT_TRUE(layer.was[s] != e || !layer.is_open(s) || layer.is[s] == e) << "slot " << slot;
  }
}

bool is_in_place(const LayerThen& layer) {
  if (!layer.has_all(layer.was)) return false;
  for (int64_t slot = 0; slot < layer.c.sizes.slots; ++slot)
    if (!layer.is_open(slot) && layer.was[slot] >= 0) return false;
  return layer.c.sizes.groups == 1;
}
// What there is no reason to change.
bool expect_unchanged(const LayerThen& layer) {
  const double target = target_of(layer.c.options);
  const bool has_load =
      std::any_of(layer.weight.begin(), layer.weight.end(), [](double w) { return w > 0; });
  const bool is_good = target > 0 && layer.imbalance(layer.was) < target * (1 - 2.0 / 1024);
  if (!is_in_place(layer) || (has_load && !is_good)) return false;
  EXPECT_EQ(layer.was, layer.is);
  return true;
}

TEST(RebalanceLimits, HoldInEveryAnswer) {
  MoveLibrary library;
  uint32_t unchanged = 0, answered = 0;
  for (uint32_t seed = 10001; seed <= 10000 + trials(4000); ++seed) {
    const MoveCase c = AnyMoveCase(seed).make(library);
    SCOPED_TRACE(std::to_string(seed) + ": " + text_of(c));
    const std::vector<int> answer = library.solve(c, EPLB_STRATEGY_REBALANCE);
    if (answer.empty()) continue;
    ++answered;
    int64_t moves = 0, duplicates = 0, duplicates_before = 0;
    for (int64_t l = 0; l < c.layers; ++l) {
      const LayerThen layer(c, answer, l);
      moves += layer.moves();
      duplicates += layer.duplicates(layer.is);
      duplicates_before += layer.duplicates(layer.was);
      expect_limits(layer);
      expect_what_stays(layer);
      unchanged += expect_unchanged(layer);
    }
    if (c.options.max_moves_total >= 0) {
      EXPECT_LE(moves, c.options.max_moves_total);
    }
    const eplb_report report = library.report();
    EXPECT_EQ(moves, report.moves);
    EXPECT_LE(duplicates, duplicates_before + report.duplicates_unavoidable);
    EXPECT_GE(report.gap_mean, 0);  // slots may be empty: the bound knows it
    if (target_of(c.options) > 0 && report.layers_missed == 0) {
      EXPECT_LE(report.moves_bound, report.moves);
    }
  }
  EXPECT_GT(answered, trials(3000));
  EXPECT_GT(unchanged, trials(200));
}

// A time that only a slow GPU can have: the whole load at full speed takes less.
TEST(RebalanceLimits, TargetsOfSlowGpusAreReached) {
  MoveLibrary library;
  for (const double slow : {1.0 / 16, 1.0 / 64, 1.0 / 900}) {
    MoveCase c{};
    c.layers = 1;
    c.sizes = {2, 2, 2};
    c.weights = {100, 1};
    c.current = {1, 0};
    c.speeds = {1, slow};
    eplb_solve_options_init(&c.options, sizeof c.options, nullptr);
    c.options.target = 1.1 / slow;
    EXPECT_EQ(library.solve(c, EPLB_STRATEGY_REBALANCE), (std::vector<int>{1, 0})) << slow;
    EXPECT_EQ(library.report().layers_missed, 0);
    c.options.target = 0.9 / slow;
    EXPECT_EQ(library.solve(c, EPLB_STRATEGY_REBALANCE), (std::vector<int>{0, 1})) << slow;
  }
}

// Copies that have to leave their node leave GPUs without a move: the bound of moves knows it.
TEST(RebalanceLimits, CopiesOnOtherNodesNeedNoMoves) {
  MoveLibrary library;
  MoveCase c{};
  c.layers = 1;
  c.sizes = {4, 8, 4, 2, 2};
  c.weights = {100, 1, 1, 100};
  c.current = {0, 1, 0, 2, 2, 3, 3, 0};
  eplb_solve_options_init(&c.options, sizeof c.options, nullptr);
  EXPECT_EQ(library.solve(c, EPLB_STRATEGY_REBALANCE),
            (std::vector<int>{0, 1, 0, -1, 2, 3, 3, -1}));
  const eplb_report report = library.report();
  EXPECT_EQ(report.layers_missed, 0);
  EXPECT_EQ(report.moves, 0);
  EXPECT_EQ(report.moves_bound, 0);
}

// Experts that are nowhere they can stay come first: as many moves as they are will do, where GPUs
// are open or closed as a whole.
TEST(RebalanceLimits, ForcedMovesAreEnough) {
  MoveLibrary library;
  uint32_t some_forced = 0;
  for (uint32_t seed = 20001; seed <= 20000 + trials(1500); ++seed) {
    MoveCase c = AnyMoveCase(seed).make(library);
    if (c.sizes.groups > 1) continue;
    SCOPED_TRACE(std::to_string(seed) + ": " + text_of(c));
    for (int64_t& open : c.slots) open = open > 0 ? c.sizes.slots / c.sizes.gpus : 0;
    c.options.max_moves = -1;
    c.options.max_arrivals = c.options.max_replicas = 0;
    c.options.max_moves_total = c.layers * c.sizes.slots;
    ASSERT_FALSE(library.solve(c, EPLB_STRATEGY_REBALANCE).empty()) << library.error.text;
    const int64_t forced = c.options.max_moves_total = library.report().moves_forced;
    ASSERT_FALSE(library.solve(c, EPLB_STRATEGY_REBALANCE).empty()) << library.error.text;
    EXPECT_EQ(forced, library.report().moves);
    some_forced += forced > 0;
  }
  EXPECT_GT(some_forced, trials(500));
}

// Is there a placement with so many moves at most, every slot full, that reaches the target?
class FewerMoves {
 public:
  FewerMoves(const LayerThen& layer, double target)
      : layer_(layer),
        limit_(target * std::accumulate(layer.weight.begin(), layer.weight.end(), 0.0) /
               static_cast<double>(layer.c.sizes.gpus)) {
    for (int64_t set = 0; set < int64_t{1} << layer.experts; ++set)
      if (__builtin_popcountll(static_cast<uint64_t>(set)) == layer.rows) sets_.push_back(set);
    chosen_.resize(static_cast<size_t>(layer.c.sizes.gpus));
  }
  bool exist(int64_t moves) { return fill(0, moves); }

 private:
  bool fill(size_t g, int64_t moves) {
    if (g == chosen_.size()) return reaches();
    int64_t before = 0;
    for (const int64_t e : layer_.on(layer_.was, static_cast<int64_t>(g)))
      before |= int64_t{1} << e;
    for (const int64_t set : sets_) {
      const int come = __builtin_popcountll(static_cast<uint64_t>(set & ~before));
      chosen_[g] = set;
      if (come <= moves && fill(g + 1, moves - come)) return true;
    }
    return false;
  }
  bool reaches() const {
    std::vector<int> count(static_cast<size_t>(layer_.experts));
    for (const int64_t set : chosen_)
      for (size_t e = 0; e < count.size(); ++e) count[e] += set >> e & 1;
    for (const int64_t set : chosen_) {
      double load = 0;
      for (size_t e = 0; e < count.size(); ++e)
        if (set >> e & 1) load += layer_.weight[e] / count[e];
      if (load > limit_) return false;
    }
    return *std::min_element(count.begin(), count.end()) > 0;
  }

  const LayerThen& layer_;
  double limit_;
  std::vector<int64_t> sets_;  // of experts that fill a GPU, as bits
  std::vector<int64_t> chosen_;
};

// Full GPUs, each of which holds different experts; every expert is somewhere.
MoveCase tiny_case(uint32_t seed) {
  std::mt19937 random(seed);
  auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  const int64_t gpus = 3 + below(2), rows = 2 + below(2);
  MoveCase c{};
  c.layers = 1;
  c.sizes = {4 + below(std::min<int64_t>(7, gpus * rows) - 3), gpus * rows, gpus};
  for (int64_t e = 0; e < c.sizes.experts; ++e)
    c.weights.push_back(static_cast<double>(1 + below(seed % 3 ? 1000 : 6)));
  std::vector<int64_t> shuffled(static_cast<size_t>(c.sizes.experts));
  std::iota(shuffled.begin(), shuffled.end(), 0);
  do {
    c.current.clear();
    for (int64_t g = 0; g < gpus; ++g) {
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      c.current.insert(c.current.end(), shuffled.begin(), shuffled.begin() + rows);
    }
  } while (std::ssize(std::set<int64_t>(c.current.begin(), c.current.end())) < c.sizes.experts);
  eplb_solve_options_init(&c.options, sizeof c.options, nullptr);
  c.options.effort = EPLB_EFFORT_MAX;
  c.options.target = 1.02 + 0.1 * static_cast<double>(below(4));
  return c;
}

TEST(RebalanceLimits, TargetsTakeTheFewestMoves) {
  MoveLibrary library;
  const uint32_t most = trials(1000), most_missed = trials(100);
  uint32_t reached = 0, least = 0, missed = 0, out_of_reach = 0;
  for (uint32_t seed = 1; reached < most || missed < most_missed; ++seed) {
    SCOPED_TRACE(seed);
    const MoveCase c = tiny_case(seed);
    const LayerThen layer(c, library.solve(c, EPLB_STRATEGY_REBALANCE), 0);
    FewerMoves fewer(layer, c.options.target);
    if (layer.imbalance(layer.is) > c.options.target) {
      EXPECT_EQ(1, library.report().layers_missed);
      if (++missed <= most_missed) out_of_reach += !fewer.exist(c.sizes.slots);
      continue;
    }
    EXPECT_EQ(0, library.report().layers_missed);
    if (++reached > most) continue;
    ASSERT_TRUE(fewer.exist(layer.moves()));
    int64_t fewest = layer.moves();
    while (fewest > 0 && fewer.exist(fewest - 1)) --fewest;
    least += fewest == layer.moves();
    EXPECT_LE(library.report().moves_bound, fewest);
  }
  EXPECT_GE(least, most * 95 / 100);
  EXPECT_GE(out_of_reach, most_missed * 95 / 100);
}

}  // namespace
}  // namespace eplb::tests
