// EPLB_STRATEGY_REBALANCE as the steps of a layer: see solve_layer.h. It has no parts to be solved
// apart: under a hierarchical policy experts have homes instead.
#pragma once

#include "solver/search/relabel.h"
#include "solver/strategies/best.h"
#include "solver/strategies/excess_modes.h"
#include "solver/strategies/unequal_best.h"

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
EPLB_FN Problem as_parts(Problem problem) {
  problem.partition = homes_of(problem);
  return problem;
}

// A fresh placement by BEST. Equal GPUs are numbered as the current placement needs fewest moves.
struct FreshPlacement {
  BestMethod equal;
  UnequalBestMethod unequal;
  LayerAnswer answer{};
  Maps maps{};
  RelabelWorkspace labels{};

  EPLB_FN explicit FreshPlacement(const Problem& problem) : equal(problem), unequal(problem) {}
  EPLB_FN bool is_equal() const { return !is_unequal(equal.problem.cluster); }
  EPLB_FN void lay_out(Arena& arena) {
    const Problem& problem = equal.problem;
    answer.lay_out(arena, problem);
    arena.take(problem.cluster.slots, maps.physical_to_logical, maps.replica_slots, maps.rank);
    maps.replica_count = arena.take<int>(problem.experts);
    labels.lay_out(arena, problem.cluster.gpus, problem.partition.nodes);
    is_equal() ? equal.lay_out(arena) : unequal.lay_out(arena);
  }
  // Replaces what a state holds.
  EPLB_FN void place(Team auto& team, const Arrangement& state) {
    is_equal() ? solve(team, equal, state.weight) : solve(team, unequal, state.weight);
    team.single([&] {
      number_gpus(state);
      for (int slot = 0; slot < state.rows * state.gpus; ++slot) {
        const int gpu = labels.gpu_label[slot / state.rows], row = slot % state.rows;
        const int e = maps.physical_to_logical[slot];
        state.expert[row * state.stride + gpu] = e >= 0 ? e : state.wall();
      }
      derive_all(state);
    });
  }

 private:
  EPLB_FN void solve(Team auto& team, auto& method, View<int> weight) {
    team.for_each(method.problem.experts, [&](int e) { method.weight[e] = weight[e]; });
    solve_weights(team, method, answer, maps);
  }
  EPLB_FN void number_gpus(const Arrangement& state) const {
    if (is_equal())
      return relabel({state, maps.physical_to_logical, equal.problem.partition.nodes}, labels);
    for (int gpu = 0; gpu < state.gpus; ++gpu) labels.gpu_label[gpu] = gpu;
  }
};

struct RebalanceMethod : NodesOfBest {
  static constexpr int kLeastBlocks = 4;

  Partition partition;  // of groups on nodes: whose experts have homes
  ExcessSearch search{};
  BestArrangement best{};
  FreshPlacement fresh;
  View<int> path{};  // by number of moves
  bool has_load = true;
  int64_t layer = 0;

  EPLB_FN explicit RebalanceMethod(const Problem& of)
      : NodesOfBest(as_one_part(of)), partition(homes_of(of)), fresh(as_parts(of)) {}
  EPLB_FN void lay_out(Arena& arena) {
    NodesOfBest::lay_out(arena);
    search.cluster = problem.cluster;
    search.lay_out(arena, problem);
    best.expert = arena.take<int>(search.state.places);
    path = arena.take<int>(problem.cluster.slots + 1);
    fresh.lay_out(arena);
  }
  EPLB_FN void at_layer(int64_t number) { layer = number; }
  EPLB_FN int most_keys() const {
    return larger(NodesOfBest::most_keys(), fresh.equal.most_keys());
  }
  EPLB_FN void read(Team auto& team, const auto& source) {
    NodesOfBest::read(team, source);
    has_load =
        team.max_of(problem.experts, [&](int e) { return source(e).mantissa == 0 ? 0 : 1; }) > 0;
  }
  EPLB_FN int group_chains() const { return 0; }
  EPLB_FN int node_chains() const { return 1; }

  // answer[slot]: its expert, or -1.
  EPLB_FN int solve_node(Team auto& team, int, Chains, View<int> answer) {
    begin(team);
    const Aims aims = aims_of(team);
    if (start(team, aims) && has_load) {
      if (problem.moves.price > 0) search.budget = paying_moves(team, aims);
      search_for(team, aims);
    }
    write(team, answer);
    return 0;
  }
  // to[m]: the least time with at most m moves, m <= most; kNever if forced ones alone are more.
  // Returns the mean time.
  EPLB_FN int find_path(Team auto& team, int most, View<int> to) {
    begin(team);
    const Aims aims = aims_of(team);
    team.for_each(most + 1, [&](int m) { to[m] = kNever; });
    if (!start(team, aims) || search.state.moves() > most) return aims.mean;
    if (!has_load) most = search.state.moves();  // none gains anything
    follow_path(team, search, aims.least(), most, to);
    // Less than its start needs would not do: the search need not go where the path went.
    team.for_each(search.state.moves(), [&](int m) { to[m] = kNever; });
    return aims.mean;
  }

