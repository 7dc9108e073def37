// Applies a re-target. Two experts' replicas change their sizes, and all are numbered by size.
#pragma once

#include "solver/search/move.h"

EPLB_STAGE_BEGIN

// The replicas as they were, while the new ones are written.
struct RetargetScratch {
  View<int> expert, rank, gpu, row;  // by replica; rank: which copy of its expert

  EPLB_FN void lay_out(Arena& arena, int slots) { arena.take(slots, expert, rank, gpu, row); }
};

// Applies a re-target; all replicas stay in their slots. Returns the one that takes it back.
EPLB_FN Retarget apply(Team auto& team, const State& state, const RetargetScratch& old,
                       Retarget move) {
  const SortedReplicas& sorted = state.sorted;
  const int loser = sorted.expert[move.replica], gainer = move.expert;
  team.for_each(sorted.slots, [&](int i) {
    old.expert[i] = sorted.expert[i];
    old.rank[i] = i - sorted.first[sorted.expert[i]];
    old.gpu[i] = state.gpu[i];
    old.row[i] = state.row[i];
  });
  const int lost = old.rank[move.replica];
  team.single([&] {
    --sorted.copies[loser];
    ++sorted.copies[gainer];
  });
  sort_replicas(team, sorted);
  team.for_each(sorted.slots, [&](int i) {
    const int expert = old.expert[i], rank = old.rank[i];
    int to = sorted.first[expert] + rank;
    if (i == move.replica)
      to = sorted.first[gainer] + move.rank;
    else if (expert == loser)
      to -= rank > lost;
    else if (expert == gainer)
      to += rank >= move.rank;
    state.gpu[to] = old.gpu[i];
    state.row[to] = old.row[i];
  });
  derive(team, state);
  return {.replica = sorted.first[gainer] + move.rank, .expert = loser, .rank = lost};
}

EPLB_STAGE_END
