// Changes of a state, as data: what they are, what forbids them, and how they are applied.
#pragma once

#include "solver/search/state.h"

EPLB_STAGE_BEGIN

// Two replicas of different experts on different GPUs change places.
struct Swap {
  int give, take;  // replicas
};

// Two swaps between the same two GPUs, at once.
struct SwapPair {
  Swap first, second;
};

// A replica becomes one of `expert`, its copy number `rank`. Replicas are sorted, so all that come
// after a size that changes get other numbers.
struct Retarget {
  int replica, expert, rank;
};

// Would the swap put two replicas of an expert on one GPU?
EPLB_FN bool makes_duplicate(Team auto& team, const State& state, Swap swap) {
  const SortedReplicas& sorted = state.sorted;
  const int given = sorted.expert[swap.give], taken = sorted.expert[swap.take];
  if (sorted.copies[given] == 1 && sorted.copies[taken] == 1) return false;
  const View<int> giver = state.experts_on(state.gpu[swap.give]);
  const View<int> taker = state.experts_on(state.gpu[swap.take]);
  const int per_gpu = state.slots_per_gpu();
  return team.find(0, per_gpu, [=](auto row) {
    return (giver[row] == taken) | (taker[row] == given);
  }) < per_gpu;
}

// The same by one lane, for bodies of int.
EPLB_FN bool makes_duplicate(const State& state, Swap swap) {
  const SortedReplicas& sorted = state.sorted;
  const int given = sorted.expert[swap.give], taken = sorted.expert[swap.take];
  return (sorted.copies[given] > 1 && holds(state, state.gpu[swap.take], given)) ||
         (sorted.copies[taken] > 1 && holds(state, state.gpu[swap.give], taken));
}

// Does GPU g hold expert e without its replicas `out` and `out2`?
EPLB_FN bool holds_without(Team auto& team, const State& state, int g, int e, int out, int out2) {
  if (state.sorted.copies[e] == 1) return false;
  const View<int> expert = state.experts_on(g), replica = state.replicas_on(g);
  const int per_gpu = state.slots_per_gpu();
  return team.find(0, per_gpu, [=](auto row) {
    return (expert[row] == e) & (replica[row] != out) & (replica[row] != out2);
  }) < per_gpu;
}

EPLB_FN bool makes_duplicate(Team auto& team, const State& state, SwapPair pair) {
  const View<int> expert = state.sorted.expert;
  const int give = pair.first.give, give2 = pair.second.give;
  const int take = pair.first.take, take2 = pair.second.take;
  const int giver = state.gpu[give], taker = state.gpu[take];
  return holds_without(team, state, taker, expert[give], take, take2) ||
         holds_without(team, state, taker, expert[give2], take, take2) ||
         holds_without(team, state, giver, expert[take], give, give2) ||
         holds_without(team, state, giver, expert[take2], give, give2);
}

// What a swap touches, all of it read before anything is written.
struct SwapSites {
  int giver, taker;        // GPUs
  int give_row, take_row;  // where the two replicas are
  int given_size, taken_size, given_expert, taken_expert;
  int giver_load, taker_load;  // afterwards
};
EPLB_FN SwapSites sites_of(const State& state, Swap swap) {
  const SortedReplicas& sorted = state.sorted;
  const int giver = state.gpu[swap.give], taker = state.gpu[swap.take];
  const int given_size = sorted.size[swap.give], taken_size = sorted.size[swap.take];
  const int less_load = given_size - taken_size;
  return {.giver = giver,
          .taker = taker,
          .give_row = state.row[swap.give],
          .take_row = state.row[swap.take],
          .given_size = given_size,
          .taken_size = taken_size,
          .given_expert = sorted.expert[swap.give],
          .taken_expert = sorted.expert[swap.take],
          .giver_load = state.load[giver] - less_load,
          .taker_load = state.load[taker] + less_load};
}

// Writes all of the swap but the rests: by one lane.
EPLB_FN void write_swap(const State& state, Swap swap, const SwapSites& sites) {
  const int per_gpu = state.slots_per_gpu();
  const int giver_slot = sites.giver * per_gpu + sites.give_row;
  const int taker_slot = sites.taker * per_gpu + sites.take_row;
  state.replica[giver_slot] = swap.take;
  state.replica[taker_slot] = swap.give;
  state.size_rows[sites.give_row * state.stride + sites.giver] = sites.taken_size;
  state.size_rows[sites.take_row * state.stride + sites.taker] = sites.given_size;
  state.expert[giver_slot] = sites.taken_expert;
  state.expert[taker_slot] = sites.given_expert;
  state.gpu[swap.give] = sites.taker;
  state.gpu[swap.take] = sites.giver;
  state.row[swap.give] = sites.take_row;
  state.row[swap.take] = sites.give_row;
  state.load[sites.giver] = sites.giver_load;
  state.load[sites.taker] = sites.taker_load;
}

// The rests of the replicas in a row of both GPUs, whose replicas are seen through these views.
EPLB_FN void write_rests(const State& state, const SwapSites& sites, auto on_giver, auto on_taker,
                         int row) {
  const int mine = on_giver[row], theirs = on_taker[row];
  state.rest[mine] = sites.giver_load - state.sorted.size[mine];
  state.rest[theirs] = sites.taker_load - state.sorted.size[theirs];
}

// Applies a swap. `also` is called by one lane on the way: it must not touch the state.
EPLB_INLINE EPLB_FN void apply(Team auto& team, const State& state, Swap swap, const auto& also) {
  const SwapSites sites = sites_of(state, swap);
  const View<int> giver = state.replicas_on(sites.giver), taker = state.replicas_on(sites.taker);
  team.barrier();
  team.single_nowait([&] {
    write_swap(state, swap, sites);
    also();
  });
  const auto on_giver = team.patched(giver, sites.give_row, swap.take);
  const auto on_taker = team.patched(taker, sites.take_row, swap.give);
  team.for_each(state.slots_per_gpu(),
                [&](int row) { write_rests(state, sites, on_giver, on_taker, row); });
}
EPLB_FN void apply(Team auto& team, const State& state, Swap swap) {
  apply(team, state, swap, [] {});
}
EPLB_FN void apply(Team auto& team, const State& state, SwapPair pair) {
  apply(team, state, pair.first);
  apply(team, state, pair.second);
}

// A swap by one lane, where others change other GPUs at the same time.
EPLB_FN void apply_alone(const State& state, Swap swap) {
  const SwapSites sites = sites_of(state, swap);
  write_swap(state, swap, sites);
  const View<int> giver = state.replicas_on(sites.giver), taker = state.replicas_on(sites.taker);
  for (int row = 0; row < state.slots_per_gpu(); ++row)
    write_rests(state, sites, giver, taker, row);
}

// The replicas as they were before a re-target, while the new ones are written: the sizes of two
// experts' replicas change, and all are numbered by size.
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
