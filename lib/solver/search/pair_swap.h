// When single swaps are stuck: two replicas of the heaviest GPU for two of another.
#pragma once

#include "solver/search/search.h"

EPLB_STAGE_BEGIN

inline constexpr int kPairGpus = 64, kPairBlock = kRow;  // with so many GPUs at a time, in blocks

// Pairs of slots of a GPU in lexicographic order, in memory for three numbers of each.
struct PairList {
  View<int> twice;  // twice the size of each pair of the heaviest GPU
  View<int> slots;  // which slots they are: first * kPairPlaces + second
  View<int> scratch;

  EPLB_FN PairList(View<int> memory, int n) : twice(memory), slots(memory.from(n)), scratch(memory.from(2 * n)) {}
};

struct PairExchange {
  int value, gpu, mine1, mine2, theirs1, theirs2;  // value: twice the larger new load; slots
};

// Tries all pairs of slots of h against the pair (i, j) of GPU g, in order; better ones that make no duplicate are kept.
template <class Team>
EPLB_FN void try_pairs(Team& team, const Placement& s, View<int> twice, const Ends& e, int g, int i, int j,
                       PairExchange& best) {
  const int k = s.p.places, h = e.heaviest, load = s.load[g];
  const int q1 = s.item[g * k + i], q2 = s.item[g * k + j], sizes = 2 * (s.p.size[q1] + s.p.size[q2]);
  for (int a = 0, x = 0; a < k; ++a)
    for (int b = a + 1; b < k; ++b, ++x) {
      const int off = twice[x] - sizes - (e.most - load), value = e.most + load + (off < 0 ? -off : off);
      if (value >= best.value) continue;
      const int p1 = s.item[h * k + a], p2 = s.item[h * k + b];
      if (keeps(team, s, g, s.p.expert[p1], q1, q2) || keeps(team, s, g, s.p.expert[p2], q1, q2) ||
          keeps(team, s, h, s.p.expert[q1], p1, p2) || keeps(team, s, h, s.p.expert[q2], p1, p2))
        continue;
      best = {value, g, a, b, i, j};
    }
}

// With D = what h loses, the larger of the two new loads is (Lh + Lg + |2D - (Lh - Lg)|) / 2. The least counts if it is below
// Lh; ties: block of 16 GPUs in the order they are looked at, pair of g, g, pair of h; pairs in lexicographic order. Up to 64
// GPUs from a random block on. False if there is none.
template <class Team> EPLB_FN bool exchange_pairs(Team& team, Search& search, const Ends& e) {
  const Placement& s = search.now;
  const int k = s.p.places, h = e.heaviest, pairs = k * (k - 1) / 2, count = smaller(s.stride, kPairGpus);
  const int first =
      count == s.stride ? 0 : kPairBlock * below(search.chance(team, search.draws++), s.stride / kPairBlock);
  search.spent += 1 + int64_t{pairs} * pairs * count / 4096;
  const PairList list(search.pairs, pairs);
  team.for_each(k * k, [&](int i) {
    const int a = i / k, b = i % k, x = a * (2 * k - a - 1) / 2 + b - a - 1;  // of (a, b) among the pairs
    if (a >= b) return;
    list.twice[x] = 2 * (s.held[a * s.stride + h] + s.held[b * s.stride + h]);
    list.slots[x] = a * kPairPlaces + b;
  });
  const auto nearest = team.nearest(pairs, list.twice, list.scratch);
  PairExchange best{2 * e.most, -1, 0, 0, 0, 0};
  for (int z = 0; z < count; z += kPairBlock) {
    const int from = (first + z) % s.stride, to = smaller(from + kPairBlock, s.p.gpus);
    // Some pair of h would be better than the best so far for these two slots of a GPU; of h itself never.
    auto promising = [&](int x) {
      const View<int> one = s.held.from(list.slots[x] / kPairPlaces * s.stride),
                      other = s.held.from(list.slots[x] % kPairPlaces * s.stride), load = s.load;
      return [=, most = e.most, limit = best.value](auto g) {
        const auto want = 2 * (one[g] + other[g]) + (most - load[g]);
        return load[g] + most + nearest.distance(want) < limit;
      };
    };
    auto next = [&](int at) { return team.find_in_rows(at, pairs, from, to, promising); };
    for (int at = next(0); at < pairs * kRow; at = next(at + 1)) {
      const int slots = list.slots[at / kRow];
      try_pairs(team, s, list.twice, e, from + at % kRow, slots / kPairPlaces, slots % kPairPlaces, best);
    }
  }
  if (best.gpu < 0) return false;
  const int p1 = s.item[h * k + best.mine1], p2 = s.item[h * k + best.mine2];
  const int q1 = s.item[best.gpu * k + best.theirs1], q2 = s.item[best.gpu * k + best.theirs2];
  exchange(team, s, p1, q1);
  exchange(team, s, p2, q2);
  return true;
}

EPLB_STAGE_END
