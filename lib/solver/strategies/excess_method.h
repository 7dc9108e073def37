// What the methods that search by excess have in common: see solve_layer.h. They have no parts to
// be solved apart: under a hierarchical policy experts have homes instead.
#pragma once

#include "solver/strategies/excess_modes.h"
#include "solver/strategies/fresh_placement.h"

EPLB_STAGE_BEGIN

EPLB_FN Problem as_one_part(Problem problem) {
  problem.partition = {1, 1};
  return problem;
}
// Which groups stay on which of how many nodes, as the policy says.
EPLB_FN Partition homes_of(const Problem& problem) {
  if (problem.limits.policy != EPLB_POLICY_HIERARCHICAL) return {1, 1};
  return {problem.cluster.nodes, problem.limits.groups};
}

// The search of one layer.
struct LayerSearch : ExcessSearch {
  BestArrangement best{};
  View<int> path{};  // by number of moves

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    ExcessSearch::lay_out(arena, problem);
    best.expert = arena.take<int>(state.places);
    path = arena.take<int>(problem.cluster.slots + 1);
  }
};

// The weights of windows, added up.
struct WindowSums {
  View<int> weight;  // window by window
  int windows, experts;

  EPLB_FN Decoded operator()(int e) const {
    uint64_t sum = 0;
    for (int t = 0; t < windows; ++t) sum += static_cast<uint64_t>(weight[t * experts + e]);
    return {sum, 0};
  }
};

struct ExcessMethod : NodesOfBest {
  Partition partition;  // of groups on nodes: whose experts have homes
  // A search is laid out there when a layer begins, and is no member: functions that the device
  // does not inline take its address, and all of the method would be in local memory with it.
  View<char> search_memory{}, fresh_memory{};
  View<int> window_weight{};  // window by window, by expert
  int windows = 1;            // of the layer: those with weight
  bool has_load = true;
  int64_t layer = 0;

  EPLB_FN explicit ExcessMethod(const Problem& of)
      : NodesOfBest(as_one_part(of)), partition(homes_of(of)) {}
  EPLB_FN void lay_out(Arena& arena) {
    NodesOfBest::lay_out(arena);
    window_weight = arena.take<int>(problem.windows_apart * problem.experts);
    search_memory = arena.reserve([&](Arena& room) { LayerSearch().lay_out(room, problem); });
    fresh_memory = arena.reserve([&](Arena& room) {
      with_fresh_placement(parts(), [&](auto fresh) { fresh.lay_out(room); });
    });
  }
  EPLB_FN void at_layer(int64_t number) { layer = number; }
  EPLB_FN int most_keys() const {
    return larger(NodesOfBest::most_keys(), LayerMethod(parts()).most_keys());
  }
  EPLB_FN void read(Team auto& team, const auto& source) {
    const int experts = problem.experts;
    NodesOfBest::read(team, source);
    has_load = has_weight(team, source, experts);
    windows = problem.windows_apart;
    if (windows > 1) windows = quantise_windows(team, source, windows, experts, window_weight);
    // A fresh placement begins with the sum of windows that are equally important.
    if (windows > 1)
      return quantise(team, WindowSums{window_weight, windows, experts}, experts, weight);
    windows = 1;
    team.for_each(experts, [&](int e) { window_weight[e] = weight[e]; });
  }
  EPLB_FN int group_chains() const { return 0; }
  EPLB_FN int node_chains() const { return 1; }

 protected:
  // What is solved fresh: the sum of windows, part by part.
  EPLB_FN Problem parts() const {
    Problem same = problem;
    same.windows_apart = 1;
    same.partition = partition;
    return same;
  }
  // current[slot], -1 for none; null: there is none anywhere.
  EPLB_FN LayerSearch begin(Team auto& team, const int* current) const {
    LayerSearch search;
    Arena arena(search_memory.data);
    search.cluster = problem.cluster;
    search.lay_out(arena, problem);
    search.state.windows = windows;
    const Arrangement& state = search.state;
    search.begin(team, problem.limits.most_replicas, {problem.options.seed, kRebalance, 0, 0});
    team.for_each(windows * problem.experts, [&](int i) {
      state.weight[i / problem.experts * state.kinds() + i % problem.experts] = window_weight[i];
    });
    remember_current(team, state, current);
    return search;
  }
  EPLB_FN void place_best(Team auto& team, const LayerSearch& search) const {
    const Problem fresh = parts();
    place_fresh_over(team, fresh, fresh_memory, weight, search.state);
  }
  // Experts that stay on a GPU stay in their slots; those that come take the free ones in ascending
  // order.
  EPLB_FN void write(Team auto& team, const Arrangement& state, View<int> answer) const {
    team.for_each(state.gpus, [&](int g) { write_gpu(state, g, answer.from(g * state.rows)); });
  }
  // What has found its slot leaves its place to the void.
  EPLB_FN void write_gpu(const Arrangement& state, int g, View<int> slots) const {
    const int open = open_slots(problem.cluster, g);
    const View<int> was = state.was_on(g);
    for (int row = 0; row < state.rows; ++row) slots[row] = -1;
    for (int slot = 0; slot < open; ++slot)
      if (was[slot] >= 0) take(state, slots, slot, place_of(state, g, was[slot]));
    for (int slot = 0; slot < open; ++slot)
      if (slots[slot] < 0) take(state, slots, slot, least_place(state, g));
  }
  EPLB_FN static void take(const Arrangement& state, View<int> slots, int slot, int place) {
    if (place < 0) return;
    slots[slot] = state.expert[place];
    state.expert[place] = state.void_expert();
  }
  // -1 if there is none.
  EPLB_FN static int place_of(const Arrangement& state, int g, int e) {
    for (int place = g; place < state.places; place += state.stride)
      if (state.expert[place] == e) return place;
    return -1;
  }
  // That of the lowest expert.
  EPLB_FN static int least_place(const Arrangement& state, int g) {
    int least = -1;
    for (int place = g; place < state.places; place += state.stride) {
      const int e = state.expert[place];
      if (state.is_expert(e) && (least < 0 || e < state.expert[least])) least = place;
    }
    return least;
  }
};

EPLB_STAGE_END
