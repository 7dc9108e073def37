// Applies a re-target. Two experts' replicas change their sizes, and all are numbered by size.
#pragma once

#include "solver/search/move.h"

EPLB_STAGE_BEGIN

// The replicas as they were, while the new ones are written.
struct RetargetScratch {
  View<int> size, expert, gpu, row;  // by replica

  EPLB_FN void lay_out(Arena& arena, int slots) {
    size = arena.take<int>(slots);
    expert = arena.take<int>(slots);
    gpu = arena.take<int>(slots);
    row = arena.take<int>(slots);
  }
};

// The replicas of an expert before and after the number of its copies changes.
struct Block {
  int expert;
  int old_first, old_copies;
  int first, copies, size;  // afterwards

  EPLB_FN int old_ones_before(int replica) const {
    return larger(0, smaller(replica - old_first, old_copies));
  }
  EPLB_FN int ones_before(int other_size, int other_expert) const {
    const bool before = size > other_size || (size == other_size && expert < other_expert);
    return before ? copies : 0;
  }
};
EPLB_FN Block block_of(const SortedReplicas& sorted, int e, int copies) {
  return {.expert = e,
          .old_first = sorted.first[e],
          .old_copies = sorted.copies[e],
          .first = 0,
          .copies = copies,
          .size = sorted.weight[e] / copies};
}

// Where the block begins afterwards, `other` being the other one that changes.
template <class Team>
EPLB_FN int first_of(Team& team, int slots, const RetargetScratch& old, const Block& block,
                     const Block& other) {
  const int next =
      team.find_of(slots, [&](int i) { return block.ones_before(old.size[i], old.expert[i]) > 0; });
  return next - block.old_ones_before(next) - other.old_ones_before(next) +
         other.ones_before(block.size, block.expert);
}

template <class Team>
EPLB_FN void copy_replicas(Team& team, const State& state, const RetargetScratch& to) {
  team.for_each(state.sorted.slots, [&](int i) {
    to.size[i] = state.sorted.size[i];
    to.expert[i] = state.sorted.expert[i];
    to.gpu[i] = state.gpu[i];
    to.row[i] = state.row[i];
  });
}

// New numbers for all replicas.
struct Renumbering {
  Retarget move;
  Block loses, gains;

  EPLB_FN int number(const RetargetScratch& old, int i) const {
    const int size = old.size[i], e = old.expert[i];
    if (i == move.replica) return gains.first + move.rank;
    if (e == loses.expert) return loses.first + (i - loses.old_first) - (i > move.replica ? 1 : 0);
    if (e == gains.expert) {
      const int rank = i - gains.old_first;
      return gains.first + rank + (rank >= move.rank ? 1 : 0);
    }
    return i - loses.old_ones_before(i) - gains.old_ones_before(i) + loses.ones_before(size, e) +
           gains.ones_before(size, e);
  }
  EPLB_FN int expert(const RetargetScratch& old, int i) const {
    return i == move.replica ? gains.expert : old.expert[i];
  }
  EPLB_FN int size(int e, int old_size) const {
    if (e == loses.expert) return loses.size;
    return e == gains.expert ? gains.size : old_size;
  }
};

template <class Team>
EPLB_FN void write_replicas(Team& team, const State& state, const RetargetScratch& old,
                            const Renumbering& change) {
  const SortedReplicas& sorted = state.sorted;
  const Block &loses = change.loses, &gains = change.gains;
  team.for_each(sorted.slots, [&](int i) {
    const int to = change.number(old, i), e = change.expert(old, i);
    sorted.size[to] = change.size(e, old.size[i]);
    sorted.expert[to] = e;
    state.gpu[to] = old.gpu[i];
    state.row[to] = old.row[i];
    if (i == 0 || old.expert[i - 1] != old.expert[i]) sorted.first[old.expert[i]] = to;
  });
  team.single([&] {
    sorted.first[loses.expert] = loses.first;
    sorted.first[gains.expert] = gains.first;
    sorted.copies[loses.expert] = loses.copies;
    sorted.copies[gains.expert] = gains.copies;
  });
}

// Applies a re-target; all replicas stay in their slots. Returns the one that takes it back.
template <class Team>
EPLB_FN Retarget apply(Team& team, const State& state, const RetargetScratch& old, Retarget move) {
  const SortedReplicas& sorted = state.sorted;
  const int loser = sorted.expert[move.replica], gainer = move.expert;
  Block loses = block_of(sorted, loser, sorted.copies[loser] - 1);
  Block gains = block_of(sorted, gainer, sorted.copies[gainer] + 1);
  copy_replicas(team, state, old);
  loses.first = first_of(team, sorted.slots, old, loses, gains);
  gains.first = first_of(team, sorted.slots, old, gains, loses);
  write_replicas(team, state, old, {move, loses, gains});
  derive(team, state);
  return {
      .replica = gains.first + move.rank, .expert = loser, .rank = move.replica - loses.old_first};
}

EPLB_STAGE_END
