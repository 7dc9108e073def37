// The state that a search starts from: longest first, then duplicates are taken apart.
#pragma once

#include "solver/packing/longest_first.h"
#include "solver/search/move.h"
#include "solver/search/objective.h"

EPLB_STAGE_BEGIN

// The replicas as items to be packed on GPUs, into the arrays of the state.
EPLB_FN Packing packing_of(const State& state, const FillScratch& scratch) {
  return {.items = state.sorted.slots,
          .packs = state.sorted.gpus,
          .slots_per_pack = state.slots_per_gpu(),
          .order = {},
          .size = state.sorted.size,
          .pack = state.gpu,
          .slot = state.row,
          .pack_load = {},
          .position = state.replica,
          .load = state.load,
          .scratch = scratch};
}

// Would a duplicate, given away, be one on the other GPU, or the replica taken for it become one?
EPLB_FN bool moves_duplicate(const State& state, Swap swap) {
  const int giver = state.gpu[swap.give], taker = state.gpu[swap.take];
  const int given = state.sorted.expert[swap.give], taken = state.sorted.expert[swap.take];
  if (copies_on(state, taker, given) > 0) return true;
  return state.sorted.copies[taken] > 1 && copies_on(state, giver, taken) > 0 &&
         copies_on(state, taker, taken) == 1;
}

// Swaps the replica in a slot, a duplicate, with the one that leaves the least cost and does not
// become a duplicate, or is one already (ties: lowest replica). False if there is none. Every time
// one duplicate less is left.
EPLB_FN bool repair(Team auto& team, const State& state, int slot) {
  const View<int> size = state.sorted.size, rest = state.rest;
  const int slots = state.sorted.slots, give = state.replica[slot], giver = state.gpu[give];
  auto value = [&](int take) {
    if (state.gpu[take] == giver || moves_duplicate(state, Swap{give, take})) return -kNever;
    return -cost_of_swap<Peak>(rest[give], size[give], rest[take], size[take]);
  };
  const int least = team.max_of(slots, value);
  if (least == -kNever) return false;
  const int take = team.find_of(slots, [&](int i) { return value(i) == least; });
  apply(team, state, Swap{give, take});
  return true;
}

// On GPUs with more slots duplicates stay: looking for them costs slots_per_gpu for each slot, and
// with fewer experts than slots on a GPU most cannot be avoided.
inline constexpr int kRepairSlots = 1024, kRepairSlotsOfFewExperts = 64;

// Which experts are on every GPU. Their duplicates have nowhere to go, and no repair takes them
// from a GPU: what it gives is a duplicate there, and what it takes is one or gets to a GPU that
// lacks it.
EPLB_FN void mark_everywhere(Team auto& team, const State& state, View<int> everywhere) {
  const int gpus = state.sorted.gpus;
  team.for_each(state.sorted.experts, [&](int e) {
    int g = state.sorted.copies[e] < gpus ? -1 : 0;
    while (g >= 0 && g < gpus && holds(state, g, e)) ++g;
    everywhere[e] = g == gpus;
  });
}

EPLB_FN void repair_all(Team auto& team, const State& state) {
  const int slots = state.sorted.slots, experts = state.sorted.experts;
  const int per_gpu = state.slots_per_gpu();
  if (slots == experts) return;
  if (per_gpu > (experts < per_gpu ? kRepairSlotsOfFewExperts : kRepairSlots)) return;
  const View<int> everywhere = state.sorted.order;  // sorting is over
  bool marked = false;
  auto next = [&](int from) {
    return from + team.find_of(slots - from, [&](int i) {
      if (marked && everywhere[state.expert[from + i]]) return false;
      return is_duplicate(state, from + i);
    });
  };
  for (int slot = next(0); slot < slots; slot = next(slot)) {
    if (repair(team, state, slot)) continue;
    ++slot;
    if (!marked) mark_everywhere(team, state, everywhere);
    marked = true;
  }
}

// Longest first, copies apart while they can be; then duplicates are repaired slot by slot.
template <class Number>
EPLB_FN void start(Team auto& team, const State& state, const FillScratch& scratch) {
  const SortedReplicas& sorted = state.sorted;
  place_longest_first<Number>(team, packing_of(state, scratch),
                              [&](int i) { return sorted.copies[sorted.expert[i]]; });
  derive(team, state);
  repair_all(team, state);
}

EPLB_STAGE_END
