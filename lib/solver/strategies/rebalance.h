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

// A fresh placement by BEST. Equal GPUs are numbered as the current placement needs fewest moves.
template <class Best> struct FreshPlacement {
  Best method;
  LayerAnswer answer{};
  Maps maps{};
  RelabelWorkspace labels{};

  EPLB_FN explicit FreshPlacement(const Problem& parts) : method(parts) {}
  EPLB_FN void lay_out(Arena& arena) {
    const Problem& parts = method.problem;
    method.lay_out(arena);
    answer.lay_out(arena, parts);
    arena.take(parts.cluster.slots, maps.physical_to_logical, maps.replica_slots, maps.rank);
    maps.replica_count = arena.take<int>(parts.experts);
    labels.lay_out(arena, parts.cluster.gpus, parts.partition.nodes);
  }
  // Replaces what a state holds.
  EPLB_FN void place(Team auto& team, const Arrangement& state) {
    team.for_each(state.experts, [&](int e) { method.weight[e] = state.weight[e]; });
    solve_weights(team, method, answer, maps);
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
  EPLB_FN void number_gpus(const Arrangement& state) const {
    const Problem& parts = method.problem;
    if (!is_unequal(parts.cluster))
      return relabel({state, maps.physical_to_logical, parts.partition.nodes}, labels);
    for (int gpu = 0; gpu < state.gpus; ++gpu) labels.gpu_label[gpu] = gpu;
  }
};
EPLB_FN void with_fresh_placement(const Problem& parts, auto use) {
  if (is_unequal(parts.cluster))
    use(FreshPlacement<UnequalBestMethod>(parts));
  else
    use(FreshPlacement<BestMethod>(parts));
}
EPLB_ONCE void place_fresh_over(Team auto& team, const Problem& parts, View<char> memory,
                                const Arrangement& state) {
  with_fresh_placement(parts, [&](auto fresh) EPLB_INLINE {
    Arena arena(memory.data);
    fresh.lay_out(arena);
    fresh.place(team, state);
  });
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

struct RebalanceMethod : NodesOfBest {
  Partition partition;  // of groups on nodes: whose experts have homes
  // Laid out when a layer is searched. What is a member has its address known to functions that the
  // device does not inline, so that all of the method would be in local memory.
  View<char> search_memory{}, fresh_memory{};
  bool has_load = true;
  int64_t layer = 0;

  EPLB_FN explicit RebalanceMethod(const Problem& of)
      : NodesOfBest(as_one_part(of)), partition(homes_of(of)) {}
  EPLB_FN void lay_out(Arena& arena) {
    NodesOfBest::lay_out(arena);
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
    NodesOfBest::read(team, source);
    has_load =
        team.max_of(problem.experts, [&](int e) { return source(e).mantissa == 0 ? 0 : 1; }) > 0;
  }
  EPLB_FN int group_chains() const { return 0; }
  EPLB_FN int node_chains() const { return 1; }

  // answer[slot]: its expert, or -1.
  EPLB_FN int solve_node(Team auto& team, int, Chains, View<int> answer) {
    LayerSearch search = begin(team);
    const Aims aims = aims_of(team, search.state);
    if (start(team, search, aims) && has_load) {
      if (problem.moves.price > 0) search.budget = paying_moves(team, search, aims);
      search_for(team, search, aims);
    }
    write(team, search.state, answer);
    return 0;
  }
  // to[m]: the least time with at most m moves, m <= most; kNever if forced ones alone are more.
  // Returns the mean time.
  EPLB_FN int find_path(Team auto& team, int most, View<int> to) {
    LayerSearch search = begin(team);
    const Aims aims = aims_of(team, search.state);
    team.for_each(most + 1, [&](int m) { to[m] = kNever; });
    if (!start(team, search, aims) || search.state.moves() > most) return aims.mean;
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
  EPLB_FN Aims aims_of(Team auto& team, const Arrangement& state) const {
    constexpr int kMostFactor = 32;
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
  EPLB_FN Problem parts() const {
    Problem same = problem;
    same.partition = partition;
    return same;
  }
  EPLB_FN bool is_limited(const LayerSearch& search) const {
    return search.budget < problem.cluster.slots;
  }
  EPLB_FN LayerSearch begin(Team auto& team) {
    LayerSearch search;
    Arena arena(search_memory.data);
    search.cluster = problem.cluster;
    search.lay_out(arena, problem);
    const Arrangement& state = search.state;
    search.begin(team, problem.limits.most_replicas, {problem.options.seed, kRebalance, 0, 0});
    const MoveLimits& limits = problem.moves;
    search.state.most_arrivals = limits.most_arrivals;
    search.budget = most_moves();
    search.counts_moves =
        is_limited(search) || limits.target > 0 || limits.price > 0 || limits.most_total >= 0;
    team.for_each(problem.experts, [&](int e) { state.weight[e] = weight[e]; });
    remember_current(team, state, problem.current.expert + layer * problem.cluster.slots);
    if (partition.nodes > 1) team.single([&] { Homes(search, partition).assign(); });
    return search;
  }
  EPLB_FN bool start(Team auto& team, LayerSearch& search, const Aims& aims) const {
    return start_from_current(team, search, aims.least(), problem.moves.allow_empty);
  }
  // The number of moves after which no further ones pay; with a target, none are made below it.
  EPLB_FN int paying_moves(Team auto& team, LayerSearch& search, const Aims& aims) const {
    const int most = smaller(search.budget, problem.cluster.slots);
    const View<int> path = search.path;
    follow_path(team, search, aims.least(), most, path);
    const int64_t price = int64_t{aims.mean} * problem.moves.price;  // of a move
    auto cost = [&](int m) { return int64_t{path[m]} * kImbalanceUnits + m * price; };
    int cheapest = search.state.moves();
    for (int m = cheapest + 1; m <= most; ++m)
      if (path[m - 1] > aims.least() && cost(m) < cost(cheapest)) cheapest = m;
    return cheapest;
  }
  EPLB_FN void search_for(Team auto& team, LayerSearch& search, const Aims& aims) const {
    const ExcessEffort effort = excess_effort(problem.options.effort);
    if (aims.has_target() && reach_target(team, search, effort)) return;
    if (!aims.has_target() || is_limited(search)) {
      if (aims.has_target()) start(team, search, aims);
      reach_balance(team, search, effort, aims.least(), search.best);
      if (search.best.time <= aims.least() + aims.least() / 4096) return;
    }
    try_fresh(team, search, aims);
  }
  // Takes a fresh placement if it is better than what there is, and within the limits.
  EPLB_FN void try_fresh(Team auto& team, LayerSearch& search, const Aims& aims) const {
    const Arrangement& state = search.state;
    BestArrangement& best = search.best;
    const Problem fresh = parts();
    store(team, state, best, largest_time(team, state, problem.cluster));
    place_fresh_over(team, fresh, fresh_memory, state);
    const int time = largest_time(team, state, problem.cluster);
    if (larger(time, aims.least()) >= larger(best.time, aims.least()) || !is_within(team, search))
      restore(team, state, best);
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
