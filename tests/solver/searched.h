// What the library makes of any state of a search by excess.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "solver/search/current_start.h"
#include "tests/solver/any_state.h"
#include "tests/solver/shuffled.h"

namespace eplb::tests {

// The same state in the library.
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
    const solver::StepRules rules{narrow(any_.ask.budget), any_.ask.moves_cost, any_.ask.round,
                                  narrow(any_.ask.lambda)};
    const solver::Change change = best_change(search, team_, rules, head);
    if (change.kind != solver::Change::kNone) solver::apply(team_, search, change);
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
      for (int t = 0; t < state.windows; ++t)
        state.weight[t * state.kinds() + e] = static_cast<int>(layer.q[t][e]);
      state.home[e] = layer.home[e];
    }
    if (layer.prices) begin_prices();
    solver::clear_places(team_, state);
    for (int g = 0; g < layer.gpus(); ++g)
      for (int row = 0; row < layer.open[g]; ++row)
        state.expert[layer.place(g, row)] = any_.now.at[g][row];
    solver::aim(team_, state, search.cluster, any_.aim);
    solver::derive_all(state);
  }
  void begin_prices() {
    const plain::OldLayer& layer = any_.layer;
    solver::Arrangement& state = search.state;
    state.largest_share = narrow(layer.prices->most_size);
    for (int e = 0; e < state.kinds(); ++e)
      state.prices.weight[e] = e < layer.experts() ? static_cast<int>(layer.prices->weight[e]) : 0;
    for (int node = 0; node < search.cluster.nodes; ++node)
      for (int e = 0; e < state.kinds(); ++e)
        state.prices.price[node * state.kinds() + e] =
            e < layer.experts() ? layer.prices->of[node][e] : 0;
    for (int g = 0; g < state.stride; ++g)
      state.prices.first[g] = g < layer.gpus() ? layer.node[g] * state.kinds() : 0;
  }
  plain::Step step_of(const solver::Change& change, int head) const {
    const int stride = any_.layer.stride(), g = change.place % stride, row = change.place / stride;
    if (change.kind == solver::Change::kNone) return {};
    if (change.kind == solver::Change::kSwap)
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

inline std::string text_of(const plain::Step& step) {
  std::string text;
  for (const int number : {static_cast<int>(step.kind), step.gpu, step.row, step.other_gpu,
                           step.other_row, step.expert})
    text += std::to_string(number) + " ";
  return text;
}
// A re-target elsewhere does not say which row of the head the expert is in.
inline plain::Step without_row(plain::Step step) {
  if (step.kind == plain::Step::kElsewhere) step.row = -1;
  return step;
}
// The choice at a head, which is made in both.
inline void expect_same_step(AnyState& any, Searched& searched, int head, std::vector<int>& kinds) {
  const plain::Step want = plain::StepChoice(any.layer, any.now, any.ask, head).best();
  const plain::Step got = searched.best(head);
  ++kinds[want.kind];
  ASSERT_EQ(text_of(without_row(want)), text_of(got));
  if (want.kind == plain::Step::kNone) return;
  any.now.make(want);
  ASSERT_EQ(any.now.at, searched.arranged());
  ASSERT_EQ(any.now.moves(), searched.search.state.moves());
  ASSERT_EQ(any.now.cost(), searched.search.state.totals[0].cost);
  const auto load = any.now.loads();
  const solver::Arrangement& state = searched.search.state;
  for (size_t t = 0; t < load.size(); ++t)
    for (int g = 0; g < any.layer.gpus(); ++g)
      ASSERT_EQ(load[t][g], state.load[static_cast<int>(t) * state.stride + g]);
}

}  // namespace eplb::tests
