// When nothing else helps: a few random swaps.
#pragma once

#include "solver/search/tabu_state.h"

EPLB_STAGE_BEGIN

// Swaps `give` with one of the next smaller replicas on another GPU, if that keeps the load of that
// GPU below the largest and no duplicate results.
EPLB_FN void swap_with_smaller(Team auto& team, const State& state, const LoadRange& loads,
                               int give) {
  constexpr int kLooks = 8;
  const SortedReplicas& sorted = state.sorted;
  const int giver = state.gpu[give], heaviest = loads.heaviest;
  const int from = sorted.end_of(sorted.expert[give]), to = smaller(sorted.slots, from + kLooks);
  auto stays_below = [=, gpu = state.gpu, rest = state.rest,
                      limit = loads.most - sorted.size[give]](auto take) {
    return (gpu[take] != heaviest) & (gpu[take] != giver) & (rest[take] < limit);
  };
  int take = team.find(from, to, stays_below);
  while (take < to && makes_duplicate(team, state, Swap{give, take}))
    take = team.find(take + 1, to, stays_below);
  if (take < to) apply(team, state, Swap{give, take});
}

// Random swaps among the other GPUs that keep every load below the largest: they bring fresh
// partners to the heaviest GPU.
EPLB_FN void walk(Team auto& team, TabuSearch& search, const LoadRange& loads) {
  const State& state = search.state;
  ++search.spent;
  for (int swaps = smaller(larger(state.sorted.gpus / 8, 2), 16); swaps > 0; --swaps) {
    const int give = below(search.draws(team, search.drawn++), state.sorted.slots);
    if (state.gpu[give] != loads.heaviest) swap_with_smaller(team, state, loads, give);
  }
}

EPLB_STAGE_END
