// When single swaps are stuck: two replicas of the heaviest GPU for two of another.
#pragma once

#include "solver/search/tabu_state.h"

EPLB_STAGE_BEGIN

// How many GPUs are looked at, in blocks of kPairBlock.
inline constexpr int kPairGpus = 64, kPairBlock = kRow;

struct FoundPair {
  int cost;
  SwapPair swaps;
};

// From this many slots per GPU on, pairs that the heaviest GPU cannot give are ruled out before
// they are tried one by one; with fewer, that takes longer than to try them.
inline constexpr int kManyPairs = 8;

// Two replicas of another GPU, and their size.
struct TakenPair {
  int first, second, size;
};
EPLB_FN TakenPair taken_pair(const State& state, const PairList& list, int g, int pair) {
  const View<int> theirs = state.replicas_on(g), size = state.sorted.size;
  const int first = theirs[list.first_row(pair)], second = theirs[list.second_row(pair)];
  return {first, second, size[first] + size[second]};
}

// Which pairs the heaviest GPU can give for two replicas. Of their experts it may keep no replica:
// all that it has must be in the pair.
struct GivenPairs {
  int from, to;         // in the list
  int expert, expert2;  // of the two replicas
  int present;          // how many replicas of these the heaviest GPU has; -1: any number

  EPLB_FN bool leave_none(const State& state, SwapPair swaps) const {
    const View<int> of = state.sorted.expert;
    return present < 0 || is_one(of[swaps.first.give]) + is_one(of[swaps.second.give]) == present;
  }
  EPLB_FN int is_one(int e) const { return e == expert || e == expert2 ? 1 : 0; }
};

// The first row of a GPU, from this one on, with one of the two experts.
EPLB_FN int next_held(Team auto& team, const State& state, int g, const GivenPairs& pairs,
                      int from) {
  const View<int> held = state.experts_on(g);
  const int expert = pairs.expert, expert2 = pairs.expert2;
  return team.find(from, state.slots_per_gpu(),
                   [=](auto row) { return (held[row] == expert) | (held[row] == expert2); });
}

EPLB_FN GivenPairs pairs_to_give(Team auto& team, const State& state, const PairList& list,
                                 int heaviest, TakenPair taken) {
  const int per_gpu = state.slots_per_gpu();
  const View<int> of = state.sorted.expert;
  GivenPairs pairs{0, list.pairs, of[taken.first], of[taken.second], -1};
  if (per_gpu < kManyPairs) return pairs;
  const int row = next_held(team, state, heaviest, pairs, 0);
  const int row2 = row < per_gpu ? next_held(team, state, heaviest, pairs, row + 1) : per_gpu;
  pairs.present = (row < per_gpu ? 1 : 0) + (row2 < per_gpu ? 1 : 0);
  if (pairs.present < 2) return pairs;
  pairs.from = list.pair_of(row, row2, per_gpu);
  const bool more = next_held(team, state, heaviest, pairs, row2 + 1) < per_gpu;
  pairs.to = pairs.from + (more ? 0 : 1);
  return pairs;
}

// cost(auto i) of giving pair i of the heaviest GPU for two replicas of this size. rest: the load
// of their GPU without them.
EPLB_FN auto cost_of_giving(const PairList& list, const LoadRange& loads, int size, int rest) {
  return [=, most = loads.most, twice = list.twice](auto i) {
    const auto given = twice[i] >> 1;
    return cost_of_swap<Peak>(most - given, given, rest, size);
  };
}
EPLB_FN SwapPair swaps_of(const State& state, const PairList& list, int heaviest, int given,
                          TakenPair taken) {
  const View<int> mine = state.replicas_on(heaviest);
  return {{mine[list.first_row(given)], taken.first}, {mine[list.second_row(given)], taken.second}};
}
EPLB_FN int next_below(Team auto& team, const auto& cost, int limit, int from, int to) {
  return team.find(from, to, [=](auto i) { return cost(i) < limit; });
}

