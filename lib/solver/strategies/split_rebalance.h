// EPLB_STRATEGY_REBALANCE where tokens are split, as the steps of a layer: see solve_layer.h. It
// begins like RebalanceMethod: forced moves come first, and moves and limits are the same.
#pragma once

#include "solver/search/split_moves.h"
#include "solver/strategies/rebalance.h"

EPLB_STAGE_BEGIN

struct SplitRebalance : RebalanceMethod {
  View<char> moves_memory{};

  using RebalanceMethod::RebalanceMethod;
  EPLB_FN void lay_out(Arena& arena) {
    RebalanceMethod::lay_out(arena);
    moves_memory = arena.reserve([&](Arena& room) { SplitMovesMemory().lay_out(room, problem); });
  }

  // answer[slot]: its expert, or -1.
  EPLB_FN int solve_node(Team auto& team, int, Chains, View<int> answer) {
    LayerSearch search = begin(team);
    const Aims aims = aims_of(team, search.state);
    start(team, search, aims);
    write(team, search.state, answer);
    if (!has_load) return 0;
    const auto memory = laid_out<SplitMovesMemory>(moves_memory.data, problem);
    const int* const was = problem.current.expert + layer * problem.cluster.slots;
    SplitMoves(problem, limits(aims.least()), weight, was, answer, memory).run(team);
    return 0;
  }

 private:
  EPLB_FN SplitMoveLimits limits(int64_t goal) const {
    const int effort = problem.options.effort;
    return {.goal = goal < kQuantaLimit ? goal : kQuantaLimit,
            .moves = most_moves(),
            .arrivals = problem.moves.most_arrivals,
            .most_replicas = problem.limits.most_replicas,
            .nodes = partition.nodes,
            .tries = 32 << 2 * effort,
            .looks = int64_t{1} << (29 + 2 * effort)};
  }
};

EPLB_STAGE_END
