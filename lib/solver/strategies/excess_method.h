// What the methods that search by excess have in common: see solve_layer.h. They have no parts to
// be solved apart: under a hierarchical policy experts have homes instead.
#pragma once

#include "solver/search/spread.h"
#include "solver/strategies/fresh_placement.h"
#include "solver/strategies/soft_modes.h"

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

EPLB_FN bool is_for_splits(const Problem& problem) {
  return problem.options.objective == EPLB_OBJECTIVE_SPLIT;
}

// The search of one layer.
struct LayerSearch : ExcessSearch {
  BestArrangement best{};
  View<int> path{};  // by number of moves
  HomesWorkspace homes{};
  SpreadMemory spread{};
  int nodes = 1, groups = 1;  // that homes are about
  int64_t least_cost = 0;     // that has to be paid with the homes that were chosen

  EPLB_FN void lay_out(Arena& arena, const Problem& problem) {
    ExcessSearch::lay_out(arena, problem);
    best.expert = arena.take<int>(state.places);
    path = arena.take<int>(problem.cluster.slots + 1);
    if (is_for_splits(problem)) spread.lay_out(arena, problem);
    if (problem.limits.policy == EPLB_POLICY_GLOBAL) return;
    nodes = smaller(problem.cluster.nodes, problem.cluster.gpus);
    groups = smaller(problem.limits.groups, problem.experts);
    homes.lay_out(arena, problem.cluster.gpus, groups, nodes, state.priced);
  }
  EPLB_FN NodesAndGroups nodes_and_groups() const { return {*this, homes, nodes, groups}; }
  // What homes are chosen by: who has what now, and how many groups a node takes.
  EPLB_FN void begin_homes(Team auto& team) {
    nodes = number_nodes(team, cluster, homes.node, picked);
    limit_groups(team, nodes_and_groups());
    if (state.priced) count_held(team, nodes_and_groups());
  }
};

// Where load has a price, every window sums up to this, all of them together to kPricedLimit: a
// gain times its urgency then fits 31 bits.
inline constexpr int kPricedSum = 1 << 23, kPricedLimit = 1 << 26;
// Price times weight must fit, too: prices are paid for a part of the mean of all windows.
inline constexpr int kPricedPart = kHighestPrice;

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

// Under the hierarchical policy: from now on, no expert leaves the node that it is on.
EPLB_FN void stay_on_nodes(Team auto& team, const ExcessSearch& search) {
  const Arrangement& state = search.state;
  team.for_each(state.experts, [&](int e) {
    state.home[e] = node_of(search.cluster, state.gpu[state.any_place[e]]);
  });
}

// Puts experts into slots where GPUs have many of them: see ExcessMethod::write. Of the state only
// the places of experts remain. By one lane.
class SlotWriter {
 public:
  EPLB_FN SlotWriter(const Arrangement& state, const Cluster& cluster, View<int> answer)
      : state_(state), cluster_(cluster), answer_(answer), left_(state.position) {}

  EPLB_FN void write() const {
    for (int e = 0; e < state_.kinds(); ++e) left_[e] = 0;
    for (int g = 0; g < state_.gpus; ++g) write_gpu(g, answer_.from(g * state_.rows));
  }

 private:
  EPLB_FN void write_gpu(int g, View<int> slots) const {
    const int open = open_slots(cluster_, g);
    const View<int> was = state_.was_on(g);
    for (int place = g; place < state_.places; place += state_.stride)
      ++left_[state_.expert[place]];
    for (int slot = 0; slot < state_.rows; ++slot) {
      slots[slot] = -1;
      if (slot < open && was[slot] >= 0 && left_[was[slot]] > 0) {
        slots[slot] = was[slot];
        --left_[was[slot]];
      }
    }
    for (int slot = 0, e = 0; slot < open; ++slot) {
      if (slots[slot] >= 0) continue;
      while (e < state_.experts && left_[e] == 0) ++e;
      if (e == state_.experts) break;
      slots[slot] = e;
      --left_[e];
    }
    left_[state_.void_expert()] = left_[state_.wall()] = 0;
  }

  const Arrangement& state_;
  const Cluster& cluster_;
  View<int> answer_;
  View<int> left_;  // by expert: replicas of the GPU that have no slot yet
};

struct ExcessMethod : NodesOfBest {
  static constexpr bool kInlined = false;

  Partition partition;  // of groups on nodes: whose experts have homes
  // A search is laid out there when a layer begins, and is no member: functions that the device
  // does not inline take its address, and all of the method would be in local memory with it.
  View<char> search_memory{}, fresh_memory{};
  View<int> window_weight{};  // window by window, by expert
  View<int> window_share{};   // by window: how much it matters, of kWindowShare
  int windows = 1;            // of the layer: those with weight
  bool has_load = true;
  int64_t layer = 0;

