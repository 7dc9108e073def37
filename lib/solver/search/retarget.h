// When the search is stuck well above the mean: a replica becomes one of another expert.
#pragma once

#include "solver/search/tabu_state.h"

EPLB_STAGE_BEGIN

inline constexpr int kRetargetTries = 8;

// A random re-target; half of them to an expert on the heaviest GPU.
EPLB_FN Retarget random_retarget(const TabuSearch& search, int heaviest) {
  const State& state = search.state;
  const SortedReplicas& sorted = state.sorted;
  const uint32_t random = search.retarget_chance(2 * search.drawn);
  const uint32_t other = search.retarget_chance(2 * search.drawn + 1);
  const int expert = other & 1 ? state.experts_on(heaviest)[below(other, state.slots_per_gpu())]
                               : sorted.expert[below(other, sorted.slots)];
  return {below(random, sorted.slots), expert, sorted.copies[expert]};
}

EPLB_FN bool is_possible(Team auto& team, const TabuSearch& search, Retarget move) {
  const SortedReplicas& sorted = search.state.sorted;
  const int loser = sorted.expert[move.replica];
  return sorted.copies[loser] > 1 && loser != move.expert &&
         sorted.copies[move.expert] < search.limits.most_copies &&
         !holds(team, search.state, search.state.gpu[move.replica], move.expert);
}

// The larger of the new loads of the replica's GPU and of those that hold the other copies of the
// expert that loses it; copies of the expert that gains one only get smaller.
EPLB_FN int cost_of_retarget(Team auto& team, const State& state, Retarget move) {
  const SortedReplicas& sorted = state.sorted;
  const int loser = sorted.expert[move.replica], size = sorted.size[move.replica];
  const int more_load = sorted.weight[loser] / (sorted.copies[loser] - 1) - size;
  const int others = team.max_of(sorted.copies[loser], [&](int rank) {
    const int replica = sorted.first[loser] + rank;
    return replica == move.replica ? 0 : state.load[state.gpu[replica]] + more_load;
  });
  const int new_size = sorted.weight[move.expert] / (sorted.copies[move.expert] + 1);
  return Peak::cost(others, state.load[state.gpu[move.replica]] - size + new_size);
}

// Applies the least costly of 8 random re-targets; ties: first. Unless the search then finds a new
// best before its patience ends, the re-target is taken back. False if none of the 8 is possible.
EPLB_FN bool retarget(Team auto& team, TabuSearch& search, int heaviest) {
  const int slots = search.state.sorted.slots;
  int least = kNever;
  Retarget chosen{-1, -1, -1};
  for (int i = 0; i < kRetargetTries; ++i, ++search.drawn) {
    const Retarget move = random_retarget(search, heaviest);
    if (!is_possible(team, search, move)) continue;
    const int cost = cost_of_retarget(team, search.state, move);
    if (cost >= least) continue;
    least = cost;
    chosen = move;
  }
  if (chosen.replica < 0) return false;
  apply_logged(team, search.state, search.log, search.retarget_scratch, chosen);
  clear_tabu(team, search);
  search.spent += slots / 12;
  search.patience = patience_after_retarget(slots);
  search.good_enough = nearly_mean(search);
  return true;
}

EPLB_STAGE_END
