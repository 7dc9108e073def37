// EPLB_STRATEGY_BEST on GPUs that differ in slots or speed: a start, and a search by excess from
// there.
#pragma once

#include "solver/strategies/best.h"
#include "solver/strategies/excess_modes.h"
#include "solver/strategies/unequal_start.h"

EPLB_STAGE_BEGIN

struct UnequalBestMethod : NodesOfBest {
  static constexpr bool kInlined = false;

  UnequalStart start{};
  View<char> search_memory{};
  View<int> best_expert{};  // by place

  using NodesOfBest::NodesOfBest;
  EPLB_FN void lay_out(Arena& arena) {
    NodesOfBest::lay_out(arena);
    start.lay_out(arena, node, problem.partition.nodes);
    ExcessSearch search;
    search_memory = arena.reserve([&](Arena& room) { search.lay_out(room, node); });
    best_expert = arena.take<int>(search.state.places);
  }
  EPLB_FN int node_chains() const { return 1; }
  EPLB_FN int solve_node(Team auto& team, int index, Chains, View<int> answer) {
    ExcessSearch search = begin(team, members_of(index));
    BestArrangement best{best_expert, 0};
    const Arrangement& state = search.state;
    start_unequal(team, start, node, state.weight, answer);
    place_fresh(team, search, answer);
    const int least = rounded_up(mean_time(team, node.cluster, state));
    reach_balance(team, search, excess_effort(node.options.effort), least, best);
    part_copies(team, search);
    read_slots(team, state, answer);
    return 0;
  }

 private:
  EPLB_FN ExcessSearch begin(Team auto& team, View<int> members) const {
    ExcessSearch search;
    Arena arena(search_memory.data);
    search.cluster = node.cluster;
    search.lay_out(arena, node);
    search.begin(team, node.limits.most_replicas, {node.options.seed, kRebalance, 0, 0});
    search.looks = excess_effort(node.options.effort).looks / problem.partition.nodes;
    search.counts_moves = false;
    team.for_each(node.experts, [&](int e) { search.state.weight[e] = weight[members[e]]; });
    return search;
  }
};

EPLB_STAGE_END
