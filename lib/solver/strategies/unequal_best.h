// EPLB_STRATEGY_BEST on GPUs that differ in slots or speed: the start of a search.
#pragma once

#include "solver/strategies/best.h"
#include "solver/strategies/unequal_start.h"

EPLB_STAGE_BEGIN

struct UnequalBestMethod : NodesOfBest {
  static constexpr int kLeastBlocks = 8;

  View<int> node_weight{};
  UnequalStart start{};

  using NodesOfBest::NodesOfBest;
  EPLB_FN void lay_out(Arena& arena) {
    NodesOfBest::lay_out(arena);
    node_weight = arena.take<int>(node.experts);
    start.lay_out(arena, node);
  }
  EPLB_FN int node_chains() const { return 1; }
  EPLB_FN int solve_node(Team auto& team, int index, Chains, View<int> answer) {
    const View<int> members = members_of(index);
    team.for_each(node.experts, [&](int e) { node_weight[e] = weight[members[e]]; });
    start_unequal(team, start, node, node_weight, answer);
    return 0;
  }
};

EPLB_STAGE_END
