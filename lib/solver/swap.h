// Refinement: exchanges of two positions that relieve the heaviest pack.
#pragma once

#include "solver/packing.h"

EPLB_STAGE_BEGIN

template <class Team> EPLB_FN void exchange(Team& team, const Packing& p, int i, int j) {
  const int g = p.pack[i], h = p.pack[j], d = p.size[i] - p.size[j];
  const int load_g = p.load[g] - d, load_h = p.load[h] + d;
  team.barrier();
  team.single([&] {
    p.pack[i] = h;
    p.pack[j] = g;
    p.load[g] = load_g;
    p.load[h] = load_h;
  });
  team.sweep(p.items, [=](auto s) {
    p.beside.set(s, choose(p.pack[s] == g, load_g, choose(p.pack[s] == h, load_h, p.beside[s])));
  });
}

// One best swap of the heaviest pack (lowest id) with any other: position i on it, a smaller j elsewhere, d = size i - size j.
// The score min(d, heaviest - load of j's pack - d) is how far both packs come down below the heaviest; the largest counts,
// ties: lowest i, then lowest j. On the heaviest pack itself the score is min(d, -d), so j needs no test for that.
// Source: the swap refinement of the seeds vectorized_lpt_and_swap and its relatives.
// `sorted`: sizes fall with the position. Then j comes after i, and size j > size i - (heaviest - lightest): a window of
// positions; a shortcut with the same answer.
template <class Team> EPLB_FN bool swap_heaviest(Team& team, const Packing& p, bool sorted) {
  const int heaviest = team.most(0, p.packs, [=](auto g) { return p.load[g]; });
  const int lightest = team.least(0, p.packs, [=](auto g) { return p.load[g]; });
  const int h = team.find(0, p.packs, [=](auto g) { return p.load[g] == heaviest; });
  int best = 0, best_i = 0, best_j = 0;
  for (int i = team.find(0, p.items, [=](auto s) { return p.pack[s] == h; }), k = 0; k < p.places; ++k) {
    const int mine = p.size[i], floor = mine - (heaviest - lightest);
    const int from = sorted ? i + 1 : 0;
    const int to = sorted ? team.find(from, p.items, [=](auto s) { return p.size[s] <= floor; }) : p.items;
    auto score = [=](auto s) {
      const auto d = mine - p.size[s];
      return less(d, heaviest - p.beside[s] - d);
    };
    const int found = team.most(from, to, score);
    if (found > best) {
      best = found;
      best_i = i;
      best_j = team.find(from, to, [=](auto s) { return score(s) == found; });
    }
    if (k + 1 < p.places) i = team.find(i + 1, p.items, [=](auto s) { return p.pack[s] == h; });
  }
  if (best > 0) exchange(team, p, best_i, best_j);
  return best > 0;
}

template <class Team> EPLB_FN void refine(Team& team, const Packing& p, int steps, bool sorted) {
  team.for_each(p.items, [&](int i) { p.beside[i] = p.load[p.pack[i]]; });
  while (steps-- > 0 && swap_heaviest(team, p, sorted)) {
  }
}

EPLB_STAGE_END
