// EPLB_STRATEGY_REBALANCE against its plain definition: every step that a search could be asked
// for, and whole answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "solver/search/current_start.h"
#include "tests/solver/plain_rebalance.h"
#include "tests/solver/rebalance_cases.h"
#include "tests/solver/shuffled_team.h"

namespace eplb::tests {
namespace {

using solver::Change;

int draw_below(std::mt19937& random, int n) { return static_cast<int>(random() % n); }

// ------------------------------------------------------------------------------------ single steps

// Any arrangement that can be: some experts stay, some have moved, some have many copies.
struct AnyState {
  plain::OldLayer layer;
  Cluster cluster;
  std::vector<int> gpu_slots, gpu_pace, gpu_node;
  plain::Arranged now{layer};
  plain::StepAsk ask{};
  int aim = 0;

  explicit AnyState(uint32_t seed) : random_(seed) {
    choose_cluster();
    choose_experts();
    fill();
    remember();
    choose_limits();
  }
  AnyState(const AnyState&) = delete;
  AnyState& operator=(const AnyState&) = delete;

  Problem problem() const {
    Problem problem;
    problem.experts = layer.experts();
    problem.cluster = cluster;
    return problem;
  }

 private:
  int below(int n) { return draw_below(random_, n); }
  bool chance(int percent) { return below(100) < percent; }

  void choose_cluster() {
    const int gpus = 2 + below(chance(10) ? 40 : 10);
    layer.rows = 1 + below(6);
    const bool closed = chance(30), paced = chance(30), nodes = chance(30);
    for (int g = 0; g < gpus; ++g) {
      gpu_slots.push_back(closed && chance(40) ? below(layer.rows + 1) : layer.rows);
      gpu_pace.push_back(paced ? 1 + below(kFastest) : kFastest);
      gpu_node.push_back(nodes ? below(3) : 0);
    }
    gpu_slots[0] = layer.rows;
    layer.open = gpu_slots;
    layer.pace = gpu_pace;
    layer.node = gpu_node;
    const int slots = std::accumulate(gpu_slots.begin(), gpu_slots.end(), 0);
    cluster = {.slots = gpus * layer.rows,
               .gpus = gpus,
               .nodes = 3,
               .gpu_slots = closed ? gpu_slots.data() : nullptr,
               .gpu_node = gpu_node.data(),
               .gpu_pace = paced ? gpu_pace.data() : nullptr,
               .closed = gpus * layer.rows - slots};
  }
  // From ties everywhere to a few that weigh nearly all.
  void choose_experts() {
    const int slots = cluster.slots - cluster.closed;
    const int experts = 1 + (chance(30) ? below(slots) : slots * (50 + below(51)) / 101);
    const int kind = below(4);
    std::lognormal_distribution<double> lognormal(8, 1.2);
    for (int e = 0; e < experts; ++e)
      layer.q.push_back(kind == 0   ? 1 + below(4)
                        : kind == 1 ? 1 + below(1 << 20)
                        : kind == 2 ? static_cast<int64_t>(lognormal(random_)) + 1
                        : e < 2     ? (1 << 27) + below(1 << 26)
                                    : 1 + below(1000));
    layer.home.assign(layer.q.size(), -1);
  }
  // Each expert once, then copies and voids.
  void fill() {
    std::vector<std::pair<int, int>> free;
    now.at.resize(layer.open.size());
    for (int g = 0; g < layer.gpus(); ++g) {
      now.at[g].assign(layer.open[g], layer.none());
      for (int row = 0; row < layer.open[g]; ++row) free.push_back({g, row});
    }
    std::shuffle(free.begin(), free.end(), random_);
    const int favourite = below(layer.experts()), empty = chance(50) ? below(30) : 0;
    const bool together = chance(30);
    for (size_t i = 0; i < free.size(); ++i) {
      const auto [g, row] = free[i];
      const int e = static_cast<int>(i) < layer.experts() ? static_cast<int>(i)
                    : chance(20)                          ? favourite
                                                          : below(layer.experts());
      if (static_cast<int>(i) < layer.experts() ||
          ((together || !now.holds(g, e)) && !chance(empty)))
        now.at[g][row] = e;
    }
    if (chance(30))
      for (int e = 0; e < layer.experts(); ++e)
        if (const int node = only_node(e); node >= 0 && chance(70)) layer.home[e] = node;
  }
  int only_node(int e) const {
    int node = -1;
    for (int g = 0; g < layer.gpus(); ++g)
      if (now.holds(g, e)) {
        if (node >= 0 && node != layer.node[g]) return -1;
        node = layer.node[g];
      }
    return node;
  }
  // Duplicates of the current placement, and what closed slots held, too.
  void remember() {
    const int stays = below(101);
    layer.was.assign(layer.open.size(), std::vector<int>(layer.rows, -1));
    for (int g = 0; g < layer.gpus(); ++g)
      for (int row = 0; row < layer.rows; ++row) {
        const int here = row < layer.open[g] ? now.at[g][row] : layer.none();
        const bool kept = chance(stays) && here != layer.none();
        layer.was[g][row] = kept ? here : chance(80) ? below(layer.experts()) : -1;
      }
  }
  void choose_limits() {
    const std::vector<int64_t> load = now.loads();
    const int64_t most = now.time(), sum = std::accumulate(load.begin(), load.end(), int64_t{0});
    const int64_t mean = sum / layer.gpus();
    aim = static_cast<int>(chance(15) ? below(static_cast<int>(mean) + 1)
                                      : mean + (most - mean) * below(101) / 100);
    layer.most_copies = chance(30) ? 1 + below(4) : layer.gpus();
    if (chance(50)) layer.most_arrivals = below(4);
    now.most_empty = chance(50) ? plain::kAny : below(now.empty() + 2);
    now.aim(aim);
    ask = {chance(50) ? plain::kAny : now.moves() + below(5) - 2, chance(70),
           chance(50) ? 0 : static_cast<uint32_t>(1 + below(2000))};
  }

