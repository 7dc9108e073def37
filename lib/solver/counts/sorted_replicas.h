// Replicas as positions sorted by size: what BEST searches on. A partner for a swap then lies in a window of positions.
#pragma once

#include "solver/team/team.h"


EPLB_STAGE_BEGIN

// Positions 0 .. slots-1: replicas by (size descending, expert); the copies of an expert are neighbours.
struct Positions {
  int experts, slots, gpus, places;
  View<int> weight;        // by expert
  View<int> count, first;  // by expert: copies, and the first of their positions
  View<int> size, expert;  // by position
  View<int> share, order;  // by expert, scratch of laying out
  View<int> sums;          // by position: of the sizes before it; one more at the end

  EPLB_FN void lay_out(Arena& arena, int e, int s) {
    weight = arena.take<int>(e);
    count = arena.take<int>(e);
    first = arena.take<int>(e);
    share = arena.take<int>(e);
    order = arena.take<int>(e);
    size = arena.take<int>(s);
    expert = arena.take<int>(s);
    sums = arena.take<int>(s + 1);
  }
};

// Behind the last position: smaller than any size, so that windows end there.
inline constexpr int kNoSize = -(1 << 29);

// Sets first, size and expert from the counts.
template <class Team> EPLB_FN void set_positions(Team& team, const Positions& p) {
  team.for_each(p.experts, [&](int e) { p.share[e] = p.count[e] == 1 ? p.weight[e] : p.weight[e] / p.count[e]; });
  team.order(p.experts, p.order, [&](int e) { return static_cast<uint64_t>(kNever - p.share[e]); });
  team.scan(
      p.experts, [&](int i) { return p.count[p.order[i]]; }, [&](int i, int before) { p.first[p.order[i]] = before; });
  team.for_each(p.experts, [&](int e) {
    for (int s = p.first[e], end = s + p.count[e]; s < end; ++s) {
      p.size[s] = p.share[e];
      p.expert[s] = e;
    }
  });
  team.for_each(kAhead, [&](int i) { p.size[p.slots + i] = kNoSize; });
}

inline constexpr int kBoundDepth = 64;  // beyond, so many replicas on a GPU even out, and looking costs K^2

// No placement of these counts has a largest load below: the mean; for j < K (and 64), j + 1 of the jG + 1 largest replicas
// meet on a GPU, with the K - 1 - j smallest at least; the m largest are on m GPUs with (K - 1) m others, or two of them share one.
template <class Team> EPLB_FN int counts_bound(Team& team, const Positions& p) {
  const int k = p.places, g = p.gpus;
  const int sum = team.scan(
      p.slots, [&](int s) { return p.size[s]; }, [&](int s, int before) { p.sums[s] = before; });
  team.single([&] { p.sums[p.slots] = sum; });
  auto smallest = [&](int n) { return sum - p.sums[p.slots - n]; };
  const int together = team.max_of(smaller(k, kBoundDepth),
                                    [&](int j) { return smallest(k - 1 - j) + p.sums[j * g + 1] - p.sums[j * g - j]; });
  const int apart = k == 1 ? 0 : team.max_of(g - 1, [&](int i) {
    const int m = i + 2, alone = (p.sums[m] + smallest((k - 1) * m) + m - 1) / m;
    return smaller(alone, p.size[m - 1] + p.size[m - 2] + smallest(k - 2));
  });
  return larger(larger((sum + g - 1) / g, together), apart);
}

EPLB_STAGE_END