// Tries the pairs of the heaviest GPU, in order, against one of GPU g; better ones that make no
// duplicate are kept.
EPLB_FN void try_pairs(Team auto& team, const State& state, const PairList& list,
                       const LoadRange& loads, int g, int pair, FoundPair& best) {
  const TakenPair taken = taken_pair(state, list, g, pair);
  const auto cost = cost_of_giving(list, loads, taken.size, state.load[g] - taken.size);
  int i = next_below(team, cost, best.cost, 0, list.pairs);
  if (i == list.pairs) return;
  const GivenPairs pairs = pairs_to_give(team, state, list, loads.heaviest, taken);
  for (i = larger(i, pairs.from);; ++i) {
    i = next_below(team, cost, best.cost, i, pairs.to);
    if (i >= pairs.to) return;
    const SwapPair swaps = swaps_of(state, list, loads.heaviest, i, taken);
    if (pairs.leave_none(state, swaps) && !makes_duplicate(team, state, swaps))
      best = {cost(i), swaps};
  }
}

// The GPUs from .. to, at most kPairBlock of them. A cell is one of their pairs.
struct PairBlock {
  int from, to;

  EPLB_FN int gpu(int cell) const { return from + cell % kRow; }
};

EPLB_FN PairBlock block_from(const State& state, int g) {
  const int from = g % state.stride;
  return {from, smaller(from + kPairBlock, state.sorted.gpus)};
}

// The first cell, from `cell` on, whose pair is of one expert.
EPLB_FN int next_twins(Team auto& team, const State& state, const PairList& list, PairBlock block,
                       int cell) {
  return cell + team.find_of(list.pairs * kRow - cell, [&](int i) {
    const int pair = (cell + i) / kRow, g = block.gpu(cell + i);
    const View<int> expert = state.experts_on(g);
    return g < block.to && expert[list.first_row(pair)] == expert[list.second_row(pair)];
  });
}

// The first cell, from `cell` on, whose pair may be exchanged for less than `limit`.
//
// Twice the larger of two loads is their sum and their distance. A swap of pairs does not change
// the sum, so the best pair to give for two replicas is the one nearest to a size that makes both
// loads equal.
EPLB_FN int next_promising(Team auto& team, const State& state, const PairList& list,
                           const auto& nearby, int most, int limit, PairBlock block, int cell) {
  return team.find_in_rows(cell, list.pairs, block.from, block.to, [&](int pair) {
    const View<int> size = state.sizes_in(list.first_row(pair));
    const View<int> size2 = state.sizes_in(list.second_row(pair));
    return [=, load = state.load](auto g) {
      const auto want = 2 * (size[g] + size2[g]) + (most - load[g]);
      return nearby.any(want, limit - most - load[g]);
    };
  });
}

// Looks in a block for a pair that is better than `best`. Only where that may be, which is never on
// the heaviest GPU itself, pairs are tried one by one. If the heaviest GPU holds all experts, pairs
// of two could only replace the same two, and only twins are tried.
EPLB_FN void search_block(Team auto& team, const State& state, const PairList& list,
                          const auto& nearby, const LoadRange& loads, bool only_twins,
                          PairBlock block, FoundPair& best) {
  auto next = [&](int cell) {
    if (only_twins) return next_twins(team, state, list, block, cell);
    return next_promising(team, state, list, nearby, loads.most, 2 * best.cost, block, cell);
  };
  for (int cell = next(0); cell < list.pairs * kRow; cell = next(cell + 1))
    try_pairs(team, state, list, loads, block.gpu(cell), cell / kRow, best);
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
  const int first = draw_first_gpu(team, search), looked_at = smaller(state.stride, kPairGpus);
  const PairList& list = search.pairs;
  search.spent += 1 + int64_t{list.pairs} * list.pairs * looked_at / 4096;
  list_sizes(team, list, state, loads.heaviest);
  const auto nearby = team.nearby(list.pairs, list.twice, list.scratch, loads.most - loads.least);
  const bool only_twins = holds_all(team, state, loads.heaviest);
  FoundPair best{loads.most, {{-1, -1}, {-1, -1}}};
  for (int i = 0; i < looked_at; i += kPairBlock) {
    const PairBlock block = block_from(state, first + i);
    search_block(team, state, list, nearby, loads, only_twins, block, best);
  }
  if (best.swaps.first.give < 0) return false;
  apply(team, state, best.swaps);
  return true;
}

EPLB_STAGE_END
