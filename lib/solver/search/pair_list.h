// The pairs of slots of a GPU: what is swapped when single swaps are stuck.
#pragma once

#include "solver/search/state.h"

EPLB_STAGE_BEGIN

// Pairs are swapped on GPUs of this many slots.
inline constexpr int kLeastPairSlots = 4, kPairSlotsPerGpu = 16;
EPLB_FN bool has_pairs(int slots_per_gpu) {
  return slots_per_gpu >= kLeastPairSlots && slots_per_gpu <= kPairSlotsPerGpu;
}

// The pairs of rows in lexicographic order, and the pairs of replicas that the heaviest GPU has
// there. Sizes are doubled, so that the mean of two loads is a whole number.
struct PairList {
  int pairs;
  View<int> twice;    // twice the size of each pair of the heaviest GPU
  View<int> rows;     // first * kPairSlotsPerGpu + second
  View<int> scratch;  // see Team::nearby

  EPLB_FN void lay_out(Arena& arena, int slots_per_gpu) {
    pairs = has_pairs(slots_per_gpu) ? slots_per_gpu * (slots_per_gpu - 1) / 2 : 0;
    arena.take(pairs, twice, rows, scratch);
  }
  EPLB_FN static int pair_of(int first, int second, int slots_per_gpu) {
    return first * (2 * slots_per_gpu - first - 1) / 2 + second - first - 1;
  }
  EPLB_FN int first_row(int pair) const { return rows[pair] / kPairSlotsPerGpu; }
  EPLB_FN int second_row(int pair) const { return rows[pair] % kPairSlotsPerGpu; }
};

// Once for a search: the rows.
EPLB_FN void list_rows(Team auto& team, const PairList& list, int slots_per_gpu) {
  if (list.pairs == 0) return;
  team.for_each(slots_per_gpu - 1, [&](int first) {
    const View<int> rows = list.rows.from(list.pair_of(first, first + 1, slots_per_gpu));
    for (int i = 0; first + 1 + i < slots_per_gpu; ++i)
      rows[i] = first * kPairSlotsPerGpu + first + 1 + i;
  });
}

// The sizes of the pairs.
EPLB_FN void list_sizes(Team auto& team, const PairList& list, const State& state, int heaviest) {
  const View<int> size = state.size_rows.from(heaviest);
  team.for_each(list.pairs, [&](int pair) {
    list.twice[pair] = 2 * (size[list.first_row(pair) * state.stride] +
                            size[list.second_row(pair) * state.stride]);
  });
}

EPLB_STAGE_END
