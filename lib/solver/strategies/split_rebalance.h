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
    start(team, search, aims_of(team, search.state));
    write(team, search.state, answer);
    if (!has_load) return 0;
    SplitMovesMemory memory;
    Arena arena(moves_memory.data);
    memory.lay_out(arena, problem);
    const int* const was = problem.current.expert + layer * problem.cluster.slots;
    SplitMoves(problem, limits(team), weight, was, answer, memory).run(team);
    return 0;
  }

 private:
  EPLB_FN SplitMoveLimits limits(Team auto& team) const {
    const int effort = problem.options.effort;
    return {.goal = goal(team),
            .moves = most_moves(),
            .arrivals = problem.moves.most_arrivals,
            .most_replicas = problem.limits.most_replicas,
            .nodes = partition.nodes,
            .tries = 32 << 2 * effort,
            .looks = int64_t{1} << (31 + effort)};
  }
  // Tokens of the fastest GPUs: as many as the target allows, or the mean. What rounding took from
  // experts comes off the target.
  EPLB_FN int64_t goal(Team auto& team) const {
    const View<int> tokens = weight;
    const Cluster& cluster = problem.cluster;
    const int64_t total = team.sum_of(problem.experts, [&](int e) { return int64_t{tokens[e]}; });
    const int64_t paces = team.sum_of(cluster.gpus, [&](int g) {
      return open_slots(cluster, g) > 0 ? int64_t{pace(cluster, g)} : int64_t{0};
    });
    const int64_t mean = (total * kFastest + paces - 1) / paces;
    if (problem.moves.target == 0) return mean;
    const int64_t exact = (total * problem.moves.target / kImbalanceUnits) * kFastest / paces;
    const int64_t part = exact / 1024, rounded = 2 * slots_per_gpu(cluster);
    const int64_t goal = exact - (part < rounded ? part : rounded);
    return goal < mean ? mean : goal < kQuantaLimit ? goal : kQuantaLimit;
  }
};

EPLB_STAGE_END
