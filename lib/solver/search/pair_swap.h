// When single swaps are stuck: two replicas of the heaviest GPU for two of another.
#pragma once

#include "solver/search/tabu_state.h"

EPLB_STAGE_BEGIN

// How many GPUs are looked at, in blocks of kPairBlock.
inline constexpr int kPairGpus = 64, kPairBlock = kRow;

// The pairs of rows in lexicographic order, and the pairs of replicas that the heaviest GPU has
// there. Sizes are doubled, so that the mean of two loads is a whole number.
struct PairList {
  int pairs;
  View<int> twice;  // twice the size of each pair of the heaviest GPU
  View<int> rows;   // first * kPairSlotsPerGpu + second
  View<int> scratch;

  EPLB_FN PairList(View<int> memory, int slots_per_gpu)
      : pairs(slots_per_gpu * (slots_per_gpu - 1) / 2),
        twice(memory),
        rows(memory.from(pairs)),
        scratch(memory.from(2 * pairs)) {}
  EPLB_FN int first_row(int pair) const { return rows[pair] / kPairSlotsPerGpu; }
  EPLB_FN int second_row(int pair) const { return rows[pair] % kPairSlotsPerGpu; }
};

struct FoundPair {
  int twice_cost;
  SwapPair swaps;
};

EPLB_FN void list_pairs(Team auto& team, const State& state, int heaviest, const PairList& list) {
  const int per_gpu = state.slots_per_gpu();
  const View<int> size = state.size_rows.from(heaviest);
  team.for_each(per_gpu * per_gpu, [&](int i) {
    const int first = i / per_gpu, second = i % per_gpu;
    if (first >= second) return;
    const int pair = first * (2 * per_gpu - first - 1) / 2 + second - first - 1;
    list.twice[pair] = 2 * (size[first * state.stride] + size[second * state.stride]);
    list.rows[pair] = first * kPairSlotsPerGpu + second;
  });
}

// Tries all pairs of the heaviest GPU, in order, against one of GPU g; better ones that make no
// duplicate are kept.
EPLB_FN void try_pairs(Team auto& team, const State& state, const PairList& list,
                       const LoadRange& loads, int g, int pair, FoundPair& best) {
  const View<int> mine = state.replicas_on(loads.heaviest), theirs = state.replicas_on(g);
  const int take = theirs[list.first_row(pair)], take2 = theirs[list.second_row(pair)];
  const int taken = state.sorted.size[take] + state.sorted.size[take2];
  const int rest = state.load[g] - taken;
  for (int i = 0; i < list.pairs; ++i) {
    const int given = list.twice[i] / 2;
    const int cost = cost_of_swap<Peak>(loads.most - given, given, rest, taken);
    if (2 * cost >= best.twice_cost) continue;
    const SwapPair swaps{{mine[list.first_row(i)], take}, {mine[list.second_row(i)], take2}};
    if (!makes_duplicate(team, state, swaps)) best = {2 * cost, swaps};
  }
}

// Looks at the GPUs from .. to, at most kPairBlock of them, for a pair that is better than `best`.
//
// Twice the larger of two loads is their sum and their distance. A swap of pairs does not change
// the sum, so the best pair to give for two replicas is the one nearest to a size that makes both
// loads equal. Only where that pair is better than the best so far, which is never on the heaviest
// GPU itself, pairs are tried one by one.
EPLB_FN void search_block(Team auto& team, const State& state, const PairList& list,
                          const auto& nearest, const LoadRange& loads, int from, int to,
                          FoundPair& best) {
  auto promising = [&](int pair) {
    const View<int> size = state.sizes_in(list.first_row(pair));
    const View<int> size2 = state.sizes_in(list.second_row(pair));
    return [=, load = state.load, most = loads.most, limit = best.twice_cost](auto g) {
      const auto want = 2 * (size[g] + size2[g]) + (most - load[g]);
      return load[g] + most + nearest.distance(want) < limit;
    };
  };
  auto next = [&](int at) { return team.find_in_rows(at, list.pairs, from, to, promising); };
  for (int at = next(0); at < list.pairs * kRow; at = next(at + 1))
    try_pairs(team, state, list, loads, from + at % kRow, at / kRow, best);
}

// The first of the GPUs that are looked at, kPairGpus or all: that of a random block.
EPLB_FN int draw_first_gpu(Team auto& team, TabuSearch& search) {
  const int stride = search.state.stride;
  if (stride <= kPairGpus) return 0;
  return kPairBlock * below(search.draws(team, search.drawn++), stride / kPairBlock);
}

// The swap of two replicas of the heaviest GPU with two of another that costs least, if that is
// less than the largest load. Up to kPairGpus GPUs are looked at, from a random block on; ties:
// block in the order they are looked at, pair of the other GPU, that GPU, pair of the heaviest GPU;
// pairs in lexicographic order. False if there is none.
EPLB_FN bool swap_pairs(Team auto& team, TabuSearch& search, const LoadRange& loads) {
  const State& state = search.state;
  const int stride = state.stride, first = draw_first_gpu(team, search);
  const int looked_at = smaller(stride, kPairGpus);
  const PairList list(search.pair_scratch, state.slots_per_gpu());
  search.spent += 1 + int64_t{list.pairs} * list.pairs * looked_at / 4096;
  list_pairs(team, state, loads.heaviest, list);
  const auto nearest = team.nearest(list.pairs, list.twice, list.scratch);
  FoundPair best{2 * loads.most, {{-1, -1}, {-1, -1}}};
  for (int i = 0; i < looked_at; i += kPairBlock) {
    const int from = (first + i) % stride, to = smaller(from + kPairBlock, state.sorted.gpus);
    search_block(team, state, list, nearest, loads, from, to, best);
  }
  if (best.swaps.first.give < 0) return false;
  apply(team, state, best.swaps);
  return true;
}

EPLB_STAGE_END