 private:
  // Times.
  struct Aims {
    int mean, target;  // target: kNever if there is none
    EPLB_FN bool has_target() const { return target != kNever; }
    // Below this, nothing is gained.
    EPLB_FN int least() const { return has_target() ? target : mean; }
  };
  // What rounding takes from replicas could add up to a load above the target, so it is a little
  // less.
  EPLB_FN Aims aims_of(Team auto& team) const {
    constexpr int kMostFactor = 32;
    const Arrangement& state = search.state;
    const int64_t mean = mean_time(team, problem.cluster, state);
    const int least = rounded_up(mean), factor = problem.moves.target;
    if (factor == 0) return {least, kNever};
    if (factor >= kMostFactor * kImbalanceUnits) return {least, kQuantaLimit - 1};
    const int64_t exact = (mean * factor) >> (20 + kTimeBits);
    const int target = static_cast<int>(exact < kQuantaLimit ? exact : kQuantaLimit - 1);
    return {least, larger(least, target - smaller(2 * state.rows, target / 1024))};
  }
  EPLB_FN int most_moves() const {
    return problem.moves.layer_most ? problem.moves.layer_most[layer] : problem.moves.most;
  }
  EPLB_FN bool is_limited() const { return search.budget < problem.cluster.slots; }
  EPLB_FN void begin(Team auto& team) {
    const Arrangement& state = search.state;
    search.begin(team, problem.limits.most_replicas, {problem.options.seed, kRebalance, 0, 0});
    const MoveLimits& limits = problem.moves;
    search.state.most_arrivals = limits.most_arrivals;
    search.budget = most_moves();
    search.counts_moves =
        is_limited() || limits.target > 0 || limits.price > 0 || limits.most_total >= 0;
    team.for_each(problem.experts, [&](int e) { state.weight[e] = weight[e]; });
    remember_current(team, state, problem.current.expert + layer * problem.cluster.slots);
    if (partition.nodes > 1) team.single([&] { Homes(search, partition).assign(); });
  }
  // From the current placement; experts that are nowhere get their places. False if that exceeds
  // the limit on arrivals.
  EPLB_ONCE bool start(Team auto& team, const Aims& aims) {
    Arrangement& state = search.state;
    aim(team, state, problem.cluster, aims.least());
    place_current(team, search);
    state.most_empty = problem.moves.allow_empty ? kNever : state.totals[0].empty;
    keep(search);
    return create_lost(team, search);
  }
  // The number of moves after which no further ones pay; with a target, none are made below it.
  EPLB_FN int paying_moves(Team auto& team, const Aims& aims) {
    const int most = smaller(search.budget, problem.cluster.slots);
    follow_path(team, search, aims.least(), most, path);
    const int64_t price = int64_t{aims.mean} * problem.moves.price;  // of a move
    auto cost = [&](int m) { return int64_t{path[m]} * kImbalanceUnits + m * price; };
    int cheapest = search.state.moves();
    for (int m = cheapest + 1; m <= most; ++m)
      if (path[m - 1] > aims.least() && cost(m) < cost(cheapest)) cheapest = m;
    return cheapest;
  }
  EPLB_FN void search_for(Team auto& team, const Aims& aims) {
    const ExcessEffort effort = excess_effort(problem.options.effort);
    if (aims.has_target()) {
      if (reach_target(team, search, effort)) return;
      if (!is_limited()) return try_fresh(team, aims);
      start(team, aims);
    }
    reach_balance(team, search, effort, aims.least(), best);
    if (best.time > aims.least() + aims.least() / 4096) try_fresh(team, aims);
  }
  // Takes a fresh placement if it is better than what there is, and within the limits.
  EPLB_ONCE void try_fresh(Team auto& team, const Aims& aims) {
    const Arrangement& state = search.state;
    store(team, state, best, largest_time(team, state, problem.cluster));
    fresh.place(team, state);
    const int time = largest_time(team, state, problem.cluster);
    if (larger(time, aims.least()) >= larger(best.time, aims.least()) || !is_within(team, search))
      restore(team, state, best);
  }
  // Experts that stay on a GPU stay in their slots; those that come take the free ones in ascending
  // order.
  EPLB_FN void write(Team auto& team, View<int> answer) const {
    team.for_each(search.state.gpus,
                  [&](int g) { write_gpu(g, answer.from(g * search.state.rows)); });
  }
  // What has found its slot leaves its place to the void.
  EPLB_FN void write_gpu(int g, View<int> slots) const {
    const Arrangement& state = search.state;
    const int open = open_slots(problem.cluster, g);
    const View<int> was = state.was_on(g);
    for (int row = 0; row < state.rows; ++row) slots[row] = -1;
    for (int slot = 0; slot < open; ++slot)
      if (was[slot] >= 0) take(slots, slot, place_of(g, was[slot]));
    for (int slot = 0; slot < open; ++slot)
      if (slots[slot] < 0) take(slots, slot, least_place(g));
  }
  EPLB_FN void take(View<int> slots, int slot, int place) const {
    if (place < 0) return;
    slots[slot] = search.state.expert[place];
    search.state.expert[place] = search.state.void_expert();
  }
  // -1 if there is none.
  EPLB_FN int place_of(int g, int e) const {
    const Arrangement& state = search.state;
    for (int place = g; place < state.places; place += state.stride)
      if (state.expert[place] == e) return place;
    return -1;
  }
  // That of the lowest expert.
  EPLB_FN int least_place(int g) const {
    const Arrangement& state = search.state;
    int least = -1;
    for (int place = g; place < state.places; place += state.stride) {
      const int e = state.expert[place];
      if (state.is_expert(e) && (least < 0 || e < state.expert[least])) least = place;
    }
    return least;
  }
};

EPLB_STAGE_END