  std::mt19937 random_;
};

// The library's state of the same.
class Searched {
 public:
  explicit Searched(const AnyState& any) : any_(any), team_(1) {
    const Problem problem = any.problem();
    search.cluster = problem.cluster;
    solver::Arena count(nullptr);
    search.lay_out(count, problem);
    memory_.reset(std::aligned_alloc(64, static_cast<size_t>(count.used() + 63) / 64 * 64));
    std::fill_n(static_cast<char*>(memory_.get()), count.used(), 0x7f);
    solver::Arena arena(memory_.get());
    search.lay_out(arena, problem);
    begin();
  }
  solver::ExcessSearch search{};

  // The best change at a head, in the words of the plain definition.
  plain::Step best(int head) {
    const solver::StepRules rules{narrow(any_.ask.budget), any_.ask.moves_cost, any_.ask.round};
    const bool capped = search.state.most_arrivals < search.state.rows;
    const Change change =
        capped
            ? solver::ExcessStep<true>(search.state, search.cluster, search.workspace, rules, head)
                  .best(team_)
            : solver::ExcessStep<false>(search.state, search.cluster, search.workspace, rules, head)
                  .best(team_);
    if (change.kind != Change::kNone) solver::apply(team_, search, change);
    return step_of(change, head);
  }
  plain::Rows arranged() const {
    plain::Rows at(any_.layer.open.size());
    for (int g = 0; g < any_.layer.gpus(); ++g)
      for (int row = 0; row < any_.layer.open[g]; ++row)
        at[g].push_back(search.state.expert[any_.layer.place(g, row)]);
    return at;
  }
  void undo() { solver::undo(team_, search); }

 private:
  static int narrow(int64_t most) {
    return static_cast<int>(std::min<int64_t>(most, solver::kNever));
  }
  void begin() {
    const plain::OldLayer& layer = any_.layer;
    solver::Arrangement& state = search.state;
    search.begin(team_, layer.experts(), {1, solver::kRebalance, 0, 0});
    state.most_copies = narrow(layer.most_copies);
    state.most_arrivals = narrow(layer.most_arrivals);
    state.most_empty = narrow(any_.now.most_empty);
    std::vector<int32_t> was;
    for (const auto& row : layer.was) was.insert(was.end(), row.begin(), row.end());
    solver::remember_current(team_, state, was.data());
    for (int e = 0; e < layer.experts(); ++e) {
      state.weight[e] = static_cast<int>(layer.q[e]);
      state.home[e] = layer.home[e];
    }
    solver::clear_places(team_, state);
    for (int g = 0; g < layer.gpus(); ++g)
      for (int row = 0; row < layer.open[g]; ++row)
        state.expert[layer.place(g, row)] = any_.now.at[g][row];
    solver::aim(team_, state, search.cluster, any_.aim);
    solver::derive_all(state);
  }
  plain::Step step_of(const Change& change, int head) const {
    const int stride = any_.layer.stride(), g = change.place % stride, row = change.place / stride;
    if (change.kind == Change::kNone) return {};
    if (change.kind == Change::kSwap)
      return {plain::Step::kSwap, g, row, change.other % stride, change.other / stride, 0};
    if (g == head) return {plain::Step::kHere, g, row, g, row, change.other};
    return {plain::Step::kElsewhere, head, -1, g, row, change.other};
  }

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  const AnyState& any_;
  ShuffledTeam team_;
  std::unique_ptr<void, Free> memory_;
};

std::string text_of(const plain::Step& step) {
  std::string text;
  for (const int number : {static_cast<int>(step.kind), step.gpu, step.row, step.other_gpu,
                           step.other_row, step.expert})
    text += std::to_string(number) + " ";
  return text;
}
// A re-target elsewhere does not say which row of the head the expert is in.
plain::Step without_row(plain::Step step) {
  if (step.kind == plain::Step::kElsewhere) step.row = -1;
  return step;
}

// At the head, then at other GPUs above their limit, for as long as there are changes.
void expect_same_steps(AnyState& any, int steps, std::vector<int>& kinds) {
  Searched searched(any);
  const plain::Rows first = any.now.at;
  for (int i = 0; i < steps; ++i) {
    const std::vector<int> heads = any.now.heads();
    if (heads.empty()) break;
    const int head = heads[static_cast<size_t>(i) / 4 % heads.size()];
    const plain::Step want = plain::StepChoice(any.layer, any.now, any.ask, head).best();
    const plain::Step got = searched.best(head);
    ++kinds[want.kind];
    ASSERT_EQ(text_of(without_row(want)), text_of(got)) << "step " << i << ", head " << head;
    if (want.kind == plain::Step::kNone) continue;
    any.now.make(want);
    ASSERT_EQ(any.now.at, searched.arranged());
    ASSERT_EQ(any.now.moves(), searched.search.state.moves());
    const std::vector<int64_t> load = any.now.loads();
    for (int g = 0; g < any.layer.gpus(); ++g) ASSERT_EQ(load[g], searched.search.state.load[g]);
  }
  searched.undo();
  ASSERT_EQ(first, searched.arranged());
}

TEST(Rebalance, EveryStepIsTheBestByTheDefinition) {
  std::vector<int> kinds(4);
  for (uint32_t seed = 1; seed <= 4000; ++seed) {
    SCOPED_TRACE(seed);
    AnyState any(seed);
    expect_same_steps(any, 12, kinds);
    if (HasFatalFailure()) return;
  }
  for (const int count : kinds) EXPECT_GT(count, 1000);
}

// ----------------------------------------------------------------------------------- whole answers

// What the plain definition makes of a case.
class PlainCase {
 public:
  PlainCase(const MoveCase& c, MoveLibrary& library)
      : c_(c), cluster_(c.cluster()), problem_(problem_of(c.sizes, c.options, 1, {}, cluster_)) {
    if (!problem_.cluster.gpu_slots && !problem_.cluster.gpu_pace) {
      MoveCase fresh = c;
      if (c.current.empty())
        fresh.current.assign(static_cast<size_t>(c.layers * c.sizes.slots), -1);
      fresh_ = library.solve(fresh, EPLB_STRATEGY_BEST);
    }
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
      if (moves > (share.empty() ? ask().budget : share[static_cast<size_t>(l)])) return false;
      total += moves;
    }
    return c_.options.max_moves_total < 0 || total <= c_.options.max_moves_total;
  }