  EPLB_FN explicit ExcessMethod(const Problem& of)
      : NodesOfBest(as_one_part(of)), partition(homes_of(of)) {}
  EPLB_FN void lay_out(Arena& arena) {
    NodesOfBest::lay_out(arena);
    window_weight = arena.take<int>(problem.windows_apart * problem.experts);
    window_share = arena.take<int>(problem.windows_apart);
    search_memory = arena.reserve([&](Arena& room) { LayerSearch().lay_out(room, problem); });
    if (has_prices(problem)) return;  // begins at home
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
    if (windows > 1) windows = quantise_windows(team, source, problem, window_weight, window_share);
    if (windows > 1) {
      // A fresh placement begins with the sum of windows, as much as each matters.
      quantise(team, WindowSums{window_weight, windows, experts}, experts, weight);
    } else {
      read_one_window(team);
    }
    for (int t = 0; has_prices(problem) && t < windows; ++t)
      scale_quanta(team, experts, smaller(kPricedSum, kPricedLimit / windows), window_share[t],
                   window_weight.from(t * experts));
  }
  // The only one that has weight and matters, or the sum of all.
  EPLB_FN void read_one_window(Team auto& team) {
    const bool is_sum = windows == 0 || problem.windows_apart == 1;
    const View<int> from = is_sum ? weight : window_weight, to = is_sum ? window_weight : weight;
    team.for_each(problem.experts, [&](int e) { to[e] = from[e]; });
    team.single([&] { window_share[0] = kWindowShare; });
    windows = 1;
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
  // Times.
  struct Aims {
    int mean;
    int64_t target;  // kNever64 if there is none
    EPLB_FN bool has_target() const { return target != kNever64; }
    // Below this, nothing is gained.
    EPLB_FN int64_t least() const { return has_target() ? target : mean; }
    // The same as searches know times.
    EPLB_FN int least_time() const { return as_time(least()); }
  };
  // What rounding takes from replicas could add up to a load above the target, so it is a little
  // less.
  EPLB_FN Aims aims_of(Team auto& team, const Arrangement& state) const {
    constexpr int kFactorBits = 25;  // with more, the lowest are left out: so it fits 63 bits
    const int64_t mean = mean_time(team, problem.cluster, state);
    const int least = rounded_up(mean), factor = problem.moves.target;
    if (factor == 0) return {least, kNever64};
    const int dropped = factor >> kFactorBits ? 30 - kFactorBits : 0;
    const int64_t exact = (mean * (factor >> dropped)) >> (20 + kTimeBits - dropped);
    const int64_t part = exact / 1024, rounded = 2 * state.rows;
    const int64_t target = exact - (part < rounded ? part : rounded);
    return {least, target < least ? least : target};
  }
  EPLB_FN SoftRounds soft_rounds() const {
    const ExcessEffort effort = excess_effort(problem.options.effort);
    return {effort.soft_rounds, effort.soft_missed_rounds};
  }
  // With everything at home; homes and limits are set.
  EPLB_FN void settle_fresh(Team auto& team, LayerSearch& search) const {
    const int most_empty = problem.moves.allow_empty ? kNever : 0;
    search.counts_moves = false;
    start_at_home(team, search, search.nodes_and_groups());
    settle_homes(team, search, soft_rounds(), {search.least_cost, 0, most_empty});
    if (most_empty == 0) fill_what_is_left(team, search, problem.limits.most_replicas);
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
    // What a total of moves is worth to each layer, another search has found.
    const int searches = problem.moves.most_total >= 0 ? 2 : 1;
    search.looks = excess_effort(problem.options.effort).looks / searches;
    begin_windows(team, search);
    team.for_each(windows * problem.experts, [&](int i) {
      state.weight[i / problem.experts * state.kinds() + i % problem.experts] = window_weight[i];
    });
    remember_current(team, state, current);
    if (state.priced) begin_prices(team, search);
    return search;
  }
  EPLB_FN void begin_windows(Team auto& team, LayerSearch& search) const {
    const View<int> from = window_share, to = search.state.window_share;
    const int others = team.find_of(windows, [&](int t) { return from[t] != kWindowShare; });
    team.for_each(windows, [&](int t) { to[t] = from[t]; });
    search.state.same_shares = others == windows;
  }
  // Prices are paid for the mean of all windows, as much as each matters.
  EPLB_FN void set_priced_weights(Team auto& team, const Arrangement& state) const {
    const View<int> share = window_share, paid_for = state.prices.weight;
    const int64_t shares = team.sum_of(windows, [&](int t) { return int64_t{share[t]}; });
    team.for_each(state.kinds(), [&](int e) {
      const int64_t mean = int64_t{total_weight(state, e)} * kWindowShare / shares;
      paid_for[e] = state.is_expert(e) ? larger(1, static_cast<int>(mean) / kPricedPart) : 0;
    });
  }
  EPLB_FN void begin_prices(Team auto& team, LayerSearch& search) const {
    Arrangement& state = search.state;
    const int64_t mean = rounded_up(mean_time(team, search.cluster, state));
    state.largest_share = static_cast<int>(mean * 4 / 5);
    set_priced_weights(team, state);
    search.begin_homes(team);
    const View<int> first = state.prices.first, node = search.homes.node;
    team.for_each(state.stride,
                  [&](int g) { first[g] = g < state.gpus ? node[g] * state.kinds() : 0; });
    weigh_groups(team, search.nodes_and_groups());
    weigh_nodes(team, search.nodes_and_groups(), problem.moves.target);
  }
  // Sets the prices that follow from the homes that choose(of) sets, of which it returns what nodes
  // cannot take.
  EPLB_FN void price_homes(Team auto& team, LayerSearch& search, auto choose) const {
    const NodesAndGroups of = search.nodes_and_groups();
    if (problem.prices.units) {
      search.least_cost = take_prices(team, of, problem.prices);
      return;
    }
    const View<int> least = search.missing;
    team.single([&] { least[0] = choose(of); });
    price_groups(team, of);
    search.least_cost = int64_t{least[0]} * kHighestPrice;
  }
  EPLB_FN void place_best(Team auto& team, const LayerSearch& search) const {
    const Problem fresh = parts();
    place_fresh_over(team, fresh, fresh_memory, weight, search.state);
  }
  // Experts that stay on a GPU stay in their slots; those that come take the free ones in ascending
  // order.
  EPLB_FN void write(Team auto& team, const Arrangement& state, View<int> answer) const {
    constexpr int kFewRows = 256;
    if (state.rows > kFewRows) {
      team.single([&] { SlotWriter(state, problem.cluster, answer).write(); });
      return;
    }
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
