// After the start, where GPUs are many: the heaviest swaps with the lightest, the second with the second lightest, and so on,
// all at once. A search that relieves one GPU at a time would need a step for each.
#pragma once

#include "solver/search/state.h"

EPLB_STAGE_BEGIN

// With fewer GPUs the search is there as soon; with more slots on each it starts from even loads, and looking costs K^2.
inline constexpr int kManyGpus = 64, kLevelPlaces = 64;
EPLB_FN int sweeps_of(int gpus, int places) {
  return gpus < kManyGpus || places > kLevelPlaces ? 0 : smaller(2 + gpus / 256, 4);
}

struct Levelling {
  View<int> order;  // GPUs, heaviest first

  EPLB_FN void lay_out(Arena& arena, int gpus) { order = arena.take<int>(gpus); }
};

// The swap of a position on h with a smaller one on l that leaves the least larger load, if that is below h's and makes no
// duplicate; ties: lowest slot of h, then of l. By one lane, and nothing but h, l and what they hold is touched.
EPLB_FN void level_pair(const Placement& s, int h, int l) {
  const int k = s.p.places;
  int least = s.load[h], p = -1, q = -1;
  for (int i = 0; i < k; ++i)
    for (int j = 0; j < k; ++j) {
      const int a = s.item[h * k + i], b = s.item[l * k + j], d = s.p.size[a] - s.p.size[b];
      const int value = larger(s.load[h] - d, s.load[l] + d);
      if (d <= 0 || value >= least) continue;
      if (holds(s, l, s.p.expert[a]) || holds(s, h, s.p.expert[b])) continue;
      least = value;
      p = a;
      q = b;
    }
  if (p < 0) return;
  const int i = s.slot[p], j = s.slot[q], d = s.p.size[p] - s.p.size[q];
  s.item[h * k + i] = q;
  s.item[l * k + j] = p;
  s.held[i * s.stride + h] = s.p.size[q];
  s.held[j * s.stride + l] = s.p.size[p];
  s.gpu[p] = l;
  s.gpu[q] = h;
  s.slot[p] = j;
  s.slot[q] = i;
  s.load[h] -= d;
  s.load[l] += d;
  for (int m = 0; m < k; ++m) {
    const int x = s.item[h * k + m], y = s.item[l * k + m];
    s.rest[x] = s.load[h] - s.p.size[x];
    s.rest[y] = s.load[l] - s.p.size[y];
  }
}

template <class Team> EPLB_FN void level(Team& team, const Placement& s, const Levelling& room) {
  const int gpus = s.p.gpus;
  for (int sweep = sweeps_of(gpus, s.p.places); sweep > 0; --sweep) {
    team.order(gpus, room.order, [&](int g) { return static_cast<uint64_t>(kNever - s.load[g]); });
    team.for_each(gpus / 2, [&](int i) { level_pair(s, room.order[i], room.order[gpus - 1 - i]); });
  }
}

EPLB_STAGE_END
