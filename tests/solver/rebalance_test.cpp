// EPLB_STRATEGY_REBALANCE against its plain definition: every step that a search could be asked
// for, and whole answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "tests/solver/plain_rebalance.h"
#include "tests/solver/rebalance_cases.h"
#include "tests/solver/searched.h"
#include "tests/solver/trials.h"

namespace eplb::tests {
namespace {

// ------------------------------------------------------------------------------------ single steps

// At the head, then at other GPUs above their limit, for as long as there are changes.
void expect_same_steps(AnyState& any, int steps, std::vector<int>& kinds) {
  Searched searched(any);
  const plain::Rows first = any.now.at;
  for (int i = 0; i < steps; ++i) {
    const std::vector<int> heads = any.now.heads();
    if (heads.empty()) break;
    const int head = heads[static_cast<size_t>(i) / 4 % heads.size()];
    SCOPED_TRACE("step " + std::to_string(i) + ", head " + std::to_string(head));
    expect_same_step(any, searched, head, kinds);
    if (testing::Test::HasFatalFailure()) return;
  }
  searched.undo();
  ASSERT_EQ(first, searched.arranged());
}

TEST(Rebalance, EveryStepIsTheBestByTheDefinition) {
  std::vector<int> kinds(4);
  for (uint32_t seed = 1; seed <= trials(4000); ++seed) {
    SCOPED_TRACE(seed);
    AnyState any(seed);
    expect_same_steps(any, 12, kinds);
    if (HasFatalFailure()) return;
  }
  for (const int count : kinds) EXPECT_GT(count, static_cast<int>(trials(1000)));
}

// ----------------------------------------------------------------------------------- whole answers

// What the plain definition makes of a case.
class PlainCase {
 public:
  PlainCase(const MoveCase& c, MoveLibrary& library)
      : c_(c), cluster_(c.cluster()), problem_(problem_of(c.sizes, c.options, 1, {}, cluster_)) {
    MoveCase fresh = c;
    fresh.windows = 1;
    fresh.weights.clear();
    for (int64_t l = 0; l < c.layers; ++l) {
      windows_.push_back(plain::windows_of(weights_of(l)));
      const std::vector<double> sums = plain::sums_of(weights_of(l), windows_.back());
      fresh.weights.insert(fresh.weights.end(), sums.begin(), sums.end());
    }
    fresh_ = library.solve(fresh, EPLB_STRATEGY_BEST);
    for (int64_t l = 0; l < c.layers; ++l) layers_.push_back(layer(l));
  }

  std::vector<int> solve() const {
    std::vector<int> all;
    const std::vector<int64_t> share = shares();
    for (int64_t l = 0; l < c_.layers; ++l) {
      plain::RebalanceAsk ask = this->ask();
      if (!share.empty()) ask.budget = share[static_cast<size_t>(l)];
      const std::vector<int> slots = on(l, ask).solve(has_load(l));
      all.insert(all.end(), slots.begin(), slots.end());
    }
    return all;
  }
  // The same for BEST, whose windows are balanced apart.
  std::vector<int> solve_windows() const {
    std::vector<int> all;
    for (int64_t l = 0; l < c_.layers; ++l) {
      plain::OldLayer layer = layers_[static_cast<size_t>(l)];
      const std::vector<int> fresh = fresh_of(l);
      for (int g = 0; g < layer.gpus(); ++g)
        layer.was[g].assign(fresh.begin() + g * layer.rows, fresh.begin() + (g + 1) * layer.rows);
      layer.most_arrivals = plain::kAny;
      if (nodes() > 1) plain::choose_homes(layer, nodes(), problem_.limits.groups);
      const plain::RebalanceAsk ask{.effort = c_.options.effort - EPLB_EFFORT_FAST,
                                    .seed = c_.options.seed};
      const std::vector<int> slots =
          plain::Rebalance(layer, ask, fresh, nodes()).solve_windows(has_load(l));
      all.insert(all.end(), slots.begin(), slots.end());
    }
    return all;
  }
  // Is a placement within the limits?
  bool is_kept(const std::vector<int>& placement) const {
    const std::vector<int64_t> share = shares();
    int64_t total = 0;
    for (int64_t l = 0; l < c_.layers; ++l) {
      const plain::OldLayer& layer = layers_[static_cast<size_t>(l)];
      const auto first = placement.begin() + l * c_.sizes.slots;
      int64_t moves = 0;
      for (int g = 0; g < layer.gpus(); ++g) {
        const std::set<int> on(first + g * layer.rows, first + (g + 1) * layer.rows);
        const auto arrivals =
            std::count_if(on.begin(), on.end(), [&](int e) { return e >= 0 && !layer.had(g, e); });
        if (arrivals > layer.most_arrivals) return false;
        moves += arrivals;
      }
      const std::set<int> all(first, first + c_.sizes.slots);
      for (const int e : all)
        if (e >= 0 && c_.options.max_replicas > 0 &&
            std::count(first, first + c_.sizes.slots, e) > c_.options.max_replicas)
          return false;
      if (std::ssize(all) - (all.count(-1) ? 1 : 0) < c_.sizes.experts) return false;
      if (!keeps_nodes(first)) return false;
      if (moves > (share.empty() ? ask().budget : share[static_cast<size_t>(l)])) return false;
      total += moves;
    }
    return c_.options.max_moves_total < 0 || total <= c_.options.max_moves_total;
  }

