// Replicas as positions sorted by size: what BEST searches on. A partner for a swap then lies in a window of positions.
#pragma once

#include "solver/packing.h"

EPLB_STAGE_BEGIN

// Positions 0 .. slots-1: replicas by (size descending, expert); the copies of an expert are neighbours.
struct Positions {
  int experts, slots, gpus, places;
  View<int> weight;        // by expert
  View<int> count, first;  // by expert: copies, and the first of their positions
  View<int> size, expert;  // by position
  View<int> share, order;  // by expert, scratch of laying out
  View<uint64_t> scratch;

  EPLB_FN void lay_out(Arena& arena, int e, int s) {
    weight = arena.take<int>(e);
    count = arena.take<int>(e);
    first = arena.take<int>(e);
    share = arena.take<int>(e);
    order = arena.take<int>(e);
    size = arena.take<int>(s);
    expert = arena.take<int>(s);
    scratch = arena.take<uint64_t>(3 * e);
  }
};

// Behind the last position: smaller than any size, so that windows end there.
inline constexpr int kNoSize = -(1 << 29);

// Sets first, size and expert from the counts.
template <class Team> EPLB_FN void set_positions(Team& team, const Positions& p) {
  team.for_each(p.experts, [&](int e) { p.share[e] = p.count[e] == 1 ? p.weight[e] : p.weight[e] / p.count[e]; });
  team.order(p.experts, p.order, p.scratch, [&](int e) { return static_cast<uint64_t>(kNever - p.share[e]); });
  team.single([&] {
    for (int i = 0, next = 0; i < p.experts; ++i) {
      const int e = p.order[i];
      p.first[e] = next;
      next += p.count[e];
    }
  });
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
  const int64_t sum = team.total(p.slots, [&](int s) { return int64_t{p.size[s]}; });
  const int last = p.slots - 1, k = p.places, g = p.gpus;
  int64_t bound = (sum + g - 1) / g, smallest = 0;
  for (int j = k - 1; j >= 0; --j) {  // smallest: of the K - 1 - j smallest
    if (j < kBoundDepth) {
      int64_t together = smallest;
      for (int s = j * g - j; s <= j * g; ++s) together += p.size[s];
      bound = together > bound ? together : bound;
    }
    smallest += p.size[last - (k - 1 - j)];
  }
  int64_t fill = 0;  // the K - 2 smallest
  for (int i = 0; i < k - 2; ++i) fill += p.size[last - i];
  int64_t top = p.size[0], rest = 0;
  int next = last;
  for (int i = 0; i < k - 1; ++i) rest += p.size[next--];
  for (int m = 2; m <= g && k > 1; ++m) {
    top += p.size[m - 1];
    for (int i = 0; i < k - 1; ++i) rest += p.size[next--];
    const int64_t apart = (top + rest + m - 1) / m, shared = int64_t{p.size[m - 1]} + p.size[m - 2] + fill;
    const int64_t either = apart < shared ? apart : shared;
    bound = either > bound ? either : bound;
  }
  return static_cast<int>(bound);
}

EPLB_STAGE_END