 private:
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
    const auto first = c_.weights.begin() + l * c_.sizes.experts;
    return std::any_of(first, first + c_.sizes.experts, [](double w) { return w > 0; });
  }
  int nodes() const { return problem_.partition.nodes; }
  plain::OldLayer layer(int64_t l) const {
    const auto first = c_.weights.begin() + l * c_.sizes.experts;
    const Cluster& cluster = problem_.cluster;
    const int gpus = cluster.gpus;
    plain::OldLayer layer;
    layer.q = plain::quantised({first, first + c_.sizes.experts});
    layer.rows = cluster.slots / gpus;
    for (int g = 0; g < gpus; ++g) {
      layer.open.push_back(cluster.gpu_slots ? cluster.gpu_slots[g] : layer.rows);
      layer.pace.push_back(cluster.gpu_pace ? cluster.gpu_pace[g] : kFastest);
      layer.node.push_back(g * cluster.nodes / gpus);
      const auto slot = c_.current.begin() + l * cluster.slots + g * layer.rows;
      layer.was.emplace_back(slot, slot + layer.rows);
    }
    layer.home.assign(layer.q.size(), -1);
    if (nodes() > 1) plain::choose_homes(layer, nodes(), problem_.limits.groups);
    const auto open_gpus =
        std::count_if(layer.open.begin(), layer.open.end(), [](int open) { return open > 0; });
    layer.most_copies = std::min<int64_t>(
        open_gpus, c_.options.max_replicas > 0 ? c_.options.max_replicas : plain::kAny);
    if (c_.options.max_arrivals > 0) layer.most_arrivals = c_.options.max_arrivals;
    return layer;
  }
  plain::Rebalance on(int64_t l, const plain::RebalanceAsk& ask) const {
    std::vector<int> fresh;
    if (!fresh_.empty())
      fresh.assign(fresh_.begin() + l * c_.sizes.slots, fresh_.begin() + (l + 1) * c_.sizes.slots);
    return {layers_[static_cast<size_t>(l)], ask, fresh, nodes()};
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
  std::vector<int> fresh_;
  std::vector<plain::OldLayer> layers_;
};

TEST(Rebalance, AnswersAreThoseOfTheDefinition) {
  MoveLibrary library;
  int answered = 0;
  for (uint32_t seed = 1; seed <= 1000; ++seed) {
    const MoveCase c = AnyMoveCase(seed).make(library);
    SCOPED_TRACE(std::to_string(seed) + ": " + text_of(c));
    const PlainCase plain(c, library);
    const std::vector<int> want = plain.solve(), got = library.solve(c, EPLB_STRATEGY_REBALANCE);
    if (got.empty()) {
      EXPECT_FALSE(plain.is_kept(want)) << library.error.text;
      continue;
    }
    ++answered;
    EXPECT_EQ(want, got);
  }
  EXPECT_GT(answered, 700);
}

}  // namespace
}  // namespace eplb::tests