 private:
  // Whole groups on nodes, as many on each. first: of the layer's slots.
  bool keeps_nodes(std::vector<int>::const_iterator first) const {
    const int64_t slots_of_node = c_.sizes.slots / nodes(),
                  each = c_.sizes.experts / problem_.partition.groups;
    std::set<std::pair<int64_t, int64_t>> homes;  // of groups on nodes
    for (int64_t slot = 0; slot < c_.sizes.slots; ++slot)
      if (first[slot] >= 0) homes.insert({slot / slots_of_node, first[slot] / each});
    std::vector<int64_t> groups_on(nodes());
    for (const auto& [node, group] : homes) ++groups_on[node];
    return std::all_of(groups_on.begin(), groups_on.end(), [&](int64_t groups) {
      return groups == problem_.partition.groups / nodes();
    });
  }
  plain::RebalanceAsk ask() const {
    const MoveLimits& moves = problem_.moves;
    return {c_.options.max_moves < 0 ? plain::kAny : c_.options.max_moves,
            moves.target,
            moves.price,
            moves.most_total >= 0,
            moves.allow_empty,
            c_.options.effort - EPLB_EFFORT_FAST,
            c_.options.seed};
  }
  bool has_load(int64_t l) const {
    const std::vector<double> sums = plain::sums_of(weights_of(l), {});
    return std::any_of(sums.begin(), sums.end(), [](double w) { return w > 0; });
  }
  std::vector<std::vector<double>> weights_of(int64_t l) const {
    std::vector<std::vector<double>> windows;
    for (int64_t t = 0; t < c_.windows; ++t) {
      const auto first = c_.weights.begin() + (t * c_.layers + l) * c_.sizes.experts;
      windows.emplace_back(first, first + c_.sizes.experts);
    }
    return windows;
  }
  std::vector<int> fresh_of(int64_t l) const {
    const auto first = fresh_.begin() + l * c_.sizes.slots;
    return {first, first + c_.sizes.slots};
  }
  int nodes() const { return problem_.partition.nodes; }
  plain::OldLayer layer(int64_t l) const {
    const Cluster& cluster = problem_.cluster;
    const int gpus = cluster.gpus;
    plain::OldLayer layer;
    layer.q = windows_[static_cast<size_t>(l)];
    if (layer.q.size() < 2) layer.q = {plain::quantised(plain::sums_of(weights_of(l), {}))};
    layer.rows = cluster.slots / gpus;
    for (int g = 0; g < gpus; ++g) {
      layer.open.push_back(cluster.gpu_slots ? cluster.gpu_slots[g] : layer.rows);
      layer.pace.push_back(cluster.gpu_pace ? cluster.gpu_pace[g] : kFastest);
      layer.node.push_back(g * cluster.nodes / gpus);
      const auto slot = c_.current.begin() + l * cluster.slots + g * layer.rows;
      layer.was.emplace_back(slot, slot + layer.rows);
    }
    layer.home.assign(layer.experts(), -1);
    if (nodes() > 1) plain::choose_homes(layer, nodes(), problem_.limits.groups);
    const auto open_gpus =
        std::count_if(layer.open.begin(), layer.open.end(), [](int open) { return open > 0; });
    layer.most_copies = std::min<int64_t>(
        open_gpus, c_.options.max_replicas > 0 ? c_.options.max_replicas : plain::kAny);
    if (c_.options.max_arrivals > 0) layer.most_arrivals = c_.options.max_arrivals;
    return layer;
  }
  plain::Rebalance on(int64_t l, const plain::RebalanceAsk& ask) const {
    return {layers_[static_cast<size_t>(l)], ask, fresh_of(l), nodes()};
  }
  std::vector<int64_t> shares() const {
    if (c_.options.max_moves_total < 0) return {};
    const int64_t most = std::min({c_.sizes.slots, ask().budget, c_.options.max_moves_total});
    std::vector<plain::Path> paths;
    for (int64_t l = 0; l < c_.layers; ++l)
      paths.push_back(on(l, ask()).path(static_cast<int>(most), has_load(l)));
    return plain::shares_of(paths, c_.options.max_moves_total);
  }

  const MoveCase& c_;
  ClusterArrays cluster_;
  Problem problem_;
  std::vector<std::vector<plain::Weights>> windows_;  // by layer
  std::vector<int> fresh_;
  std::vector<plain::OldLayer> layers_;
};

// The library's answer is that of the definition; where it refuses, limits are exceeded there.
bool is_answered(const MoveCase& c, const PlainCase& plain, MoveLibrary& library) {
  const std::vector<int> want = plain.solve(), got = library.solve(c, EPLB_STRATEGY_REBALANCE);
  if (got.empty()) {
    EXPECT_FALSE(plain.is_kept(want)) << library.error.text;
    return false;
  }
  EXPECT_EQ(want, got);
  EXPECT_TRUE(plain.is_kept(got));
  return true;
}

TEST(Rebalance, AnswersAreThoseOfTheDefinition) {
  MoveLibrary library;
  uint32_t answered = 0;
  for (uint32_t seed = 1; seed <= trials(1000); ++seed) {
    const MoveCase c = AnyMoveCase(seed).make(library);
    SCOPED_TRACE(std::to_string(seed) + ": " + text_of(c));
    const PlainCase plain(c, library);
    answered += is_answered(c, plain, library);
  }
  EXPECT_GT(answered, trials(700));
}

TEST(Rebalance, WindowsAreThoseOfTheDefinition) {
  MoveLibrary library;
  uint32_t answered = 0;
  for (uint32_t seed = 1; seed <= trials(100); ++seed) {
    const MoveCase c = AnyMoveCase(seed, 6).make(library);
    SCOPED_TRACE(std::to_string(seed) + ": " + text_of(c));
    const PlainCase plain(c, library);
    EXPECT_EQ(plain.solve_windows(), library.solve(c, EPLB_STRATEGY_BEST));
    EXPECT_EQ(library.report().duplicates, library.report().duplicates_unavoidable);
    answered += is_answered(c, plain, library);
  }
  EXPECT_GT(answered, trials(60));
}

}  // namespace
}  // namespace eplb::tests
