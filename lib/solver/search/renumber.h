// Applies a re-target. Two experts' replicas change their sizes, and all are numbered by size.
#pragma once

#include "solver/search/move.h"

EPLB_STAGE_BEGIN

// The replicas as they were, while the new ones are written.
struct RetargetScratch {
  View<int> expert, rank, gpu, row;  // by replica; rank: which copy of its expert

  EPLB_FN void lay_out(Arena& arena, int slots) { arena.take(slots, expert, rank, gpu, row); }
};

EPLB_FN void copy_replicas(Team auto& team, const State& state, const RetargetScratch& to) {
  const SortedReplicas& sorted = state.sorted;
  team.for_each(sorted.slots, [&](int i) {
    to.expert[i] = sorted.expert[i];
    to.rank[i] = i - sorted.first[sorted.expert[i]];
    to.gpu[i] = state.gpu[i];
    to.row[i] = state.row[i];
  });
}

// The number that replica i has afterwards.
EPLB_FN int new_number(const SortedReplicas& sorted, const RetargetScratch& old, Retarget move,
                       int i) {
  if (i == move.replica) return sorted.first[move.expert] + move.rank;
  const int expert = old.expert[i], rank = old.rank[i], same_rank = sorted.first[expert] + rank;
  if (expert == old.expert[move.replica]) return same_rank - (rank > old.rank[move.replica]);
  return expert == move.expert && rank >= move.rank ? same_rank + 1 : same_rank;
}

// Applies a re-target; all replicas stay in their slots. Returns the one that takes it back.
EPLB_APART Retarget apply(Team auto& team, const State& state, const RetargetScratch& old,
                          Retarget move) {
  const SortedReplicas& sorted = state.sorted;
  const int loser = sorted.expert[move.replica], gainer = move.expert;
  copy_replicas(team, state, old);
  team.single([&] {
    --sorted.copies[loser];
    ++sorted.copies[gainer];
  });
  sort_replicas(team, sorted);
  team.for_each(sorted.slots, [&](int i) {
    const int to = new_number(sorted, old, move, i);
    state.gpu[to] = old.gpu[i];
    state.row[to] = old.row[i];
  });
  derive(team, state);
  return {
      .replica = sorted.first[gainer] + move.rank, .expert = loser, .rank = old.rank[move.replica]};
}

EPLB_STAGE_END
